"""What the commands print: messages, and the progress of one picture or of a folder."""

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, TextIO

from siren_codec.cli import streams
from siren_codec.progress import Progress, ProgressCallback

__all__ = [
    "SECONDS_BETWEEN_LINES",
    "duration",
    "folder_progress",
    "is_terminal",
    "picture_progress",
    "say",
    "say_json",
]

SECONDS_BETWEEN_LINES = 10.0
"""Of progress, where standard error is no terminal."""


def is_terminal() -> bool:
    """Tell whether standard error is one."""
    return sys.stderr is not None and sys.stderr.isatty()


def say(*lines: str, error: bool) -> None:
    """Print lines on standard error or output, above the bars that are there.

    What cannot be written is dropped, and all that comes after it; where that is standard output
    there is a message, unless nobody reads it.
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
def picture_progress(
    title: str, *, shown: bool, position: int = 0
) -> "Iterator[ProgressCallback | None]":
    """Yield a progress callback that shows step, PSNR, rate and time left.

    It moves a bar on a terminal; elsewhere it says a line, with the title, every ten seconds.
    """
    if not shown or sys.stderr is None:
        yield None
    elif _has_bars():
        with _picture_bar(position) as show:
            yield show
    else:
        is_due = _throttle()

        def tell(progress: "Progress") -> None:
            if is_due():
                step = f"step {progress.step}/{progress.steps}"
                say(f"{title}: {step}, {_state(progress)}", error=True)

        yield tell


@contextmanager
def folder_progress(
    command: str, total: int, *, shown: bool
) -> Iterator[Callable[[int, int], None]]:
    """Yield what is to be called after each picture: with how many are done, and have failed.

    It moves a bar on a terminal; elsewhere it says a line at most every ten seconds.
    """
    began = time.monotonic()

    def state(done: int, failed: int) -> str:
        seconds = (time.monotonic() - began) * (total - done) / max(1, done)
        return f"{failed} failed, {duration(seconds)} left"

    if not shown or sys.stderr is None:
        yield lambda *_: None
    elif _has_bars():
        from tqdm import tqdm

        layout = "{n_fmt}/{total_fmt} pictures |{bar:24}| {desc}"
        with tqdm(file=sys.stderr, total=total, bar_format=layout, leave=False, position=0) as bar:

            def show(done: int, failed: int) -> None:
                bar.set_description_str(state(done, failed), refresh=False)
                bar.update(done - bar.n)
                bar.refresh()

            yield show
    else:
        is_due = _throttle()

        def tell(done: int, failed: int) -> None:
            if is_due():
                say(f"{command}: {done}/{total} pictures, {state(done, failed)}", error=True)

        yield tell


def duration(seconds: float) -> str:
    """Return seconds as a clock shows them: 0:42, 12:05, 1:02:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _has_bars() -> bool:
    """Tell whether bars can be shown: decoding does without tqdm where it is not installed."""
    return is_terminal() and find_spec("tqdm") is not None


@contextmanager
def _picture_bar(position: int) -> "Iterator[ProgressCallback]":
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
                leave=False,
                position=position,
            )
        # A fit with a target may take steps beyond its last one; these are not shown each.
        is_last = progress.step == progress.steps and bar.n < bar.total
        bar.total = progress.steps
        bar.set_description_str(_state(progress), refresh=False)
        bar.update(progress.step - bar.n)
        if is_last:
            bar.refresh()

    try:
        yield show
    finally:
        if bar is not None:
            bar.close()


def _state(progress: "Progress") -> str:
    rate = "" if progress.bpp is None else f"{progress.bpp:.3f} bpp, "
    return f"PSNR {progress.psnr:.2f} dB, {rate}{duration(progress.seconds_left)} left"


def _throttle() -> Callable[[], bool]:
    """Return what tells whether a line is due: ten seconds after the last one, or the start."""
    last = time.monotonic()

    def is_due() -> bool:
        nonlocal last
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES:
            return False
        last = now
        return True

    return is_due
