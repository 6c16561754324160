"""How the times of a fit step and of a decode grow with the picture, beside JPEG's and AVIF's.

The files of all sizes come from one: its grids are repeated side by side, or cut, and coded anew,
so that all have its network and the large ones its bits per pixel; small ones are its upper left
corner. Rendered, each is also what JPEG and AVIF encode, both with Pillow's own settings (quality
75, JPEG sequential). Their decoding is timed from bytes to an array, as `decode` is; their files
are neither of equal fidelity nor of equal length. All decoders may use all cores. Each run times
every stage of decoding once; figures are medians, after a run that does not count. A step sees all
pixels; it is taken by the compiled kernels and by torch. Peak memory is that of a fresh process
(Linux), with the interpreter and its libraries but without the pixels that it returns.
"""

import io
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, partial
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, features

from benchmarks import markdown, memory, steps, store
from benchmarks.store import Task
from benchmarks.timing import Actions, median_seconds
from siren_codec import stream
from siren_codec.bench.environment import ROOT
from siren_codec.bench.results import Row
from siren_codec.decoding import decode
from siren_codec.encoding import encode_picture
from siren_codec.errors import UsageError
from siren_codec.field import Field
from siren_codec.options import Options
from siren_codec.picture import Picture, load, save_bytes
from siren_codec.stream import format, latents, prior, weights

__all__ = ["SIZES", "main", "measure", "of_size", "section", "tasks"]

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
"""Pixels of a side."""
LARGEST_FIT = {"kernels": 2048, "torch": 512}
"""Pixels of a side up to which a step is timed, for it takes long."""

_BASE = 512
"""Pixels of a side of the file that the others are made of, at most."""
_PEERS = {"JPEG": "jpg", "AVIF": "avif"}
"""Formats of Pillow, and its names for what decodes them."""
_QUALITY = 75
"""Pillow's own, of both."""
_RUNS = 7
_FULL_RUNS = 1 << 20
"""Pixels up to which all runs are made; larger ones are run fewer times."""
_LEAST_RUNS = 3
_REST = 0.5
"""Seconds."""


def tasks(sizes: Sequence[int] = SIZES, count: int | None = None) -> Iterator[Task]:
    """Yield a measurement for each size; `count` steps make the file that they are made of."""
    side = min(_BASE, max(sizes))
    # Whatever is not the record's own measurement must not take its place there.
    other = ({} if side == _BASE else {"side": side}) | ({} if count is None else {"steps": count})
    for size in sizes:
        facts = {"experiment": "speed", "settings": {"size": size, **other}}
        yield Task(facts, partial(_rows, facts, size, side, count))


def _rows(facts: Row, size: int, side: int, count: int | None) -> list[Row]:
    return [{**facts, **measure(_sample(side, count), size), **store.about()}]


@cache
def _sample(side: int, count: int | None) -> Field:
    """Return a file of the astronaut's picture, or of its upper left corner."""
    picture = load(ROOT / "samples" / "astronaut.png", max_pixels=1 << 20)
    part = replace(picture, pixels=picture.pixels[:side, :side])
    return stream.read(encode_picture(part, Options(steps=count, device="cpu")).data)


def of_size(field: Field, width: int, height: int) -> bytes:
    """Return a file of another size: the grids of `field` repeated, or cut, and coded anew.

    It has neither metadata nor an alpha of its own. Raises UsageError for a `field` without grids,
    or one that JPEG cannot hold.
    """
    if field.model != "grid":
        raise UsageError(f"expected a file of the grid model, found {field.model}")
    channels = field.architecture.channels
    if field.depth != 8 or channels not in (1, 3):
        raise UsageError(
            f"expected grey or RGB of 8 bits, found {channels} channels of {field.depth} bits"
        )
    grids = []
    for shape, grid in zip(
        latents.shapes(field.architecture, width, height), field.latents, strict=True
    ):
        _, rows, columns = shape
        times = (1, math.ceil(rows / grid.shape[1]), math.ceil(columns / grid.shape[2]))
        grids.append(np.ascontiguousarray(np.tile(grid, times)[:, :rows, :columns]))
    return stream.write(
        replace(field, width=width, height=height, latents=tuple(grids), metadata={}, alpha=None)
    )


def measure(field: Field, size: int) -> dict[str, Any]:
    """Return the figures of a size, in pixels of a side."""
    data = of_size(field, size, size)
    read = stream.read(data)
    rendered = read.render()
    peers = {name: _saved(rendered, name) for name, part in _PEERS.items() if features.check(part)}
    runs = min(_RUNS, max(_LEAST_RUNS, _RUNS * _FULL_RUNS // size**2))
    others: Actions = {name: partial(_open, name, file) for name, file in peers.items()}
    # After a fit, torch's threads keep the cores busy for a while, waiting for more to do.
    time.sleep(_REST)
    seconds = median_seconds({**_decoding(data, read, rendered), **others}, runs)
    with ExitStack() as stack:
        actions = {
            f"fit step, {by}": stack.enter_context(
                steps.timed_step(field.architecture, size, size, "cpu", compiled=by == "kernels")
            )
            for by, largest in LARGEST_FIT.items()
            if size <= largest
        }
        seconds |= median_seconds(actions, runs)
    held = memory.measure(data)
    return {
        "bytes": len(data),
        "bpp": round(8 * len(data) / size**2, 4),
        "bytes_of_peers": {name: len(file) for name, file in peers.items()},
        "runs": runs,
        "seconds": seconds,
        "peak_mib": None if held is None else round(held.beyond / 2**20, 1),
    }


def _decoding(data: bytes, field: Field, rendered: npt.NDArray[Any]) -> Actions:
    """Return a decode to an array, and its stages by name."""
    header, sections = format.parse(data, stream.DEFAULT_LIMITS)
    layers = format.layers_of(sections)
    shape = field.context, field.architecture, field.width, field.height

    def read() -> None:
        _, found = format.parse(data, stream.DEFAULT_LIMITS)
        expected = prior.expected(header.prior, field.architecture.channels)
        weights.unpack(found[format.Section.WEIGHTS], field.architecture.tensor_shapes, expected)

    picture = Picture(np.atleast_3d(rendered))
    return {
        "decode": lambda: decode(data),
        "read": read,
        "grids": lambda: latents.unpack(layers, *shape),
        "render": field.render,
        "write PNG": lambda: save_bytes(picture, "PNG"),
    }


def _saved(pixels: npt.NDArray[Any], format_: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, quality=_QUALITY)
    return file.getvalue()


def _open(format_: str, data: bytes) -> object:
    with Image.open(io.BytesIO(data), formats=[format_]) as opened:
        return np.asarray(opened)


def section() -> str:
    """Return what the record says, as Markdown; nothing where there is none."""
    rows = sorted(store.rows_of("speed"), key=lambda row: list(row["settings"].values()))
    if not rows:
        return ""
    stages = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    peers = [name for name in _PEERS if name in stages]
    lines = []
    for row in rows:
        size, seconds = row["settings"]["size"], row["seconds"]
        lines.append(
            [
                ", ".join([f"{size} x {size}", *_others(row)]),
                f"{row['bpp']:.2f}",
                *(_milliseconds(seconds.get(stage)) for stage in stages),
                *(f"{seconds['decode'] / seconds[name]:.0f}" for name in peers),
                f"{size**2 / seconds['decode'] / 1e6:.2f}",
                markdown.number(row["peak_mib"], 0),
            ]
        )
    headings = ["pixels", "bpp", *(f"{stage}, ms" for stage in stages)]
    headings += [*(f"decode / {name}" for name in peers), "decode, megapixels/s", "peak, MiB"]
    about = (__doc__ or "").partition("\n\n")[2]
    return f"{about}\n{markdown.table(headings, lines)}\n{markdown.origin('speed', rows)}"


def _others(row: Row) -> list[str]:
    return [f"{name} {value}" for name, value in row["settings"].items() if name != "size"]


def _milliseconds(seconds: float | None) -> str:
    """Return three significant digits, or all before the point."""
    if seconds is None:
        return markdown.DASH
    value = 1000 * seconds
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f}"


@click.command()
@click.option("--size", "sizes", type=click.IntRange(8, 8192), multiple=True, default=SIZES)
@click.option("--steps", "count", type=click.IntRange(1), help="Of the sample's fit.")
def main(sizes: tuple[int, ...], count: int | None) -> None:
    """Measure these sizes, add them to the record, and print what it then has."""
    store.make("speed", tasks(sorted(set(sizes)), count), click.echo)
    click.echo(section())


if __name__ == "__main__":
    main()
