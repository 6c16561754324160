"""Picture files, and images that Pillow has opened -> Picture: which room reads which file.

Formats that Pillow reads wrong, or not as a whole, have rooms of their own; Pillow reads the rest.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
from PIL import ExifTags, Image

from siren_codec import extras
from siren_codec.errors import LimitError, PictureError
from siren_codec.picture import avif, fits, foreign, jpeg, jpeg2000, pillow, png, pnm, tiff
from siren_codec.picture.picture import MODES, Picture, check_size
from siren_codec.picture.samples import turned

__all__ = ["from_pil", "load", "recognises"]

_HEAD = 32
_OWN_FORMATS = ("PNG", "TIFF", "JPEG2000", "FITS", "PPM", "AVIF")
"""Pillow's names of the formats that it does not read here."""


def load(source: str | os.PathLike[str] | bytes, *, max_pixels: int) -> Picture:
    """Read a picture file, or its bytes. Raises PictureError or LimitError.

    What Pillow warns of is among the notices. Raises NotInstalledError without the extra `encode`.
    """
    extras.need("encode", "reading pictures")
    name = "standard input" if isinstance(source, bytes) else os.fspath(source)
    try:
        with pillow.errors(), _opened(source) as file:
            return _read(file, os.path.splitext(name)[1], max_pixels)
    except (LimitError, PictureError) as error:
        raise type(error)(f"{name}: {error}") from None


def _read(file: IO[bytes], extension: str, max_pixels: int) -> Picture:
    """Return the Picture of a file, with what is installed; say what else would read it."""
    kind = foreign.kind_of(file.read(foreign.HEAD), extension)
    advice = f"{kind.name} picture, {kind.advice}" if kind and not foreign.is_readable(kind) else ""
    if kind and kind.by_name and advice:
        raise PictureError(advice)
    try:
        with pillow.errors():
            picture = _own(file, max_pixels) or pillow.read(file, max_pixels)
    except PictureError:
        if advice:
            raise PictureError(advice) from None
        raise
    return _with_notices(picture, *_jpeg_faults(file))


def from_pil(image: Image.Image, *, max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image, its EXIF orientation applied to the pixels.

    Where Pillow keeps less than the file has, the file is read again, if it is still there and is
    what was loaded; else a notice says so. The image is not changed, but Pillow may load it.
    Raises PictureError or LimitError.
    """
    check_size(image.width, image.height, max_pixels)
    with pillow.errors():
        of_file = _of_its_file(image, max_pixels)
        if of_file is not None and _same(image, of_file):
            return of_file
        faults = _faults_of_image(image)
        picture = _with_notices(pillow.of_image(image, max_pixels), *faults)
    deep = of_file.pixels.dtype == np.uint16 if of_file else _may_be_deep(image)
    if picture.pixels.dtype == np.uint8 and deep:
        notice = f"kept the 8 bits a sample of this {image.format} that Pillow had loaded"
        return _with_notices(picture, notice)
    return picture


def recognises(path: Path) -> bool:
    """Tell whether a file begins as those of our own formats do; many texts begin as PNM's."""
    with open(path, "rb") as file:
        head = file.read(_HEAD)
    sure = any(is_one(head) for is_one, read in _ROOMS if read is not pnm.read)
    return sure or tiff.is_tiff(head) or head.startswith(b"P7\n")


def _own(file: IO[bytes], max_pixels: int, index: int = 0) -> Picture | None:
    """Return the Picture of a file of our own formats; None if it is left to Pillow."""
    file.seek(0)
    head = file.read(_HEAD)
    if tiff.is_tiff(head):
        return tiff.read(file, max_pixels, index)
    for is_one, read in _ROOMS:
        if is_one(head):
            file.seek(0)
            return read(file.read(), max_pixels)
    return None


_ROOMS = (
    (lambda head: head.startswith(png.SIGNATURE), png.read),
    (jpeg2000.is_jpeg2000, jpeg2000.read),
    (fits.is_fits, fits.read),
    (pnm.is_pnm, pnm.read),
    (avif.is_avif, avif.read),
)


@contextmanager
def _opened(source: str | os.PathLike[str] | bytes) -> Iterator[IO[bytes]]:
    """Open a file, or bytes as one; all of it is read where it cannot be read twice."""
    with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:
        seekable = file if file.seekable() else io.BytesIO(file.read())
        if not seekable.read(1):
            raise PictureError("expected a picture, found an empty file")
        seekable.seek(0)
        yield seekable


def _with_notices(picture: Picture, *notices: str) -> Picture:
    return replace(picture, notices=picture.notices + notices)


def _jpeg_faults(file: IO[bytes]) -> tuple[str, ...]:
    """Return notices of what is missing in a JPEG, which libjpeg fills up in silence."""
    file.seek(0)
    if not jpeg.is_jpeg(file.read(_HEAD)):
        return ()
    file.seek(0)
    data = file.read()
    notices, fault = jpeg.lost_metadata(data), jpeg.fault(data)
    if fault:
        return (f"pixels of this JPEG are missing or damaged: {fault}", *notices)
    return notices


def _faults_of_image(image: Image.Image) -> tuple[str, ...]:
    if image.format not in ("JPEG", "MPO"):
        return ()
    with _file_of(image) as file:
        if file is None:
            return ()
        at = file.tell()
        faults = _jpeg_faults(file)
        file.seek(at)
    return faults


def _of_its_file(image: Image.Image, max_pixels: int) -> Picture | None:
    """Return what the file of an opened image holds, if it is there and of our own formats."""
    frame = image.tell()
    if image.format not in _OWN_FORMATS or (frame and image.format != "TIFF"):
        return None
    with _file_of(image) as file:
        if file is None:
            return None
        at = file.tell()
        try:
            return _own(file, max_pixels, frame)
        except PictureError:
            # Of a file that was loaded, and may be another now, there is no notice.
            if _is_loaded(image):
                return None
            raise
        finally:
            file.seek(at)


@contextmanager
def _file_of(image: Image.Image) -> Iterator[IO[bytes] | None]:
    """Open the file of an image, or give that which Pillow still has open; None if it is gone."""
    for name in ("fp", "_fp"):
        file = getattr(image, name, None)
        if hasattr(file, "seek") and not getattr(file, "closed", True):
            yield file
            return
    path = getattr(image, "filename", "")
    with suppress(OSError):
        if path:
            with open(path, "rb") as file:
                yield file
            return
    yield None


def _is_loaded(image: Image.Image) -> bool:
    return not getattr(image, "tile", ())


def _may_be_deep(image: Image.Image) -> bool:
    """Tell whether the file of an image that is gone may have had more than 8 bits a sample."""
    if image.format == "TIFF":
        bits = getattr(image, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (1,))
        return bool(max(bits) > 8)
    return image.format in _OWN_FORMATS and _is_loaded(image) and image.mode in MODES


def _same(image: Image.Image, picture: Picture) -> bool:
    """Tell whether an image has the pixels of a picture as Pillow keeps them, or none yet."""
    if getattr(image, "_reduce", 0):
        return False
    if not _is_loaded(image):
        return True
    if image.mode not in MODES and image.mode[0] not in "IF":
        image = image.convert("L" if image.mode == "1" else "RGB")
    values, pixels = np.atleast_3d(np.asarray(image)), picture.pixels
    if image.format != "TIFF":
        values = turned(values, image.getexif().get(ExifTags.Base.Orientation, 1))
    if values.dtype == np.uint8 and pixels.dtype == np.uint16:
        pixels = pixels >> 8
    pixels = pixels[:, :, : values.shape[2]]
    return bool(np.array_equal(values, pixels))
