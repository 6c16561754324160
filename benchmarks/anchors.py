"""What others reach: JPEG, WebP and AVIF by Pillow on the same pictures, and published curves.

`python -m benchmarks.anchors IMAGES` measures the former. JPEG is optimised and progressive, WebP
takes method 6, AVIF 4:4:4 and speed 4. Times are those of Pillow's encoder and decoder within one
process.
"""

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import PIL
from PIL import Image, features
from tqdm import tqdm

from benchmarks import commands
from benchmarks.commands import Original, Row
from benchmarks.environment import RESULTS, describe
from siren_codec import metrics

__all__ = ["CODECS", "JPEG_FOR_BD", "KODAK", "PUBLISHED", "available", "main", "measure_anchors"]

CODECS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "JPEG": ({"optimize": True, "progressive": True}, (5, *range(10, 91, 10), 95)),
    "WEBP": ({"method": 6}, (1, 5, *range(10, 91, 10), 95)),
    "AVIF": ({"subsampling": "4:4:4", "speed": 4}, tuple(range(10, 91, 10))),
}
"""By Pillow's name: the settings and the qualities."""

JPEG_FOR_BD = tuple(range(10, 91, 10))
"""The qualities of the JPEG curve of BD-rates; 5 and 95 only serve to look up single rates."""

KODAK = frozenset(f"kodim{number:02}.png" for number in range(1, 25))

PUBLISHED = {
    "COIN": [(0.160, 24.64), (0.307, 26.41), (0.611, 28.41), (1.209, 30.64)],
    "C3": [(0.203, 30.03), (0.514, 34.37), (1.080, 38.98)],
    "VVC (VTM)": [(0.112, 28.49), (0.246, 31.20), (0.491, 34.26), (0.875, 37.42)],
    "Cool-chic 5.0.1": [(0.084, 27.44), (0.219, 30.86), (0.482, 34.52), (0.759, 37.25)],
}
"""Means of (bpp, PSNR) over the 24 Kodak pictures: they stand beside nothing else."""

_LIBRARY = {"JPEG": "jpg", "WEBP": "webp", "AVIF": "avif"}
_IDENTITY = ("codec", "encoder", "quality", "image", "sha256")


def available() -> list[str]:
    """Return the codecs that this Pillow has."""
    return [codec for codec in CODECS if features.check(_LIBRARY[codec])]


def measure_anchors(images: Sequence[Original], out: Path, about: Row) -> list[Row]:
    """Return a row for every picture, codec and quality.

    Those that the file `out` lacks are added to it, with `about` as its head.
    """
    rows = commands.read_rows(out)
    known = {tuple(row[name] for name in _IDENTITY): row for row in rows}
    found: list[Row] = []
    for original in tqdm(images, desc="anchors", unit="image", leave=False):
        missing = False
        for codec in available():
            for quality in CODECS[codec][1]:
                identity = (codec, _encoder(codec), quality, original.name, original.sha256)
                if identity not in known:
                    missing = True
                    known[identity] = dict(zip(_IDENTITY, identity, strict=True))
                    known[identity] |= _measure(original, codec, quality)
                    rows.append(known[identity])
                found.append(known[identity])
        if missing:
            commands.write_rows(out, rows, about)
    return found


def _measure(original: Original, codec: str, quality: int) -> Row:
    """Encode and decode a picture, and return what became of it."""
    file = io.BytesIO()
    began = time.perf_counter()
    Image.fromarray(original.pixels).save(file, codec, quality=quality, **CODECS[codec][0])
    encoded = time.perf_counter()
    # WebP and AVIF give a grey picture back as RGB, with small differences between the channels.
    mode = "RGB" if original.pixels.ndim == 3 else "L"
    with Image.open(file) as image:
        decoded = np.asarray(image.convert(mode))
    ended = time.perf_counter()
    height, width = original.pixels.shape[:2]
    length = len(file.getvalue())
    return {
        "bytes": length,
        "bpp": round(metrics.bpp(file_bytes=length, width=width, height=height), 5),
        **commands.fidelity(original.pixels, decoded),
        "encode_s": round(encoded - began, 3),
        "decode_s": round(ended - encoded, 3),
    }


def _encoder(codec: str) -> str:
    settings = ", ".join(f"{name} {value}" for name, value in CODECS[codec][0].items())
    library = _LIBRARY[codec]
    return f"Pillow {PIL.__version__}, {library} {features.version(library)}, {settings}"


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "anchors.json")
def main(images: tuple[Path, ...], out: Path) -> None:
    """Compress IMAGES with JPEG, WebP and AVIF, and add the results to OUT."""
    rows = measure_anchors(commands.originals(images), out, describe("anchors"))
    for codec in available():
        for quality in CODECS[codec][1]:
            same = [row for row in rows if (row["codec"], row["quality"]) == (codec, quality)]
            rate, psnr = (float(np.mean([row[name] for row in same])) for name in ("bpp", "psnr"))
            click.echo(f"{codec} {quality:3}: {rate:.3f} bpp, {psnr:.2f} dB")


if __name__ == "__main__":
    main()
