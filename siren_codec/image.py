"""Picture files <-> Picture: pixels with their depth, and the metadata that goes with them."""

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, PngImagePlugin, UnidentifiedImageError

from siren_codec.errors import LimitError, PictureError, UsageError

__all__ = ["OUTPUT_FORMATS", "Picture", "from_array", "from_pil", "load", "save_bytes"]

Pixels = npt.NDArray[Any]

OUTPUT_FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".webp": "WEBP",
    ".bmp": "BMP",
}
"""What `siren-decode` writes, by the file's extension."""

_KEPT = ("L", "LA", "RGB", "RGBA")
_CONVERTED = {
    "1": "L",
    "P": "RGB",
    "PA": "RGBA",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
    "RGBX": "RGB",
    "La": "LA",
    "RGBa": "RGBA",
}


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels (height, width, channels) of uint8 or uint16, and what came with them.

    1, 2, 3 or 4 channels are L, LA, RGB and RGBA. `metadata` maps "icc", "exif" and "xmp" to raw
    bytes. `notices` says in words what was converted on the way in.
    """

    pixels: Pixels
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def load(source: str | os.PathLike[str] | bytes, *, max_pixels: int) -> Picture:
    """Read a picture file, or its bytes. Raises PictureError or LimitError."""
    name = "standard input" if isinstance(source, bytes) else os.fspath(source)
    file: BinaryIO | Path = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    if source == b"" or (isinstance(file, Path) and file.is_file() and not file.stat().st_size):
        raise PictureError(f"{name}: expected a picture, found an empty file")
    try:
        with _bomb_limit(max_pixels), Image.open(file) as image:
            return from_pil(image, max_pixels=max_pixels)
    except UnidentifiedImageError:
        raise PictureError(f"{name}: not a picture that Pillow can read") from None
    except (LimitError, PictureError) as error:
        raise type(error)(f"{name}: {error}") from None
    except Image.DecompressionBombError as error:
        raise LimitError(f"{name}: {error}") from None
    except OSError as error:
        raise PictureError(f"{name}: {error.strerror or error}") from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for a broken file: SyntaxError, struct.error...
        raise PictureError(f"{name}: broken picture: {error}") from None


def from_pil(image: Image.Image, *, max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image, its EXIF orientation applied to the pixels."""
    _check_size(image.width, image.height, max_pixels)
    notices = []
    if getattr(image, "n_frames", 1) > 1:
        notices.append(f"kept the first of {image.n_frames} frames")  # type: ignore[attr-defined]
    # Pillow reads 16-bit colour as 8 bits and does not say so; the raw mode in the tile does.
    if image.mode in _KEPT and ";16" in str(getattr(image, "tile", "")):
        notices.append(f"converted 16-bit {image.mode} to 8 bits a sample")
    oriented = ImageOps.exif_transpose(image)
    if oriented.getexif() != image.getexif():
        notices.append("applied the EXIF orientation to the pixels")
    metadata = _metadata(oriented)
    if oriented.mode.startswith("I;16"):
        pixels = np.asarray(oriented).astype(np.uint16)
        return Picture(pixels[:, :, None], metadata, tuple(notices))
    converted = _convert(oriented)
    if converted.mode != oriented.mode:
        notices.append(f"converted {oriented.mode} to {converted.mode}")
        if oriented.mode in ("CMYK", "LAB") and metadata.pop("icc", b""):
            notices.append(f"dropped the {oriented.mode} colour profile")
    pixels = np.asarray(converted)
    return Picture(np.atleast_3d(pixels), metadata, tuple(notices))


def from_array(array: npt.ArrayLike, *, max_pixels: int) -> Picture:
    """Return the Picture of a (height, width) or (height, width, 1..4) uint8 or uint16 array."""
    pixels = np.asarray(array)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise UsageError(f"pixels: expected uint8 or uint16, found {pixels.dtype}")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise UsageError(
            f"pixels: expected (height, width) or (height, width, 1..4), found {pixels.shape}"
        )
    _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Picture(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))


def save_bytes(picture: Picture, format_: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a picture file of a Pillow format, and notices of what the format could not hold."""
    pixels, notices = picture.pixels, []
    channels = pixels.shape[2]
    if pixels.dtype == np.uint16 and (channels > 1 or format_ not in ("PNG", "TIFF")):
        notices.append(f"converted 16-bit samples to the 8 bits that this {format_} writer keeps")
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if channels in (2, 4) and format_ in ("JPEG", "BMP"):
        notices.append(f"dropped the alpha channel, which {format_} cannot hold")
        pixels = pixels[:, :, :-1]
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    options: dict[str, Any] = {"quality": 95} if format_ in ("JPEG", "WEBP") else {}
    names = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
    options |= {names[name]: data for name, data in picture.metadata.items()}
    if format_ == "PNG" and "xmp" in options:
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", options.pop("xmp").decode("utf-8", "replace"))
        options["pnginfo"] = text
    if format_ == "BMP" and picture.metadata:
        notices.append("dropped the metadata, which BMP cannot hold")
        options = {}
    out = io.BytesIO()
    try:
        image.save(out, format=format_, **options)
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot write this picture as {format_}: {error}") from None
    return out.getvalue(), tuple(notices)


@contextmanager
def _bomb_limit(max_pixels: int) -> Iterator[None]:
    """Put our limit in the place of Pillow's own, which is a global, and silence its warning.

    `from_pil` checks the limit before a pixel is decoded, and says more than the warning does.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise PictureError(f"expected at least 1x1 pixels, found {width}x{height}")
    if width * height > max_pixels:
        raise LimitError(f"{width}x{height}: expected at most {max_pixels} pixels")


def _convert(image: Image.Image) -> Image.Image:
    """Return an image of a mode that can be stored; refuse what would lose its meaning."""
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        return image.convert("LA" if grey else "RGBA")
    if image.mode in _KEPT:
        return image
    if image.mode not in _CONVERTED:
        raise PictureError(
            f"expected a picture of 8 bits, or grey of 16; found Pillow's mode {image.mode}"
        )
    return image.convert(_CONVERTED[image.mode])


def _metadata(image: Image.Image) -> dict[str, bytes]:
    """Return the ICC, EXIF and XMP of an image, those that it has."""
    exif = image.getexif()
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    found = {
        "icc": image.info.get("icc_profile"),
        "exif": exif.tobytes() if len(exif) else None,
        "xmp": xmp.encode() if isinstance(xmp, str) else xmp,
    }
    return {name: bytes(data) for name, data in found.items() if data}
