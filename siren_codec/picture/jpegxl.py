"""JPEG XL, written by libjxl: through imagecodecs, or else through Pillow's plugin."""

import io
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec

import numpy as np
from PIL import Image

from siren_codec.errors import PictureError
from siren_codec.picture.metadata import EXIF_PREFIX
from siren_codec.picture.picture import Pixels

__all__ = ["check", "keeps_depth", "write"]

_DISTANCE, _QUALITY = 0.55, 95
"""The same, as libjxl counts and as JPEG does."""
_SIGNATURE = b"\0\0\0\x0cJXL \r\n\x87\n"
_FILE_TYPE = b"\0\0\0\x14ftypjxl \0\0\0\0jxl "


def check() -> None:
    """Raise PictureError where neither of the two is installed."""
    if not (find_spec("imagecodecs") or find_spec("pillow_jxl")):
        raise PictureError(
            "JPEG XL: expected imagecodecs or pillow-jxl-plugin, found neither; pip install either"
        )


def keeps_depth() -> bool:
    """Tell whether 16 bits are kept: by imagecodecs, not by Pillow's plugin."""
    return find_spec("imagecodecs") is not None


def write(pixels: Pixels, payloads: Mapping[str, bytes]) -> bytes:
    """Return a JPEG XL file of (height, width, 1..4) uint8 or uint16 pixels. Raises PictureError.

    EXIF and XMP are kept; an ICC profile, for which neither library has an argument, is refused.
    """
    check()
    if "icc" in payloads:
        raise PictureError("the library that writes it takes no profile")
    exif = payloads.get("exif", b"").removeprefix(EXIF_PREFIX)
    xmp = payloads.get("xmp", b"")
    squeezed = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    if not keeps_depth():
        return _by_pillow(squeezed, exif, xmp)
    import imagecodecs

    data = bytes(imagecodecs.jpegxl_encode(squeezed, distance=_DISTANCE))
    # An Exif box begins with how many bytes lie before its TIFF.
    boxes = [_box(b"Exif", bytes(4) + exif)] if exif else []
    boxes += [_box(b"xml ", xmp)] if xmp else []
    return _with_boxes(data, b"".join(boxes)) if boxes else data


def _by_pillow(pixels: Pixels, exif: bytes, xmp: bytes) -> bytes:
    import_module("pillow_jxl")
    out = io.BytesIO()
    # It does not take an empty one for none.
    found = {name: value for name, value in (("exif", exif), ("xmp", xmp)) if value}
    Image.fromarray(pixels).save(out, "JXL", quality=_QUALITY, use_container=bool(found), **found)
    return out.getvalue()


def _with_boxes(data: bytes, boxes: bytes) -> bytes:
    """Return a file, or a bare codestream, with boxes before its codestream (ISO 18181-2)."""
    if not data.startswith(_SIGNATURE):
        return _SIGNATURE + _FILE_TYPE + boxes + _box(b"jxlc", data)
    for at, kind in _boxes(data):
        if kind in (b"jxlc", b"jxlp"):
            return data[:at] + boxes + data[at:]
    raise PictureError("found no codestream")


def _boxes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield where the boxes of a file begin, and their types, as far as they have a length."""
    at = 0
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        yield at, data[at + 4 : at + 8]
        if length < 8:
            return
        at += length


def _box(kind: bytes, payload: bytes) -> bytes:
    return (8 + len(payload)).to_bytes(4, "big") + kind + payload
