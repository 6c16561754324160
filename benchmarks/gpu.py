"""What one GPU does, in at most 12 minutes: steps of the fit, decoding, Kodak at efforts 9 and 4.

    bin/bench gpu KODAK

KODAK is the folder of the 24 Kodak pictures. A step sees all pixels of 768 x 512; it is called as
the fit calls it, and captured as a graph, which leaves out reading the loss back and the renewal of
SOAP's eigenvectors. Decoding is timed from a file's bytes to an array, with the network on the CPU
and on the GPU; the grids are range-decoded on the CPU each time. Pictures are encoded and decoded
by fresh processes: Kodak 05, 13, 15 and 23 at effort 9 and `-q 36`, then all at the default effort,
as many as the time allows.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np

from benchmarks import kodak, markdown, store
from benchmarks.timing import median_seconds, synchronised
from siren_codec import stream
from siren_codec.bench import pictures, tables
from siren_codec.bench.codecs import by_name
from siren_codec.bench.curves import series_of
from siren_codec.bench.measurement import measured
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results, Row
from siren_codec.errors import SirenError
from siren_codec.options import DEFAULT_QUALITY, Options

__all__ = ["main", "section"]

_SIZE = (768, 512)
_RUNS = 20
_EFFORTS = (9, Options.effort)


def step_rows(size: tuple[int, int], device: str, runs: int) -> Iterator[Row]:
    """Yield the seconds of a step, as it is called and, on a GPU, captured as a graph."""
    from benchmarks.steps import timed_step
    from siren_codec.fit import architecture_for
    from siren_codec.picture import Picture

    width, height = size
    architecture = architecture_for(Picture(np.zeros((height, width, 3), np.uint8)), Options())
    for captured in (False, True) if device == "cuda" else (False,):
        with timed_step(architecture, width, height, device, captured=captured) as step:
            seconds = median_seconds({"step": step}, runs)["step"]
        what = "step, captured" if captured else "step"
        yield _row({"what": what, "width": width, "height": height}, device, seconds)


def decode_rows(data: bytes, device: str, runs: int) -> Iterator[Row]:
    """Yield the seconds of decoding a file on the CPU, and on the device."""
    from siren_codec.fit import sampler

    def by_device() -> object:
        field = stream.read(data)
        return field.render(sampler=sampler(field, device))

    field = stream.read(data)
    for where, action in (
        ("cpu", lambda: stream.read(data).render()),
        (device, synchronised(by_device, device)),
    ):
        settings = {"what": f"decode, network on the {where}", "bytes": len(data)}
        settings |= {"width": field.width, "height": field.height}
        yield _row(settings, device, median_seconds({"decode": action}, runs)["decode"])


def _row(settings: dict[str, Any], device: str, seconds: float) -> Row:
    return {
        "experiment": "gpu",
        "settings": settings,
        "seconds": seconds,
        **store.about(device),
    }


def picture_rows(
    originals: Sequence[Original], device: str, steps: int | None, until: float, kept: Path
) -> Iterator[Row]:
    """Yield siren-bench's rows of pictures, until the clock says `until`. Raises SirenError."""
    codec = by_name("grid")
    fixed = {} if steps is None else {"steps": steps}
    few = [original for original in originals if original.name in kodak.FOUR] or originals[:4]
    for effort, quality, group in ((9, 36, few), (Options.effort, DEFAULT_QUALITY, originals)):
        for original in group:
            if time.monotonic() > until:
                return
            settings = {"quality": quality, "effort": effort, **fixed}
            row = measured(original, codec, settings, kept, device=device)
            yield {**row, **store.about(device), "file": None}


def section() -> str:
    """Return what the record says, as Markdown, or how to make one."""
    rows = store.rows_of("gpu")
    if not rows:
        return "Not measured yet: `bin/bench gpu KODAK` makes it, on a GPU.\n"
    timed = [
        [
            f"{row['settings']['what']}, {row['settings']['width']} x {row['settings']['height']}",
            f"{1000 * row['seconds']:.2f}",
            f"{1 / row['seconds']:.1f}",
        ]
        for row in rows
        if "experiment" in row
    ]
    lines = []
    for effort in _EFFORTS:
        same = [row for row in rows if "codec" in row and series_of(row).effort == effort]
        if same:
            means = (sum(row[name] for row in same) / len(same) for name in ("bpp", "psnr"))
            times = (tables.median(same, f"{which}_s") for which in ("encode", "decode"))
            cells = [*(f"{mean:.3f}" for mean in means), *map(markdown.seconds, times)]
            lines.append([f"{effort}", f"{len(same)}", *cells])
    headings = ["`-e`", "pictures", "bpp", "PSNR, dB", "encode, s", "decode, s"]
    about = (__doc__ or "").partition("\n\n")[2].partition("\n\n")[2]
    return "\n".join(
        [
            about,
            markdown.table(["", "ms", "a second"], timed),
            markdown.table(headings, lines),
            markdown.origin("gpu", rows),
        ]
    )


@click.command()
@click.argument("folder", metavar="KODAK", type=click.Path(path_type=Path, exists=True))
@click.option("--device", type=click.Choice(["cuda", "cpu"]), default="cuda", show_default=True)
@click.option("--minutes", type=click.FloatRange(min=0), default=11.0, show_default=True)
@click.option("--steps", type=click.IntRange(1), help="Of each fit, instead of the efforts'.")
@click.option("--runs", type=click.IntRange(1), default=_RUNS, show_default=True)
@click.option("--size", type=(int, int), default=_SIZE, show_default=True, help="Of a step.")
def main(
    folder: Path, device: str, minutes: float, steps: int | None, runs: int, size: tuple[int, int]
) -> None:
    """Measure a GPU for some MINUTES, add what is found to the record, and print what it has."""
    began = time.monotonic()
    originals = pictures.load(sorted(folder.glob("*.png")))
    if not originals:
        raise click.ClickException(f"{folder}: expected pictures, found none")
    results = Results(store.path_of("gpu"))
    with TemporaryDirectory() as kept:
        for row in step_rows(size, device, runs):
            results.add(row)
        try:
            until = began + 60 * minutes
            for row in picture_rows(originals, device, steps, until, Path(kept)):
                results.add(row)
        except SirenError as error:
            raise click.ClickException(str(error)) from None
        finally:
            made = sorted(Path(kept).rglob("*.siren"))
            for row in decode_rows(made[0].read_bytes(), device, runs) if made else ():
                results.add(row)
    click.echo(section())


if __name__ == "__main__":
    main()
