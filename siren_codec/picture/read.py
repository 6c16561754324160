"""Picture files -> Picture."""

import io
import math
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from siren_codec.errors import LimitError, PictureError
from siren_codec.picture import deep, metadata
from siren_codec.picture.picture import MODES, Picture, Pixels, check_size

__all__ = ["from_pil", "load"]

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

_DRAWINGS = ("EPS", "WMF")


def load(source: str | os.PathLike[str] | bytes, *, max_pixels: int) -> Picture:
    """Read a picture file, or its bytes. Raises PictureError or LimitError.

    What Pillow warns of is among the notices.
    """
    name = "standard input" if isinstance(source, bytes) else os.fspath(source)
    try:
        with _pillow_errors(), _bomb_limit(max_pixels) as said, _opened(source) as file:
            try:
                _check_png(file)
                with Image.open(file) as image:
                    picture = from_pil(image, max_pixels=max_pixels)
            except UnidentifiedImageError:
                picture = _from_odd_tiff(file, max_pixels)
    except (LimitError, PictureError) as error:
        raise type(error)(f"{name}: {error}") from None
    return replace(picture, notices=picture.notices + _notices_of(said))


def from_pil(image: Image.Image, *, max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image, its EXIF orientation applied to the pixels.

    Colours of 16 bits a sample are kept if the image was opened and not loaded; Pillow itself loads
    8. Raises PictureError or LimitError.
    """
    check_size(image.width, image.height, max_pixels)
    with _pillow_errors():
        _check_kind(image)
        mode, notices = image.mode, _what_pillow_drops(image)
        # Loading turns a TIFF, but may find more metadata in other files.
        tiff = metadata.of_image(image, notices) if image.format == "TIFF" else None
        pixels = deep.read(image, notices)
        if pixels is None:
            pixels = _samples(image, notices)
        elif image.format == "PNG":
            image.load()
        found, orientation = tiff or metadata.of_image(image, notices)
        if not tiff:
            pixels = deep.turned(pixels, orientation)
        if mode in ("CMYK", "LAB") and found.pop("icc", b""):
            notices.append(f"dropped the {mode} colour profile")
        return Picture(np.ascontiguousarray(pixels), found, tuple(notices))


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes) -> Iterator[IO[bytes]]:
    """Open a file, or bytes as one; all of it is read where it cannot be read twice."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        seekable = file if file.seekable() else io.BytesIO(file.read())
        if not seekable.read(1):
            raise PictureError("expected a picture, found an empty file")
        seekable.seek(0)
        yield seekable


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
        raise PictureError(f"broken picture: {error or type(error).__name__}") from None


@contextmanager
def _bomb_limit(max_pixels: int) -> Iterator[list[warnings.WarningMessage]]:
    """Put our limit in the place of Pillow's own, which is a global, and collect its warnings.

    That of the limit is left out: `from_pil` checks it before a pixel is decoded, and says more.
    """
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, max_pixels
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            yield said
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _notices_of(said: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return what Pillow says of broken tags, each once and in a line; other warnings go on."""
    notices: dict[str, None] = {}
    for each in said:
        if each.category is UserWarning:
            notices[f"Pillow: {' '.join(str(each.message).split())}"] = None
        else:
            warnings.warn(each.message, each.category, stacklevel=3)
    return tuple(notices)


def _check_png(file: IO[bytes]) -> None:
    """Check the checksums of a PNG, which Pillow decodes without looking at them."""
    with Image.open(file) as image:
        if image.format == "PNG":
            if not getattr(image, "tile", ()):
                raise PictureError("broken picture: a PNG without pixels")
            image.verify()


def _from_odd_tiff(file: IO[bytes], max_pixels: int) -> Picture:
    """Return the Picture of a TIFF of 16 bits that Pillow cannot open."""
    tags, notices = Image.Exif(), list[str]()
    file.seek(0)
    try:
        tags.load_from_fp(file)
        size = int(tags[ExifTags.Base.ImageWidth]), int(tags[ExifTags.Base.ImageLength])
    except Exception:
        raise UnidentifiedImageError from None
    check_size(*size, max_pixels)
    pixels = deep.read_odd_tiff(file, size, notices)
    found, orientation = metadata.of_tags(tags, notices)
    pixels = np.ascontiguousarray(deep.turned(pixels, orientation))
    return Picture(pixels, found, tuple(notices))


def _layout(image: Image.Image) -> Mapping[int, Any]:
    """Return a TIFF's tags; of others none, which can have those of a thumbnail."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def _check_kind(image: Image.Image) -> None:
    """Refuse what Pillow would run, take for something else, or need far too much memory for."""
    if image.format in _DRAWINGS:
        raise PictureError(f"expected pixels, found a drawing ({image.format})")
    tags = _layout(image)
    if image.mode == "L" and 2 in tags.get(ExifTags.Base.SampleFormat, ()):
        raise PictureError("expected samples without a sign, found signed ones of 8 bits")
    tile = tags.get(ExifTags.Base.TileWidth, 1) * tags.get(ExifTags.Base.TileLength, 1)
    if tile > max(image.width * image.height, deep.LARGEST_TILE):
        raise PictureError(f"broken picture: tiles of {tile} pixels")
    # Pillow leaves black what has none.
    found, expected = np.size(tags.get(ExifTags.Base.TileOffsets, ())), _tiles(tags)
    if found < expected:
        raise PictureError(f"broken picture: expected {expected} tiles, found {found}")


def _tiles(tags: Mapping[int, Any]) -> int:
    """Return how many tiles a TIFF that has tiles must have, 0 for other pictures.

    By its own width and height: Pillow swaps those of a picture that lies on its side.
    """
    width, height = tags.get(ExifTags.Base.TileWidth), tags.get(ExifTags.Base.TileLength)
    if not width or not height:
        return 0
    across: int = math.ceil(tags[ExifTags.Base.ImageWidth] / width)
    down: int = math.ceil(tags[ExifTags.Base.ImageLength] / height)
    in_planes = tags.get(ExifTags.Base.PlanarConfiguration) == 2
    planes: int = tags.get(ExifTags.Base.SamplesPerPixel, 1) if in_planes else 1
    return across * down * planes


def _what_pillow_drops(image: Image.Image) -> list[str]:
    """Return notices of what Pillow itself leaves out of an image without saying so."""
    notices = []
    frames, sizes = getattr(image, "n_frames", 1), image.info.get("sizes", ())
    if frames > 1 and image.format == "PSD":
        notices.append(f"kept the merged picture of {frames} layers")
    elif frames > 1:
        kept = f"frame {image.tell() + 1}" if image.tell() else "the first"
        notices.append(f"kept {kept} of {frames} frames")
    if image.format in ("ICO", "ICNS") and len(sizes) > 1:
        notices.append(f"kept the largest of {len(sizes)} sizes")
    gamma, profiled = image.info.get("gamma"), {"icc_profile", "srgb"} & set(image.info)
    if gamma and not profiled and abs(gamma - 1 / 2.2) > 0.01:
        notices.append(f"did not apply the gamma of {gamma:g}")
    tags = _layout(image)
    if tags.get(ExifTags.Base.NewSubfileType, 0) & 1:
        notices.append("kept the first page, which is a reduced copy of another")
    extra = tags.get(ExifTags.Base.SamplesPerPixel, 1) - len(image.getbands())
    if extra > 0 and image.mode not in ("P", "1"):
        notices.append(f"dropped {extra} channels beyond colour and alpha")
    return notices


def _samples(image: Image.Image, notices: list[str]) -> Pixels:
    """Load an image; return its (height, width, 1..4) uint8 or uint16 pixels."""
    tiles = str(getattr(image, "tile", ""))
    if deep.lost_depth(image):
        notices.append("converted samples of more than 8 bits to 8")
    if "RGBa" in tiles and image.mode == "RGBA":
        notices.append(deep.DIVIDED)
    white_is_zero = deep.white_is_zero(image)
    image.load()
    if image.mode[0] in "IF":
        grey = _grey(image, tiles, notices)[:, :, None]
        grey = 65535 - grey if white_is_zero else grey
        transparent = image.info.get("transparency")
        if transparent is None:
            return grey
        notices.append("converted L to LA")
        return deep.with_alpha(grey, transparent)
    converted = _convert(image)
    if converted.mode != image.mode:
        notices.append(f"converted {image.mode} to {converted.mode}")
    return np.atleast_3d(np.asarray(converted))


def _convert(image: Image.Image) -> Image.Image:
    """Return an image of a mode that can be stored; refuse what would lose its meaning."""
    if image.has_transparency_data:
        grey = image.mode in ("1", "L", "LA", "La")
        return image.convert("LA" if grey else "RGBA")
    if image.mode in MODES:
        return image
    if image.mode not in _CONVERTED:
        raise PictureError(
            f"expected a picture of grey or colour; found Pillow's mode {image.mode}"
        )
    return image.convert(_CONVERTED[image.mode])


def _grey(image: Image.Image, tiles: str, notices: list[str]) -> Pixels:
    """Return the (height, width) uint16 pixels of an image of 16 or 32 bits or floating point."""
    values: Pixels = np.asarray(image)
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):
        if "I;12" not in tiles:
            return values.astype(np.uint16)
        notices.append("scaled samples of 12 bits to 16")
        return np.rint(values * (65535 / 4095)).astype(np.uint16)
    if "I;32N" in tiles:
        values = values.view(np.uint32)
    least, most = values.min(), values.max()
    if image.mode == "I":
        if least < 0 or most > 65535:
            raise PictureError(f"expected grey samples of 0..65535, found {least}..{most}")
        notices.append(f"kept 32-bit grey samples of {least}..{most} as 16 bits")
        return values.astype(np.uint16)
    if not np.isfinite([least, most]).all():
        raise PictureError("expected finite samples, found infinities or no numbers")
    notices.append(f"scaled floating-point grey samples from {least}..{most} to 16 bits")
    span = float(most) - float(least) or 1.0
    return np.rint((values - np.float64(least)) * (65535 / span)).astype(np.uint16)
