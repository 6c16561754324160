"""Picture -> picture files."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, features

from siren_codec.errors import PictureError
from siren_codec.picture import jpegxl, png, tiff
from siren_codec.picture.picture import METADATA, Picture, Pixels

__all__ = ["OUTPUT_FORMATS", "check_writable", "lossless_webp", "save_bytes"]

OUTPUT_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".jxl": "JXL",
}
"""What `siren-decode` writes, by the file's extension."""

_LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_QUICK_PIXELS = 4_000_000
_QUICKEST: Mapping[str, Any] = {"lossless": True, "quality": 0, "method": 0}
_QUICK: Mapping[str, Any] = {"lossless": True, "quality": 50, "method": 1}
"""0.1 to 0.4 s for 4 megapixels, and 0.4 to 1.7 s: a photograph's only with the first."""
_MOST_GAIN = 4
"""What the second makes of the first one's bytes, at most, where it makes any difference."""
_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "JPEG": {"quality": 95},
    "WEBP": {"quality": 95},
    "AVIF": {"quality": 95, "subsampling": "4:4:4"},
}
"""What Pillow is asked for."""


def check_writable(format_: str) -> None:
    """Raise PictureError where a format needs what is not installed."""
    if format_ == "JXL":
        jpegxl.check()
    if format_ == "AVIF" and not features.check("avif"):
        raise PictureError(
            "AVIF: expected a Pillow that was built with libavif; pip install --upgrade pillow"
        )


def save_bytes(picture: Picture, format_: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a picture file of a Pillow format, and notices of what the format could not hold.

    Raises PictureError where it cannot hold the pixels themselves.
    """
    check_writable(format_)
    height, width, _ = picture.pixels.shape
    if max(width, height) > _LARGEST_SIDE.get(format_, width + height):
        raise PictureError(
            f"{width}x{height}: expected at most {_LARGEST_SIDE[format_]} pixels a side "
            f"in {format_}"
        )
    pixels, notices = _storable(picture.pixels, format_)
    kept = {}
    for name, payload in picture.metadata.items():
        # Metadata comes from a file and is not to be trusted: each is tried on a single pixel.
        try:
            _written(pixels[:1, :1], format_, {name: payload})
        except PictureError as error:
            notices.append(f"dropped the {name.upper()}: {error}")
        else:
            kept[name] = payload
    return _written(pixels, format_, kept), tuple(notices)


def lossless_webp(picture: Picture, *, at_most: int) -> int | None:
    """Return the bytes of a picture as a lossless WebP, if they are at most so many.

    Text, logos and palettes are stored best so. None too where it cannot be told in a moment, or
    the picture has 16 bits.
    """
    height, width, _ = picture.pixels.shape
    large = width * height > _QUICK_PIXELS or max(width, height) > _LARGEST_SIDE["WEBP"]
    if large or picture.pixels.dtype != np.uint8:
        return None
    for effort, slack in ((_QUICKEST, _MOST_GAIN), (_QUICK, 1)):
        try:
            size = len(_by_pillow("WEBP", **effort)(picture.pixels, picture.metadata))
        except Exception:
            # Pillow raises anything for metadata that it cannot write.
            return None
        if size > slack * at_most:
            return None
    return size


def _storable(pixels: Pixels, format_: str) -> tuple[Pixels, list[str]]:
    """Return what a format can hold of pixels, and notices of the rest."""
    notices = []
    deep = format_ in ("PNG", "TIFF") or (format_ == "JXL" and jpegxl.keeps_depth())
    if pixels.dtype == np.uint16 and not deep:
        notices.append(f"converted 16-bit samples to the 8 bits that this {format_} writer keeps")
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if pixels.shape[2] in (2, 4) and format_ in ("JPEG", "BMP"):
        notices.append(f"dropped the alpha channel, which {format_} cannot hold")
        pixels = pixels[:, :, :-1]
    return pixels, notices


def _written(pixels: Pixels, format_: str, payloads: Mapping[str, bytes]) -> bytes:
    try:
        return _WRITERS.get(format_, _by_pillow(format_))(pixels, payloads)
    except Exception as error:
        # Pillow raises anything for what it cannot write.
        reason = f": {error}" if str(error) else ""
        raise PictureError(f"{format_} cannot hold it{reason}") from None


_WRITERS = {"PNG": png.write, "TIFF": tiff.write, "JXL": jpegxl.write}


def _by_pillow(format_: str, **wanted: Any) -> Callable[[Pixels, Mapping[str, bytes]], bytes]:
    """Return a function that writes 8 bits by Pillow."""

    def write(pixels: Pixels, payloads: Mapping[str, bytes]) -> bytes:
        if format_ == "BMP" and payloads:
            raise PictureError
        options = wanted or dict(_OPTIONS.get(format_, {}))
        options |= {METADATA[name]: payload for name, payload in payloads.items()}
        squeezed = np.ascontiguousarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        out = _Named(f"picture.{format_.lower()}")
        Image.fromarray(squeezed).save(out, **options)
        return out.getvalue()

    return write


class _Named(io.BytesIO):
    """A file in memory whose name says its format: told by `format=`, Pillow imports four more."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
