"""What is read by Pillow: the images of its plugins, with notices of what it leaves out."""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from siren_codec.errors import LimitError, PictureError, SirenError
from siren_codec.picture import tiff
from siren_codec.picture.metadata import Metadata, upright
from siren_codec.picture.picture import MODES, Picture, Pixels, broken, check_size
from siren_codec.picture.samples import DIVIDED, Samples, grey_of_floats, grey_of_integers
from siren_codec.picture.settings import at_least_pixels, collected_warnings, notices_of

__all__ = ["errors", "frames", "metadata", "of_image", "opened", "read"]

Tag = ExifTags.Base

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


def read(file: IO[bytes], max_pixels: int) -> Picture:
    """Return the Picture of a file that Pillow opens, whatever its own limit.

    Raises PictureError or LimitError. What Pillow warns of is among the notices.
    """
    with errors(), collected_warnings() as warned, opened(file, max_pixels) as image:
        picture = of_image(image, max_pixels)
    return replace(picture, notices=(*picture.notices, *notices_of(warned)))


@contextmanager
def opened(file: IO[bytes], max_pixels: int) -> Iterator[Image.Image]:
    """Open a file with Pillow, which may warn; its own limit is no lower than ours meanwhile."""
    file.seek(0)
    with at_least_pixels(max_pixels), Image.open(file) as image:
        yield image


def of_image(image: Image.Image, max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image as Pillow loads it."""
    check_size(image.width, image.height, max_pixels)
    _check_kind(image)
    mode, notices = image.mode, _what_pillow_drops(image)
    # Loading turns a TIFF, and takes its orientation away.
    found = tiff.metadata_of(image.getexif()) if image.format == "TIFF" else None
    samples = _samples(image)
    if found is None:
        found = metadata(image)
    elif found.orientation in range(2, 9):
        found = replace(found, orientation=1)
        notices += ("applied the EXIF orientation to the pixels",)
    if mode in ("CMYK", "LAB") and found.icc:
        found = found.without_profile(f"dropped the {mode} colour profile")
    return upright(Samples(samples.pixels, notices + samples.notices), found)


@contextmanager
def errors() -> Iterator[None]:
    """Turn all that Pillow raises for a bad file into PictureError or LimitError."""
    try:
        yield
    except SirenError:
        raise
    except UnidentifiedImageError:
        raise PictureError("not a picture that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise LimitError(str(error)) from None
    except OSError as error:
        raise PictureError(error.strerror or " ".join(str(error).split())) from None
    except Exception as error:
        # Pillow's decoders raise nearly anything for a broken file: SyntaxError, struct.error...
        raise broken(error) from None


def metadata(image: Image.Image) -> Metadata:
    """Return the metadata that Pillow found, but for a TIFF's."""
    info, notices = image.info, list[str]()
    raw = {
        "icc": info.get("icc_profile"),
        "exif": info.get("exif") or _exif_of(image),
        "xmp": info.get("xmp") or info.get("XML:com.adobe.xmp"),
    }
    found = {}
    for name, payload in raw.items():
        payload = payload.encode() if isinstance(payload, str) else payload
        found[name] = payload if isinstance(payload, bytes) else b""
        if payload and not isinstance(payload, bytes):
            notices.append(f"dropped the {name.upper()}, which is broken")
    return Metadata(found["icc"], found["exif"], found["xmp"], notices=tuple(notices))


def _exif_of(image: Image.Image) -> bytes:
    """Return the EXIF that a program gave an image; that of files is in its info."""
    try:
        exif = image.getexif()
        # Pillow takes this one from XMP as well.
        orientation_alone = set(exif) == {Tag.Orientation} and "xmp" in image.info
        return exif.tobytes() if exif and not orientation_alone else b""
    except Exception:
        return b""


def _layout(image: Image.Image) -> Mapping[int, Any]:
    """Return a TIFF's tags; of others none, which can have those of a thumbnail."""
    return getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}


def _check_kind(image: Image.Image) -> None:
    """Refuse what Pillow would run, take for something else, or need far too much memory for."""
    if image.format in _DRAWINGS:
        raise PictureError(f"expected pixels, found a drawing ({image.format})")
    tags = _layout(image)
    if image.mode == "L" and 2 in tags.get(Tag.SampleFormat, ()):
        raise PictureError("expected samples without a sign, found signed ones of 8 bits")
    tile = tags.get(Tag.TileWidth, 1) * tags.get(Tag.TileLength, 1)
    if tile > max(image.width * image.height, tiff.LARGEST_TILE):
        raise PictureError(f"broken picture: tiles of {tile} pixels")
    # Pillow leaves black what has none.
    found, expected = np.size(tags.get(Tag.TileOffsets, ())), _tiles(tags)
    if found < expected:
        raise PictureError(f"broken picture: expected {expected} tiles, found {found}")


def _tiles(tags: Mapping[int, Any]) -> int:
    """Return how many tiles a TIFF that has tiles must have, 0 for other pictures.

    By its own width and height: Pillow swaps those of a picture that lies on its side.
    """
    width, height = tags.get(Tag.TileWidth), tags.get(Tag.TileLength)
    if not width or not height:
        return 0
    across: int = math.ceil(tags[Tag.ImageWidth] / width)
    down: int = math.ceil(tags[Tag.ImageLength] / height)
    in_planes = tags.get(Tag.PlanarConfiguration) == 2
    planes: int = tags.get(Tag.SamplesPerPixel, 1) if in_planes else 1
    return across * down * planes


def frames(image: Image.Image) -> tuple[str, ...]:
    """Return a notice if an image has more frames, pages or layers than one."""
    count = getattr(image, "n_frames", 1)
    if count < 2:
        return ()
    if image.format == "PSD":
        return (f"kept the merged picture of {count} layers",)
    kept = f"frame {image.tell() + 1}" if image.tell() else "the first"
    return (f"kept {kept} of {count} frames",)


def _what_pillow_drops(image: Image.Image) -> tuple[str, ...]:
    """Return notices of what Pillow itself leaves out of an image without saying so."""
    notices, sizes = list(frames(image)), image.info.get("sizes", ())
    if image.format in ("ICO", "ICNS") and len(sizes) > 1:
        notices.append(f"kept the largest of {len(sizes)} sizes")
    tags = _layout(image)
    if tags.get(Tag.NewSubfileType, 0) & 1:
        notices.append("kept the first page, which is a reduced copy of another")
    extra = tags.get(Tag.SamplesPerPixel, 1) - len(image.getbands())
    if extra > 0 and image.mode not in ("P", "1"):
        notices.append(f"dropped {extra} channels beyond colour and alpha")
    return tuple(notices)


def _samples(image: Image.Image) -> Samples:
    """Load an image; return its (height, width, 1..4) uint8 or uint16 pixels."""
    tiles, notices = str(getattr(image, "tile", "")), list[str]()
    # HEIC's plugin says it in the info.
    heic = image.format == "HEIF" and image.info.get("bit_depth", 8) > 8
    deep = heic or re.search(r"\w;16[BLN]|SGI16|BC6H", tiles)
    if deep and image.mode[0] != "I":
        notices.append("converted samples of more than 8 bits to 8")
    if "RGBa" in tiles and image.mode == "RGBA":
        notices.append(DIVIDED)
    image.load()
    if image.mode[0] in "IF":
        grey = _grey(image, tiles)
        return Samples(grey.pixels, (*notices, *grey.notices))
    converted = _convert(image)
    if converted.mode != image.mode:
        notices.append(f"converted {image.mode} to {converted.mode}")
    return Samples(np.atleast_3d(np.asarray(converted)), tuple(notices))


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


def _grey(image: Image.Image, tiles: str) -> Samples:
    """Return the (height, width, 1) uint16 pixels of a loaded image of 16 or 32 bits or floats."""
    values: Pixels = np.asarray(image)[:, :, None]
    if "I;32N" in tiles:
        values = values.view(np.uint32)
    if image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I"):
        return Samples(values.astype(np.uint16))
    return grey_of_integers(values) if image.mode == "I" else grey_of_floats(values)
