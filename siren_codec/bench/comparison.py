"""What the report shows of a picture: codecs at equal size, and what lies between the pixels.

The first are codecs such as JPEG at the quality whose real file is nearest to ours in bytes. The
second is a tile of our file decoded at four times the size, beside Pillow's bicubic enlargement of
what the same file decodes to.
"""

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image, features

from siren_codec import metrics
from siren_codec.bench.codecs import CODECS, Library
from siren_codec.bench.curves import series_of, setting
from siren_codec.bench.pictures import Pixels
from siren_codec.bench.results import Row
from siren_codec.decoding import open_field
from siren_codec.field import Field

__all__ = [
    "PEERS",
    "SCALE",
    "TILE",
    "Comparison",
    "Shown",
    "Zoom",
    "compare",
    "data_uri",
    "nearest_in_size",
    "side_for",
]

SCALE = 4
"""How much larger the tile is decoded."""

TILE = 64
"""Its side in pixels of the picture."""

_MOST_SIDE = 768
_LEAST_SIDE = 128
_PIXELS = 2_400_000
"""Pixels of all pictures that a page holds; with four versions of each it comes to some 15 MB."""

PEERS = tuple(codec for codec in CODECS if isinstance(codec, Library) and codec.at_equal_size)
"""What stands beside ours at equal size."""


@dataclass(frozen=True)
class Shown:
    """One version of a picture: the crop that the page embeds, and the figures of the whole."""

    key: str
    label: str
    uri: str
    """The picture as a data: URI."""
    detail: str
    bytes: int | None = None
    psnr: float | None = None


@dataclass(frozen=True)
class Zoom:
    """A tile between the pixels; `versions` are the original, the decoded one, bicubic, ours."""

    x: int
    y: int
    width: int
    height: int
    versions: tuple[Shown, ...]


@dataclass(frozen=True)
class Comparison:
    """A picture's versions at equal size. Crop and zoom are in pixels of the picture."""

    image: str
    crop: tuple[int, int, int, int]
    """x, y, width, height of what is shown: the middle of the picture."""
    versions: tuple[Shown, ...]
    zoom: Zoom


def side_for(count: int) -> int:
    """Return the longest side that is shown of each of `count` pictures: 128 to 768 pixels."""
    side = math.isqrt(_PIXELS // max(count, 1)) // 32 * 32
    return min(max(side, _LEAST_SIDE), _MOST_SIDE)


def compare(
    row: Row, out: Path, original: Pixels, side: int, measured: Sequence[Row]
) -> Comparison:
    """Return the comparison for one of our files; `measured` are all rows of its picture.

    Raises SirenError where the file cannot be read.
    """
    field = open_field(out / row["file"])
    decoded = field.render()
    height, width = original.shape[:2]
    crop = _middle(width, height, side)
    length = int(row["bytes"])
    versions = [
        Shown("original", "Original", _cut(original, crop), "the picture itself"),
        *_peers(original, crop, length, measured),
        Shown(
            row["codec"],
            series_of(row).label,
            _cut(decoded, crop),
            setting(row),
            length,
            metrics.psnr(reference=original, decoded=decoded),
        ),
    ]
    return Comparison(row["image"], crop, tuple(versions), _zoom(field, original, decoded, crop))


def _peers(
    original: Pixels, crop: tuple[int, int, int, int], length: int, measured: Sequence[Row]
) -> list[Shown]:
    """Return PEERS at the size nearest to `length` bytes; without one that lacks here."""
    found = []
    for peer in PEERS:
        if peer.missing:
            continue
        sizes = {
            round(row["settings"]["quality"]): int(row["bytes"])
            for row in measured
            if (row["codec"], row["version"]) == (peer.name, peer.version)
        }
        quality, data = nearest_in_size(partial(peer.encode, original), length, sizes)
        decoded = peer.decode(data)
        psnr = metrics.psnr(reference=original, decoded=decoded)
        uri = _cut(decoded, crop)
        found.append(Shown(peer.name, peer.label, uri, f"quality {quality}", len(data), psnr))
    return found


def nearest_in_size(
    encode: Callable[[int], bytes], length: int, sizes: Mapping[int, int]
) -> tuple[int, bytes]:
    """Return the quality of 1 to 95, and its file, whose size is nearest to `length` bytes.

    By halving: sizes rise with the quality, but for a few bytes. `sizes` are those known already,
    in bytes by quality: between them fewer files need to be made.
    """
    low = max((quality + 1 for quality, size in sizes.items() if size < length), default=1)
    high = min((quality for quality, size in sizes.items() if size >= length), default=95)
    low, high = min(low, 95), min(max(low, high), 95)
    files: dict[int, bytes] = {}
    while low < high:
        middle = (low + high) // 2
        files[middle] = encode(middle)
        if len(files[middle]) < length:
            low = middle + 1
        else:
            high = middle
    for quality in (low - 1, low):
        if quality >= 1 and quality not in files:
            files[quality] = encode(quality)
    return min(files.items(), key=lambda item: (abs(len(item[1]) - length), item[0]))


def _zoom(field: Field, original: Pixels, decoded: Pixels, crop: tuple[int, int, int, int]) -> Zoom:
    """Return the tile of the crop where ours and bicubic differ most, in squares."""
    x, y, width, height = crop
    ours = field.render(scale=SCALE, crop=crop)
    bicubic = _enlarge(decoded, crop, Image.Resampling.BICUBIC)
    difference = np.square(ours.astype(np.float32) - bicubic).sum(2)
    tiles = [
        (left, top, min(TILE, width), min(TILE, height))
        for top in _starts(height)
        for left in _starts(width)
    ]
    left, top, wide, high = max(tiles, key=lambda tile: float(difference[_window(tile)].sum()))
    tile = (x + left, y + top, wide, high)
    window = _window((left, top, wide, high))
    once = f"{wide} x {high} pixels"
    larger = f"{SCALE * wide} x {SCALE * high}"
    versions = (
        Shown("original", "Original", _cut(original, tile), once),
        Shown("decoded", "Decoded", _cut(decoded, tile), once),
        Shown("bicubic", "Bicubic", data_uri(bicubic[window]), f"of the decoded, {larger}"),
        Shown("ours", "Decoded between the pixels", data_uri(ours[window]), larger),
    )
    return Zoom(*tile, versions)


def _starts(length: int) -> range:
    """Return where the tiles of a side begin: a short rest is left out."""
    return range(0, max(length - TILE, 0) + 1, TILE)


def _window(tile: tuple[int, int, int, int]) -> tuple[slice, slice]:
    left, top, width, height = (SCALE * value for value in tile)
    return slice(top, top + height), slice(left, left + width)


def _enlarge(pixels: Pixels, crop: tuple[int, int, int, int], filter_: int) -> Pixels:
    x, y, width, height = crop
    size = (SCALE * width, SCALE * height)
    box = (x, y, x + width, y + height)
    return np.asarray(Image.fromarray(pixels).resize(size, filter_, box=box))


def _middle(width: int, height: int, side: int) -> tuple[int, int, int, int]:
    wide, high = min(width, side), min(height, side)
    return (width - wide) // 2, (height - high) // 2, wide, high


def _cut(pixels: Pixels, crop: Sequence[int]) -> str:
    x, y, width, height = crop
    return data_uri(pixels[y : y + height, x : x + width])


def data_uri(pixels: Pixels) -> str:
    """Return a picture as a data: URI: lossless WebP, or PNG where Pillow has no WebP."""
    file = io.BytesIO()
    image = Image.fromarray(pixels)
    if features.check("webp"):
        kind = "webp"
        image.save(file, "WEBP", lossless=True)
    else:
        kind = "png"
        image.save(file, "PNG", optimize=True)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
