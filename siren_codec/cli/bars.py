"""What is shown on standard error while pictures are made."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from siren_codec.cli import streams
from siren_codec.progress import Progress, ProgressCallback

__all__ = ["is_terminal", "of_folder", "of_picture", "say", "say_json"]


def is_terminal() -> bool:
    """Tell whether standard error is one."""
    return sys.stderr is not None and sys.stderr.isatty()


def say(*lines: str, error: bool) -> None:
    """Print lines on standard error or output, above the bars that are there.

    What cannot be written is dropped, and all that comes after it; of standard output that is
    said, unless nobody reads it.
    """
    file = sys.stderr if error else sys.stdout
    if file is None:
        return
    try:
        _print("\n".join(streams.printable(line, file.encoding) for line in lines), file)
    except OSError as failure:
        streams.forget(file)
        if not error and not isinstance(failure, BrokenPipeError):
            say(f"standard output: cannot be written: {failure.strerror}", error=True)


def say_json(facts: Mapping[str, Any], *, error: bool = False) -> None:
    """Print a line of JSON, which knows no infinity: what is lossless has null for a PSNR."""
    finite = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in facts.items()
    }
    say(json.dumps(finite), error=error)


def _print(text: str, file: TextIO) -> None:
    if is_terminal() and "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(text, file=file)
    else:
        print(text, file=file)
    file.flush()


@contextmanager
def of_picture(*, shown: bool, position: int = 0) -> Iterator[ProgressCallback | None]:
    """Yield a progress callback that shows step, PSNR and time left."""
    if not shown or sys.stderr is None:
        yield None
        return
    from tqdm import tqdm

    bar: Any = None

    def show(progress: Progress) -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                file=sys.stderr,
                total=progress.steps,
                # The time left is the fit's own: steps differ in cost, which tqdm cannot know.
                bar_format="step {n_fmt}/{total_fmt} |{bar:24}| {desc}",
                mininterval=0.1 if is_terminal() else 10.0,
                leave=False,
                position=position,
            )
        # A fit with a target may take steps beyond its last one; these are not worth a line each.
        ends = progress.step == progress.steps and bar.n < bar.total
        bar.total = progress.steps
        left = tqdm.format_interval(round(progress.seconds_left))
        state = f"PSNR {progress.psnr:.2f} dB, {progress.bpp:.3f} bpp, {left} left"
        bar.set_description_str(state, refresh=False)
        bar.update(progress.step - bar.n)
        if ends:
            bar.refresh()

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


@contextmanager
def of_folder(total: int, *, shown: bool) -> Iterator[Callable[[int, int], None]]:
    """Yield what is to be called after each picture: with how many are done, and have failed."""
    if not shown or not is_terminal():
        yield lambda *_: None
        return
    from tqdm import tqdm

    layout = "{n_fmt}/{total_fmt} pictures |{bar:24}| {desc}"
    began = time.monotonic()
    with tqdm(file=sys.stderr, total=total, bar_format=layout, leave=False, position=0) as bar:

        def show(done: int, failed: int) -> None:
            seconds = (time.monotonic() - began) * (total - done) / max(1, done)
            left = tqdm.format_interval(round(seconds))
            bar.set_description_str(f"{failed} failed, {left} left", refresh=False)
            bar.update(done - bar.n)
            bar.refresh()

        yield show
