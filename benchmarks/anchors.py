"""What others reach: JPEG, WebP and AVIF by Pillow on the same pictures, and published curves.

`python -m benchmarks.anchors IMAGES` measures the former. JPEG is optimised and progressive, WebP
takes method 6, AVIF 4:4:4 and speed 4. Times are those of Pillow's encoder and decoder within one
process.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
import PIL
from PIL import features
from tqdm import tqdm

from benchmarks import commands
from benchmarks.commands import Original, Row
from benchmarks.environment import RESULTS, describe
from siren_codec import metrics
from siren_codec.bench.peers import PEERS, PillowPeer

__all__ = ["CODECS", "JPEG_FOR_BD", "available", "main", "measure_anchors"]

CODECS = {
    peer.format: peer
    for peer in PEERS
    if isinstance(peer, PillowPeer) and peer.name in ("jpeg", "webp", "avif")
}
"""By Pillow's name; siren-bench has the same ones."""

JPEG_FOR_BD = tuple(range(10, 91, 10))
"""The qualities of the JPEG curve of BD-rates; 5 and 95 only serve to look up single rates."""

_IDENTITY = ("codec", "encoder", "quality", "image", "sha256")


def available() -> list[str]:
    """Return the codecs that this Pillow has."""
    return [codec for codec, peer in CODECS.items() if not peer.missing]


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
            for quality in CODECS[codec].qualities:
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


def _measure(original: Original, codec: str, quality: float) -> Row:
    """Encode and decode a picture, and return what became of it."""
    peer = CODECS[codec]
    began = time.perf_counter()
    data = peer.encode(original.pixels, quality)
    encoded = time.perf_counter()
    # WebP and AVIF give a grey picture back as RGB, with small differences between the channels.
    decoded = peer.decode(data, "RGB" if original.pixels.ndim == 3 else "L")
    ended = time.perf_counter()
    height, width = original.pixels.shape[:2]
    length = len(data)
    return {
        "bytes": length,
        "bpp": round(metrics.bpp(file_bytes=length, width=width, height=height), 5),
        **commands.fidelity(original.pixels, decoded),
        "encode_s": round(encoded - began, 3),
        "decode_s": round(ended - encoded, 3),
    }


def _encoder(codec: str) -> str:
    peer = CODECS[codec]
    settings = ", ".join(f"{name} {value}" for name, value in peer.options.items())
    library = features.version(peer.library)
    return f"Pillow {PIL.__version__}, {peer.extension} {library}, {settings}"


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "anchors.json")
def main(images: tuple[Path, ...], out: Path) -> None:
    """Compress IMAGES with JPEG, WebP and AVIF, and add the results to OUT."""
    rows = measure_anchors(commands.originals(images), out, describe("anchors"))
    for codec in available():
        for quality in CODECS[codec].qualities:
            same = [row for row in rows if (row["codec"], row["quality"]) == (codec, quality)]
            rate, psnr = (float(np.mean([row[name] for row in same])) for name in ("bpp", "psnr"))
            click.echo(f"{codec} {quality:3}: {rate:.3f} bpp, {psnr:.2f} dB")


if __name__ == "__main__":
    main()
