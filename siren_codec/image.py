"""Picture files <-> Picture: pixels with their depth, and the metadata that goes with them."""

import io
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError

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

_LARGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}

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

_DESCRIPTIVE = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
}
_TIFF_XMP = 700


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
    file: io.BytesIO | Path = io.BytesIO(source) if isinstance(source, bytes) else Path(source)
    try:
        with _pillow_errors(), _bomb_limit(max_pixels):
            if source == b"" or (
                isinstance(file, Path) and file.is_file() and not file.stat().st_size
            ):
                raise PictureError("expected a picture, found an empty file")
            if isinstance(file, io.BytesIO) or file.is_file():
                _check_png(file)
            with Image.open(file) as image:
                return from_pil(image, max_pixels=max_pixels)
    except (LimitError, PictureError) as error:
        raise type(error)(f"{name}: {error}") from None


def from_pil(image: Image.Image, *, max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image, its EXIF orientation applied to the pixels.

    Raises PictureError or LimitError.
    """
    _check_size(image.width, image.height, max_pixels)
    with _pillow_errors():
        notices = _what_pillow_drops(image)
        image.load()
        metadata, upright = _metadata(image, notices)
        if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PPM"):
            return Picture(_deep_grey(upright), metadata, tuple(notices))
        converted = _convert(upright)
        if converted.mode != upright.mode:
            notices.append(f"converted {upright.mode} to {converted.mode}")
            if upright.mode in ("CMYK", "LAB") and metadata.pop("icc", b""):
                notices.append(f"dropped the {upright.mode} colour profile")
        return Picture(np.atleast_3d(np.asarray(converted)), metadata, tuple(notices))


def from_array(array: npt.ArrayLike, *, max_pixels: int) -> Picture:
    """Return the Picture of a (height, width) or (height, width, 1..4) uint8 or uint16 array."""
    try:
        pixels = np.asarray(array)
    except ValueError as error:
        raise UsageError(f"pixels: expected an array: {error}") from None
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise UsageError(f"pixels: expected uint8 or uint16, found {pixels.dtype}")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise UsageError(
            f"pixels: expected (height, width) or (height, width, 1..4), found {pixels.shape}"
        )
    _check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Picture(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))


def save_bytes(picture: Picture, format_: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a picture file of a Pillow format, and notices of what the format could not hold.

    Raises PictureError where it cannot hold the pixels themselves.
    """
    height, width, _ = picture.pixels.shape
    if max(width, height) > _LARGEST_SIDE.get(format_, width + height):
        raise PictureError(
            f"{width}x{height}: expected at most {_LARGEST_SIDE[format_]} pixels a side "
            f"in {format_}"
        )
    pixels, notices = _storable(picture.pixels, format_)
    sample = Image.fromarray(np.ascontiguousarray(pixels[:1, :1]))
    metadata = {}
    for name, payload in picture.metadata.items():
        # Metadata comes from a file and is not to be trusted: each is tried on a single pixel.
        try:
            _written(sample, format_, {name: payload})
        except PictureError as error:
            notices.append(f"dropped the {name.upper()}: {error}")
        else:
            metadata[name] = payload
    return _written(Image.fromarray(pixels), format_, metadata), tuple(notices)


def _storable(pixels: Pixels, format_: str) -> tuple[Pixels, list[str]]:
    """Return what a format can hold of pixels, as Pillow wants them, and notices of the rest."""
    notices = []
    channels = pixels.shape[2]
    if pixels.dtype == np.uint16 and (channels > 1 or format_ not in ("PNG", "TIFF")):
        notices.append(f"converted 16-bit samples to the 8 bits that this {format_} writer keeps")
        pixels = np.rint(pixels / 257).astype(np.uint8)
    if channels in (2, 4) and format_ in ("JPEG", "BMP"):
        notices.append(f"dropped the alpha channel, which {format_} cannot hold")
        pixels = pixels[:, :, :-1]
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels, notices


def _written(image: Image.Image, format_: str, metadata: Mapping[str, bytes]) -> bytes:
    options: dict[str, Any] = {"quality": 95} if format_ in ("JPEG", "WEBP") else {}
    if format_ == "BMP" and metadata:
        raise PictureError("BMP cannot hold it")
    names = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
    options |= {names[name]: data for name, data in metadata.items()}
    out = io.BytesIO()
    try:
        if "xmp" in options and format_ in ("PNG", "TIFF"):
            options |= _xmp_options(format_, options.pop("xmp"), options.get("exif", b""))
        image.save(out, format=format_, **options)
    except Exception as error:
        # Pillow raises anything for what it cannot write.
        raise PictureError(f"{format_} cannot hold it: {error}") from None
    return out.getvalue()


@contextmanager
def _pillow_errors() -> Iterator[None]:
    """Turn all that Pillow raises for a bad file into PictureError or LimitError."""
    try:
        yield
    except (LimitError, PictureError):
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise LimitError(str(error)) from None
    except OSError as error:
        raise PictureError(error.strerror or str(error)) from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for a broken file: SyntaxError, struct.error...
        raise PictureError(f"broken picture: {error}") from None


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


def _check_png(file: io.BytesIO | Path) -> None:
    """Check the checksums of a PNG, which Pillow decodes without looking at them."""
    with Image.open(file) as image:
        if image.format == "PNG":
            image.verify()
    if isinstance(file, io.BytesIO):
        file.seek(0)


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


def _deep_grey(image: Image.Image) -> Pixels:
    """Return the (height, width, 1 | 2) pixels of a grey image of 16 bits; 2 with transparency."""
    grey = np.asarray(image).astype(np.uint16)
    transparent = image.info.get("transparency")
    if transparent is None:
        return grey[:, :, None]
    alpha = np.where(grey == transparent, 0, 65535).astype(np.uint16)
    return np.stack([grey, alpha], axis=2)


def _what_pillow_drops(image: Image.Image) -> list[str]:
    """Return notices of what Pillow itself leaves out of an image without saying so."""
    notices = []
    if getattr(image, "n_frames", 1) > 1:
        notices.append(f"kept the first of {image.n_frames} frames")  # type: ignore[attr-defined]
    # Pillow reads 16-bit colour as 8 bits; the raw mode in the tile tells, or PPM's largest value.
    tile = str(getattr(image, "tile", ""))
    deep = re.search(r"(LA|RGB|RGBA|RGBX);16[BLN]", tile)
    if image.format == "PPM" and image.mode == "RGB":
        deep = re.search(r"\D(\d{4,}|[3-9]\d\d|2[6-9]\d|25[6-9])\)+\]$", tile)
    if deep:
        notices.append(f"converted 16-bit {image.mode} to 8 bits a sample")
    return notices


def _metadata(image: Image.Image, notices: list[str]) -> tuple[dict[str, bytes], Image.Image]:
    """Return an image's ICC, EXIF and XMP, and the image turned as they say it is to be seen.

    The orientation is then gone from both EXIF and XMP.
    """
    orientation, exif = 1, b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation, exif = _exif(image)
    except Exception:
        notices.append("dropped the EXIF, which is broken")
    upright = image
    if orientation in range(2, 9):
        upright = ImageOps.exif_transpose(image)
        notices.append("applied the EXIF orientation to the pixels")
    xmp = upright.info.get("xmp") or upright.info.get("XML:com.adobe.xmp") or b""
    found = {
        "icc": image.info.get("icc_profile") or b"",
        "exif": exif,
        "xmp": xmp.encode() if isinstance(xmp, str) else xmp,
    }
    return {name: bytes(data) for name, data in found.items() if data}, upright


def _exif(image: Image.Image) -> tuple[int, bytes]:
    """Return an image's orientation and its EXIF without it, as a JPEG's APP1 payload."""
    source, exif = image.getexif(), Image.Exif()
    orientation = source.get(ExifTags.Base.Orientation, 1)
    if image.format == "TIFF":
        # Most tags of a TIFF say how its pixels are stored; these say what they show.
        for tag in _DESCRIPTIVE & set(source):
            exif[tag] = source[tag]
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if ifd in source:
                exif[ifd] = source.get_ifd(ifd)
    elif orientation == 1 and image.info.get("exif", b"").startswith(b"Exif\0\0"):
        return orientation, image.info["exif"]
    elif source:
        exif.load(source.tobytes())
    exif.pop(ExifTags.Base.Orientation, None)
    return orientation, exif.tobytes() if exif else b""


def _xmp_options(format_: str, xmp: bytes, exif: bytes) -> dict[str, Any]:
    """Return the options that make Pillow write XMP to a PNG or a TIFF, which have no `xmp=`."""
    if format_ == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    tags = Image.Exif()
    if exif:
        tags.load(exif)
    tags[_TIFF_XMP] = xmp
    return {"exif": tags}
