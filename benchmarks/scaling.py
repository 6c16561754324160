"""How the times of a fit step and of a decode grow with the picture, beside JPEG's and AVIF's.

The files of all sizes come from one: its grids are repeated side by side, or cut, and coded anew,
so that all have its network and the large ones its bits per pixel; small ones are its upper left
corner. Rendered, each is also what JPEG and AVIF encode, both with Pillow's own settings (quality
75, JPEG sequential). Their decoding is timed from bytes to an array, as `decode` is; their files
are neither of equal fidelity nor of equal length. All decoders may use all cores. Each run times
every stage of decoding once; figures are medians, after a run that does not count. Peak memory is
that of a fresh process (Linux), with the interpreter and its libraries but without the pixels that
it returns.
"""

import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image, features
from tqdm import tqdm

from benchmarks import memory, steps
from benchmarks.commands import origin, table
from benchmarks.environment import describe
from benchmarks.timing import Actions, Row, in_turn
from siren_codec import stream
from siren_codec.bench.environment import ROOT
from siren_codec.decoding import decode
from siren_codec.encoding import encode_picture
from siren_codec.field import Field
from siren_codec.fit import sampler
from siren_codec.options import Options
from siren_codec.picture import Picture, load, save_bytes
from siren_codec.stream import format, latents, prior, weights

__all__ = ["LARGEST_FIT", "SIZES", "draw", "markdown", "measure", "of_size", "run", "sample"]

SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
"""Pixels of a side."""
LARGEST_FIT = 2048
"""Pixels of a side up to which a step of the fit is timed by default, for it takes long."""

_BASE = 512
"""Pixels of a side of the file that the others are made of, at most."""
_PEERS = {"JPEG": "jpg", "AVIF": "avif"}
"""Formats of Pillow, and its names for what decodes them."""
_QUALITY = 75
"""Pillow's own, of both."""
_FULL_RUNS = 1 << 20
"""Pixels up to which all runs are made."""
_LEAST_RUNS = 3
_REST = 0.5
"""Seconds."""


def sample(sizes: Sequence[int], steps: int, device: str) -> bytes:
    """Return the file of the astronaut's picture, or of a part no larger than what is asked for."""
    picture = load(ROOT / "samples" / "astronaut.png", max_pixels=1 << 20)
    side = min(_BASE, max(sizes))
    part = replace(picture, pixels=picture.pixels[:side, :side])
    return encode_picture(part, Options(steps=steps, device=device)).data


def of_size(field: Field, width: int, height: int) -> bytes:
    """Return a file of another size: the grids of `field` repeated, or cut, and coded anew.

    It has neither metadata nor an alpha of its own. Raises ClickException for a `field` without
    grids, or one that JPEG cannot hold.
    """
    if field.model != "grid":
        raise click.ClickException(f"expected a file of the grid model, found {field.model}")
    channels = field.architecture.channels
    if field.depth != 8 or channels not in (1, 3):
        raise click.ClickException(
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


def measure(field: Field, size: int, *, runs: int, fit_on: Sequence[str]) -> Row:
    """Return the row of a size: pixels of a side, with a fit step on each of these devices."""
    data = of_size(field, size, size)
    read = stream.read(data)
    rendered = read.render()
    peers = {name: _saved(rendered, name) for name, part in _PEERS.items() if features.check(part)}
    fewer = min(runs, max(_LEAST_RUNS, runs * _FULL_RUNS // size**2))
    others = {name: _opening(name, file) for name, file in peers.items()}
    # After a fit, torch's threads keep the cores busy for a while, waiting for more to do.
    time.sleep(_REST)
    seconds, least = in_turn({**_decoding(data, read, rendered), **others}, fewer)
    for device in fit_on:
        by_torch = _by_torch(read, device)
        with steps.begun(field.architecture, size, size, device) as actions:
            by_torch[f"fit step, {device}"] = actions[steps.STEP]
            medians, fastest = in_turn(by_torch, fewer)
        seconds |= medians
        least |= fastest
    held = memory.measure(data)
    return {
        "width": size,
        "height": size,
        "bytes": len(data),
        "bpp": round(8 * len(data) / size**2, 4),
        "bytes_of_peers": {name: len(file) for name, file in peers.items()},
        "runs": fewer,
        "seconds": seconds,
        "least": least,
        "ratios": {name: round(seconds["decode"] / seconds[name], 4) for name in peers},
        "megapixels_per_s": round(size**2 / seconds["decode"] / 1e6, 4),
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
    stages: Actions = {
        "read": read,
        "grids": lambda: latents.unpack(layers, *shape),
        "render": field.render,
        "write PNG": lambda: save_bytes(picture, "PNG"),
    }
    return {"decode": lambda: decode(data), **stages}


def _by_torch(field: Field, device: str) -> Actions:
    """Return a rendering on a GPU, if that is the device."""
    if device != "cuda":
        return {}
    by_gpu = sampler(field, device)
    return {"render, cuda": lambda: field.render(sampler=by_gpu)}


def _saved(pixels: npt.NDArray[Any], format_: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format_, quality=_QUALITY)
    return file.getvalue()


def _opening(format_: str, data: bytes) -> Callable[[], object]:
    def read() -> object:
        with Image.open(io.BytesIO(data), formats=[format_]) as opened:
            return np.asarray(opened)

    return read


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows of a run as a page of Markdown."""
    stages = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    peers = [name for name in _PEERS if name in stages]
    lines = [
        [
            f"{row['width']}x{row['height']}",
            f"{row['bpp']:.2f}",
            *(_milliseconds(row["seconds"].get(stage)) for stage in stages),
            *(f"{row['ratios'][name]:.1f}" for name in peers),
            f"{row['megapixels_per_s']:.2f}",
            "-" if row["peak_mib"] is None else f"{row['peak_mib']:.0f}",
            f"{row['runs']}",
        ]
        for row in rows
    ]
    headings = [
        "pixels",
        "bpp",
        *(f"{stage}, ms" for stage in stages),
        *(f"decode / {name}" for name in peers),
        "decode, Mpx/s",
        "peak, MiB",
        "runs",
    ]
    return "\n".join(
        [
            "# Seconds by size\n",
            (__doc__ or "").partition("\n\n")[2],
            origin(rows) + "\n",
            table(headings, lines),
        ]
    )


def _milliseconds(seconds: float | None) -> str:
    """Return three significant digits, or all before the point."""
    if seconds is None:
        return "-"
    value = 1000 * seconds
    digits = 2 - math.floor(math.log10(value)) if value > 0 else 0
    return f"{value:.{max(digits, 0)}f}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw seconds against pixels as a PNG: a line for each stage, other codecs' dashed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6.5), dpi=110, layout="constrained")
    axis: Any = figure.subplots()
    for name in dict.fromkeys(name for row in rows for name in row["seconds"]):
        curve = sorted(
            (row["width"] * row["height"], row["seconds"][name])
            for row in rows
            if name in row["seconds"]
        )
        peer, whole = name in _PEERS, name == "decode"
        axis.plot(
            *zip(*curve, strict=True),
            "--s" if peer else "-o",
            label=f"decode of {name}" if peer else name,
            linewidth=3 if whole else 1.5,
            markersize=7 if whole else 4,
            color="black" if whole else None,
            zorder=3 if whole else 2,
        )
    axis.set(xscale="log", yscale="log", xlabel="pixels", ylabel="seconds")
    axis.set_title(f"A fit step and decoding, {rows[0]['device']}")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path)


def run(
    field: Field,
    *,
    sizes: Sequence[int],
    fit_sizes: Sequence[int],
    runs: int,
    device: str,
    out: Path,
) -> str:
    """Measure all sizes; append a row of each to `out`, write .md and .png beside it.

    Steps of the fit are timed on the CPU, and on `cuda` too if it is the device. Return the page,
    which is of this run alone.
    """
    about = describe("speed", device)
    devices = list(dict.fromkeys(("cpu", device)))
    rows = []
    for size in tqdm(sorted(set(sizes)), unit="size", leave=False):
        row = measure(field, size, runs=runs, fit_on=devices if size in fit_sizes else [])
        rows.append({"what": "scaling", **row, **about})
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rows[-1]) + "\n")
    page = markdown(rows)
    out.with_suffix(".md").write_text(page, encoding="utf-8")
    draw(rows, out.with_suffix(".png"))
    return page
