"""Generated pictures of every kind, written by one library, read by this one, sample by sample."""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import png as pypng
import tifffile
from pictures import ORIENTED
from PIL import Image

from siren_codec.errors import SirenError
from siren_codec.picture import Picture, load, save_bytes

__all__ = ["Case", "cases", "check"]

Pixels = npt.NDArray[Any]
HEIGHT, WIDTH = 19, 21
CHANNELS = (1, 2, 3, 4)


@dataclass(frozen=True)
class Case:
    """A kind of picture: how it is written, and the samples that are to be found."""

    name: str
    write: Callable[[], bytes]
    expected: Pixels


def cases(*, full: bool) -> Iterator[Case]:
    """Yield kinds of pictures; without `full` a few of each family."""
    for family in (_pngs, _tiffs, _jpeg_2000s, _pnms, _by_pillow, _ours):
        found = list(family())
        yield from found if full else found[:: max(1, len(found) // 12)]


def check(case: Case) -> str:
    """Read a case; return what differs, or ""."""
    try:
        found = load(case.write(), max_pixels=1 << 20).pixels
    except SirenError as error:
        return f"refused: {error}"
    expected = case.expected
    if (found.shape, found.dtype) != (expected.shape, expected.dtype):
        return f"expected {expected.shape} {expected.dtype}, found {found.shape} {found.dtype}"
    wrong = np.argwhere(found != expected)
    if not len(wrong):
        return ""
    at = tuple(wrong[0].tolist())
    return f"expected {expected[at]} at {at}, found {found[at]}, and {len(wrong) - 1} more"


def samples(channels: int, bits: int) -> Pixels:
    """Return (HEIGHT, WIDTH, channels) samples of so many bits, noise that has both ends."""
    rng = np.random.default_rng(100 * bits + channels)
    dtype = np.uint8 if bits <= 8 else np.uint16
    values = rng.integers(0, (1 << bits) - 1, (HEIGHT, WIDTH, channels), dtype, endpoint=True)
    values[0, 0], values[0, 1] = 0, (1 << bits) - 1
    return values


def whole(values: Pixels, peak: int) -> Pixels:
    """Return samples of 0..peak as those of 8 or 16 bits, the nearest."""
    wide, most = values.astype(np.int64), 255 if peak < 256 else 65535
    return ((2 * wide * most + peak) // (2 * peak)).astype(np.uint8 if peak < 256 else np.uint16)


def squeezed(values: Pixels) -> Pixels:
    return values[:, :, 0] if values.shape[2] == 1 else values


def _pngs() -> Iterator[Case]:
    for bits, channels, interlace in product((1, 2, 4, 8, 16), CHANNELS, (False, True)):
        if bits < 8 and channels > 1:
            continue
        values = samples(channels, bits)
        write = partial(_pypng, values, bits, interlace)
        yield Case(f"PNG {bits}x{channels} {interlace=}", write, whole(values, (1 << bits) - 1))
        if bits < 8:
            continue
        write = partial(_imagecodecs, "png_encode", squeezed(values))
        yield Case(f"PNG of libpng {bits}x{channels}", write, values)
    for bits, alpha in product((1, 2, 4, 8), (False, True)):
        values, palette = (
            samples(1, bits),
            samples(4 if alpha else 3, 8).reshape(-1, 4 if alpha else 3),
        )
        palette = palette[: 1 << bits]
        write = partial(_pypng, values, bits, False, palette)
        yield Case(f"PNG palette {bits} {alpha=}", write, palette[values[:, :, 0]])
    for bits, channels in product((1, 2, 4, 8, 16), (1, 3)):
        if bits < 8 and channels > 1:
            continue
        values = samples(channels, bits)
        transparent = values[3, 4]
        hidden = (values == transparent).all(axis=2)
        colours = whole(values, (1 << bits) - 1)
        alpha_ = np.where(hidden, 0, np.iinfo(colours.dtype).max).astype(colours.dtype)
        write = partial(_pypng, values, bits, False, None, tuple(transparent.tolist()))
        yield Case(f"PNG tRNS {bits}x{channels}", write, np.dstack([colours, alpha_]))


def _pypng(
    values: Pixels,
    bits: int,
    interlace: bool,
    palette: Pixels | None = None,
    transparent: Any = None,
) -> bytes:
    channels = values.shape[2]
    options: dict[str, Any] = {"greyscale": channels < 3, "alpha": channels in (2, 4)}
    if palette is not None:
        options = {"palette": [tuple(map(int, each)) for each in palette]}
    if transparent is not None:
        options["transparent"] = transparent[0] if channels == 1 else transparent
    out = io.BytesIO()
    writer = pypng.Writer(WIDTH, HEIGHT, bitdepth=bits, interlace=interlace, **options)
    writer.write_array(out, values.ravel().tolist())
    return out.getvalue()


def _imagecodecs(name: str, values: Pixels, **options: Any) -> bytes:
    return bytes(getattr(imagecodecs, name)(values, **options))


_COMPRESSIONS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"compression": "lzma"},
)
_SEGMENTS: tuple[dict[str, Any], ...] = ({}, {"rowsperstrip": 5}, {"tile": (16, 16)})


def _tiffs() -> Iterator[Case]:
    shapes = product((8, 16), CHANNELS, "<>", (1, 2), _SEGMENTS, _COMPRESSIONS)
    for bits, channels, order, planar, segments, compression in shapes:
        if planar == 2 and channels == 1:
            continue
        values = samples(channels, bits)
        options = {**segments, **compression, "byteorder": order, "planarconfig": planar}
        name = f"TIFF {bits}x{channels} {options}"
        yield Case(name, partial(_tiff, values, **options), values)
    for orientation, bits, big in product(ORIENTED, (8, 16), (False, True)):
        values, tag = samples(3, bits), [(274, 3, 1, orientation, True)]
        write = partial(_tiff, values, extratags=tag, bigtiff=big)
        yield Case(f"TIFF {bits} {orientation=} {big=}", write, ORIENTED[orientation](values))
    for bits, channels in product(range(1, 17), (1, 3)):
        values = samples(channels, bits)
        if bits in (8, 16) or (channels == 3 and bits == 1):
            continue
        write = partial(_tiff, values, bitspersample=bits)
        yield Case(f"TIFF of {bits}x{channels}", write, whole(values, (1 << bits) - 1))
    for bits in (8, 16):
        values = samples(1, bits)
        write = partial(_tiff, values, photometric="miniswhite")
        yield Case(f"TIFF white is zero {bits}", write, np.iinfo(values.dtype).max - values)


def _tiff(values: Pixels, **options: Any) -> bytes:
    channels = values.shape[2]
    options = {"photometric": "minisblack" if channels < 3 else "rgb", **options}
    if channels in (2, 4):
        options["extrasamples"] = ["unassalpha"]
    if options.get("planarconfig") == 2:
        values = values.transpose(2, 0, 1)
    elif channels == 1:
        options.pop("planarconfig", None)
        values = values[:, :, 0]
    if options.get("bitspersample") == 1:
        values = values.astype(bool)
    out = io.BytesIO()
    tifffile.imwrite(out, values, metadata=None, **options)
    return out.getvalue()


def _jpeg_2000s() -> Iterator[Case]:
    for bits, channels, container in product(range(1, 17), CHANNELS, ("j2k", "jp2")):
        values = samples(channels, bits)
        options = {"level": 0, "reversible": True, "bitspersample": bits, "codecformat": container}
        write = partial(_imagecodecs, "jpeg2k_encode", squeezed(values), **options)
        name = f"JPEG 2000 {bits}x{channels} {container}"
        yield Case(name, write, whole(values, (1 << bits) - 1))


def _pnms() -> Iterator[Case]:
    for peak, magic in product((1, 2, 100, 255, 256, 1023, 65535), ("P2", "P3", "P5", "P6", "P7")):
        channels = 3 if magic in ("P3", "P6") else 4 if magic == "P7" else 1
        values = (samples(channels, 16).astype(int) % (peak + 1)).astype(np.uint16)
        head = f"{magic}\n{WIDTH} {HEIGHT}\n{peak}\n"
        if magic == "P7":
            head = f"P7\nWIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH 4\nMAXVAL {peak}\nENDHDR\n"
        body = values.astype(">u2" if peak > 255 else "u1").tobytes()
        if magic in ("P2", "P3"):
            body = " ".join(map(str, values.ravel().tolist())).encode()
        yield Case(f"{magic} to {peak}", partial(bytes, head.encode() + body), whole(values, peak))


_LOSSLESS: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = {
    "PNG": (CHANNELS, {}),
    "TIFF": (CHANNELS, {}),
    "BMP": ((1, 3), {}),
    "WEBP": ((3, 4), {"lossless": True, "exact": True}),
    "TGA": (CHANNELS, {}),
    "SGI": ((1, 3, 4), {}),
    "PCX": ((1, 3), {}),
    "QOI": ((3, 4), {}),
    "PPM": ((1, 3), {}),
    "GIF": ((1,), {}),
    "DDS": (CHANNELS, {}),
    "JPEG2000": (CHANNELS, {}),
    "ICO": ((3, 4), {"sizes": [(WIDTH, HEIGHT)]}),
}


def _by_pillow() -> Iterator[Case]:
    for format_, (channels, options) in _LOSSLESS.items():
        for count in channels:
            values = samples(count, 8)
            write = partial(_pillow, values, format_, **options)
            expected = values if format_ != "GIF" else np.dstack([values] * 3)
            yield Case(f"{format_} of Pillow, {count} channels", write, expected)
    for format_, orientation in product(("PNG", "WEBP", "TIFF"), ORIENTED):
        exif = Image.Exif()
        exif[274] = orientation
        values = samples(3, 8)
        options = {"exif": exif, **_LOSSLESS[format_][1]}
        write = partial(_pillow, values, format_, **options)
        yield Case(f"{format_} {orientation=}", write, ORIENTED[orientation](values))


def _pillow(values: Pixels, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Image.fromarray(squeezed(values)).save(out, format_, **options)
    return out.getvalue()


def _ours() -> Iterator[Case]:
    for format_, bits, channels in product(("PNG", "TIFF"), (8, 16), CHANNELS):
        values = samples(channels, bits)
        write = partial(_written, values, format_)
        yield Case(f"our {format_} {bits}x{channels}", write, values)


def _written(values: Pixels, format_: str) -> bytes:
    return save_bytes(Picture(values), format_)[0]
