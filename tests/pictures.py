"""Pictures for the tests of siren_codec.picture, and files of them, written by other means."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image, ImageCms

from siren_codec.errors import PictureError, SirenError
from siren_codec.picture import Picture, load

__all__ = [
    "DIVIDED",
    "LAYOUTS",
    "LOSSLESS",
    "MAKE",
    "MAX_PIXELS",
    "METADATA",
    "ORIENTATION",
    "ORIENTED",
    "TAGS",
    "Pixels",
    "chunk",
    "encoded",
    "exif",
    "grey_of",
    "lzw",
    "noise",
    "oriented_tiff",
    "png",
    "read",
    "refused",
    "tags_of",
    "tiff",
    "written_by_tifffile",
]

Pixels = npt.NDArray[Any]


MAX_PIXELS = 1_000_000


MAKE = 0x010F


ORIENTATION = 0x0112


LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}}


def noise(shape: tuple[int, ...], dtype: type = np.uint8) -> Pixels:
    peak = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, peak, shape, dtype, endpoint=True)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def read(data: bytes) -> Picture:
    return load(data, max_pixels=MAX_PIXELS)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(pixels: Pixels, colour_type: int, extra: bytes = b"") -> bytes:
    """Return a PNG of 16 bits a sample; Pillow writes such files for grey alone."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def grey_of(values: Any, dtype: type) -> Image.Image:
    return Image.fromarray(np.array(values, dtype))


LAYOUTS: dict[str, dict[str, Any]] = {
    "strip": {},
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib", "rowsperstrip": 4},
    "predictor": {"compression": "zlib", "predictor": True, "tile": (16, 16)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 4},
    "planes in tiles": {"planarconfig": "separate", "tile": (16, 16)},
    "deflated planes": {"planarconfig": "separate", "compression": "zlib", "predictor": True},
}


def written_by_tifffile(pixels: Pixels, **options: Any) -> bytes:
    channels = pixels.shape[2]
    options = {"photometric": "minisblack" if channels < 3 else "rgb", **options}
    if channels in (2, 4):
        options.setdefault("extrasamples", ["unassalpha"])
    if options.get("planarconfig") == "separate" and channels > 1:
        pixels = pixels.transpose(2, 0, 1)
    elif channels == 1:
        options.pop("planarconfig", None)
        pixels = pixels[:, :, 0]
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, **options)
    return out.getvalue()


DIVIDED = "divided the colours by the alpha that the file had multiplied in"


TAGS = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}


def tiff(data: bytes, width: int, height: int, **changes: Any) -> bytes:
    """Return a TIFF of one strip and of any tags: names of TAGS, or numbers after an underscore."""
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (16,),
        259: 1,
        262: 1,
        277: 1,
        278: height,
    }
    tags |= {TAGS.get(name) or int(name[1:]): value for name, value in changes.items()}
    tags = {273: 8, 279: len(data)} | tags
    tags[277] = len(tags[258]) if "_277" not in changes else tags[277]
    out = bytearray(b"II*\0" + struct.pack("<I", 8 + len(data) + len(data) % 2) + data)
    out += bytes(len(data) % 2) + struct.pack("<H", len(tags))
    beyond = len(out) + 12 * len(tags) + 4
    values = b""
    for tag, value in sorted(tags.items()):
        numbers = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(numbers) == 1 else struct.pack("<I", beyond + len(values))
        out += struct.pack("<HHI", tag, 4, len(numbers)) + place
        values += packed if len(numbers) > 1 else b""
    return bytes(out + bytes(4) + values)


def lzw(data: bytes) -> bytes:
    """Return data as LZW that learns nothing: 9 bits a byte, and the table cleared in time."""
    codes = [256]
    for start in range(0, len(data), 200):
        codes += [*data[start : start + 200], 256]
    bits = "".join(f"{code:09b}" for code in [*codes[:-1], 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


ORIENTED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[MAKE] = "maker"
    return tags


def tags_of(picture: Picture) -> dict[int, Any]:
    tags = Image.Exif()
    tags.load(picture.metadata["exif"])
    return dict(tags)


def oriented_tiff(pixels: Pixels, orientation: int, **options: Any) -> bytes:
    extratags = [(ORIENTATION, 3, 1, orientation, True)]
    return written_by_tifffile(pixels, extratags=extratags, **options)


METADATA = {
    "icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "exif": exif().tobytes(),
    "xmp": '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'.encode(),
}


def refused(source: str | Path | bytes, kind: type[SirenError] = PictureError) -> str:
    """Return the message of the refusal: one line, of this kind, and nothing chained to it."""
    with pytest.raises(SirenError) as caught:
        load(source, max_pixels=MAX_PIXELS)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    message = str(caught.value)
    assert "\n" not in message
    return message
