"""What lies between the pixels: decoding at 2 and 4 times the size, beside enlarging.

A picture is made smaller by the mean of each 2 x 2 or 4 x 4 pixels, rounded, and that is encoded at
a high quality. `siren-decode --scale 2` (4) of the file is compared with the picture itself; beside
it stand Pillow's bicubic and Lanczos enlargements of what the same file decodes to at its own size.
All are PSNRs of integer pixels; odd last rows and columns are left out. The plot shows, for each
picture, the tile where ours and bicubic differ most.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from benchmarks import commands
from benchmarks.commands import Numbers, Original, Row, Settings
from benchmarks.environment import RESULTS, describe
from siren_codec import metrics
from siren_codec.limits import QUALITIES
from siren_codec.options import DEVICES, EFFORTS, Options

__all__ = ["Zoomed", "draw", "main", "markdown", "most_different", "shrink", "whole", "zoom"]

Pixels = npt.NDArray[np.uint8]

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
_TILE = 96
_DRAWN = 8
"""Rows of the plot."""


@dataclass(frozen=True, eq=False)
class Zoomed:
    """A picture and its reconstructions of the same size, by name: ours, bicubic, lanczos."""

    row: Row
    original: Pixels
    enlarged: dict[str, Pixels]


def whole(pixels: Pixels, scale: int) -> Pixels:
    """Return the picture without the last rows and columns that are no whole cell."""
    height, width = pixels.shape[:2]
    return pixels[: height // scale * scale, : width // scale * scale]


def shrink(pixels: Pixels, scale: int) -> Pixels:
    """Return a `whole` picture at 1/scale of its size: means of its cells, halves rounded up."""
    height, width = (length // scale for length in pixels.shape[:2])
    cells = pixels.reshape(height, scale, width, scale, -1).sum((1, 3), dtype=np.uint32)
    means: Pixels = ((cells + scale**2 // 2) // scale**2).astype(np.uint8)
    return means.reshape(height, width, *pixels.shape[2:])


def zoom(original: Original, settings: Settings, scale: int) -> Zoomed:
    """Shrink, encode, decode at `scale` times the size, and compare with the original."""
    pixels = whole(original.pixels, scale)
    small = shrink(pixels, scale)
    with tempfile.TemporaryDirectory() as folder:
        source, file, target = (Path(folder) / name for name in ("a.png", "a.siren", "b.png"))
        Image.fromarray(small).save(source)
        _, encode_seconds = commands.encode(source, file, settings)
        decoded, _ = commands.decode(file, target)
        ours, decode_seconds = commands.decode(file, target, "--scale", str(scale))
        length = file.stat().st_size
    height, width = small.shape[:2]
    enlarged = {"ours": ours}
    for name, resampling in _FILTERS.items():
        larger = Image.fromarray(decoded).resize((scale * width, scale * height), resampling)
        enlarged[name] = np.asarray(larger)
    row = {
        "image": original.name,
        "sha256": original.sha256,
        **vars(settings),
        "scale": scale,
        "bytes": length,
        "bpp": round(metrics.bpp(file_bytes=length, width=width, height=height), 5),
        "psnr_small": _psnr(small, decoded),
        **{f"psnr_{name}": _psnr(pixels, found) for name, found in enlarged.items()},
        "encode_s": round(encode_seconds, 2),
        "decode_s": round(decode_seconds, 3),
    }
    return Zoomed(row, pixels, enlarged)


def _psnr(reference: Pixels, decoded: Pixels) -> float:
    return round(min(metrics.psnr(reference=reference, decoded=decoded), commands.MOST_PSNR), 4)


def most_different(a: Pixels, b: Pixels, size: int) -> tuple[slice, slice]:
    """Return the tile of a grid of tiles in which two pictures differ most, in squares."""
    difference = np.square(a.astype(np.float64) - b)
    if difference.ndim == 3:
        difference = difference.sum(2)
    height, width = (max(length // size, 1) for length in difference.shape)
    tiles = [
        (slice(size * i, size * (i + 1)), slice(size * j, size * (j + 1)))
        for i in range(height)
        for j in range(width)
    ]
    return max(tiles, key=lambda tile: float(difference[tile].sum()))


def markdown(rows: Sequence[Row]) -> str:
    """Return the results as a page of Markdown."""
    scales = sorted({row["scale"] for row in rows})
    tables = [
        f"## {scale} times the size\n\n{_table([r for r in rows if r['scale'] == scale])}"
        for scale in scales
    ]
    about = (__doc__ or "").partition("\n\n")[2]
    return "\n".join(["# Between the pixels\n", about, commands.origin(rows) + "\n", *tables])


def _table(rows: Sequence[Row]) -> str:
    names = ("psnr_small", "psnr_ours", "psnr_bicubic", "psnr_lanczos")
    lines = [
        [row["image"], f"{row['bpp']:.3f}", *(f"{row[name]:.2f}" for name in names)] for row in rows
    ]
    means = {name: float(np.mean([row[name] for row in rows])) for name in ("bpp", *names)}
    lines.append(["mean", f"{means['bpp']:.3f}", *(f"{means[name]:.2f}" for name in names)])
    headings = ["picture", "bpp of the small one", "the small one itself, dB"]
    return commands.table([*headings, "decoded larger, dB", "bicubic, dB", "Lanczos, dB"], lines)


def draw(found: Sequence[Zoomed], path: Path) -> None:
    """Draw a tile of each picture: original, ours, bicubic, Lanczos."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.2 * len(found)), dpi=100, layout="constrained")
    axes = np.asarray(figure.subplots(len(found), 4, squeeze=False))
    for line, zoomed in zip(axes, found, strict=True):
        tile = most_different(zoomed.enlarged["ours"], zoomed.enlarged["bicubic"], _TILE)
        shown = {"original": zoomed.original, **zoomed.enlarged}
        for axis, (name, pixels) in zip(line, shown.items(), strict=True):
            _show(axis, pixels[tile])
            psnr = zoomed.row.get(f"psnr_{name}")
            axis.set_title(name if psnr is None else f"{name}, {psnr:.2f} dB")
        line[0].set_ylabel(f"{zoomed.row['image']}, x{zoomed.row['scale']}")
    figure.savefig(path)


def _show(axis: Any, pixels: Pixels) -> None:
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set(xticks=[], yticks=[])


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--scales", type=Numbers(2, 16), default="2,4", metavar="S,S,...")
@click.option("--quality", type=click.FloatRange(QUALITIES[0], QUALITIES[-1]), default=80)
@click.option("--effort", type=click.IntRange(EFFORTS[0], EFFORTS[-1]), default=Options.effort)
@click.option("--model", default=Options.model)
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "zoom.json")
def main(
    images: tuple[Path, ...],
    scales: tuple[float, ...],
    quality: float,
    effort: int,
    model: str,
    device: str,
    out: Path,
) -> None:
    """Encode small versions of IMAGES, decode them larger; write OUT, and .md and .png beside it.

    OUT is replaced: it holds the pictures of one run.
    """
    fit_on = commands.chosen_device(device)
    about = describe("zoom", fit_on)
    settings = Settings(quality=quality, effort=effort, model=model, fit_on=fit_on)
    found: list[Zoomed] = []
    rows: list[Row] = []
    jobs = [(original, int(scale)) for scale in scales for original in commands.originals(images)]
    for original, scale in tqdm(jobs, unit="image", leave=False):
        zoomed = zoom(original, settings, scale)
        rows.append({**zoomed.row, **about})
        found = [*found, zoomed][:_DRAWN]
        commands.write_rows(out, rows)
    page = markdown(rows)
    out.with_suffix(".md").write_text(page, encoding="utf-8")
    draw(found, out.with_suffix(".png"))
    click.echo(page, nl=False)


if __name__ == "__main__":
    main()
