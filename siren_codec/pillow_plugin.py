"""A Pillow plugin: `.siren` files for `Image.open` and `Image.save`.

    import siren_codec.pillow_plugin  # registers; so does siren_codec.register_pillow()

    picture = Image.open("picture.siren")
    picture.draft(None, (3072, 2048))  # decoded at this size, when it is loaded
    picture.save("copy.siren", quality=60)

Opening checks a file and decodes nothing. Only saving imports torch; a file that is there stays as
it is until the new one is whole.
"""

import io
import operator
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from functools import wraps
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile

from siren_codec import encoding, output
from siren_codec.decoding import read_limited, read_shown
from siren_codec.errors import LimitError, SirenError, SirenWarning, UsageError
from siren_codec.framing import View
from siren_codec.limits import UNBOUNDED, Limits
from siren_codec.options import Options
from siren_codec.picture import METADATA, MODES, Picture, from_array, from_pil
from siren_codec.picture.samples import turned
from siren_codec.stream.format import MAGIC, Section, parse

__all__ = ["SirenImageFile", "register_pillow"]

_INFO = {Section[name.upper()]: of_pillow for name, of_pillow in METADATA.items()}
"""What Pillow calls the metadata, in `Image.info` and as options of `save`."""
_ORIENTATION = ExifTags.Base.Orientation
_APPLIED = "applied the EXIF orientation to the pixels"
_PATHS = (str, bytes, os.PathLike)
_MARK = "_keeps_the_old_siren_file"


class SirenImageFile(ImageFile.ImageFile):
    """An opened `.siren` file. 16-bit colours, and grey with alpha, are given with 8 bits.

    `info["siren_depth"]` is then 16: Pillow has no mode for them.
    """

    format = "SIREN"
    format_description = "SIREN: a picture stored as a function"

    def _open(self) -> None:
        assert self.fp is not None
        try:
            self._data = read_limited(cast(BinaryIO, self.fp))
            # Pillow looks at the number of pixels itself, when the file has been opened.
            header, sections = parse(self._data, UNBOUNDED)
        except SirenError as error:
            # A SyntaxError would become "cannot identify image file", whatever its message.
            raise OSError(str(error)) from error
        self._size = header.width, header.height
        self._mode = MODES[header.channels - 1]
        if header.depth == 16:
            if header.channels == 1:
                self._mode = "I;16"
            else:
                self.info["siren_depth"] = 16
        self.info |= {name: sections[id_] for id_, name in _INFO.items() if id_ in sections}
        self.tile = [self._raw_tile()]

    def draft(
        self,
        mode: str | None,  # noqa: ARG002
        size: tuple[int, int] | None,
    ) -> tuple[str, tuple[int, int, float, float]] | None:
        """Have the picture decoded at this very size, however large; `mode` is ignored.

        Returns None, as Pillow wants it, if the picture has been loaded already.
        """
        if not self.tile or size is None:
            return None
        width, height = map(operator.index, size)
        if min(width, height) < 1:
            raise ValueError(f"size {width}x{height}: expected at least 1x1")
        self._size = width, height
        return self.mode, (0, 0, width, height)

    def thumbnail(self, *args: Any, **options: Any) -> None:
        """Make a thumbnail of the decoded picture.

        Pillow would ask `draft` for a size first, out of proportion and maybe a huge one. A draft
        of the size that is wanted is quicker than a thumbnail.
        """
        self.load()
        super().thumbnail(*args, **options)

    def load(self) -> Any:
        """Decode the picture. Raises OSError, or DecompressionBombError if it is too large."""
        if self.tile:
            samples = self._decode()
            if self.fp and self._exclusive_fp:
                self.fp.close()
            self.fp = io.BytesIO(samples)
            self.tile = [self._raw_tile()]
            self._data = b""
        return super().load()

    def load_seek(self, pos: int) -> None:
        """Do nothing; that this is here keeps Pillow from mapping the file as if it were raw."""

    def whole_picture(self, max_pixels: int) -> Picture:
        """Return the picture with all its bits, of the size that is wanted; it is not loaded."""
        metadata = {id_.name.lower(): self.info.get(name, b"") for id_, name in _INFO.items()}
        found = {name: payload for name, payload in metadata.items() if payload}
        return replace(from_array(self._pixels(), max_pixels=max_pixels), metadata=found)

    def _decode(self) -> bytes:
        """Return the samples as Pillow's raw decoder wants them."""
        pixels = self._pixels()
        if self.mode == "I;16":
            return pixels.astype("<u2").tobytes()
        if pixels.dtype == np.uint16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return pixels.tobytes()

    def _pixels(self) -> npt.NDArray[Any]:
        """Decode the picture at the size that is wanted now."""
        most = Image.MAX_IMAGE_PIXELS
        # Pillow warns beyond its limit, and refuses beyond twice as many.
        limits = UNBOUNDED if most is None else Limits(pixels=2 * most)
        try:
            field = read_shown(self._data, View(self.size), limits=limits)
            return field.render(self.size, limits=None if most is None else limits)
        except LimitError as error:
            raise Image.DecompressionBombError(str(error)) from error
        except SirenError as error:
            raise OSError(str(error)) from error

    def _raw_tile(self) -> ImageFile._Tile:
        return ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)


def register_pillow() -> None:
    """Make Pillow open and save `.siren` files. Calling it again does no harm.

    `Image.save` takes the options of `encode`, and Pillow's `icc_profile`, `exif` and `xmp`; as in
    Pillow's own formats, only the colour profile is saved without being asked for.

    Pillow has no 16-bit colour: such files are loaded with 8 bits, and `info["siren_depth"]` is 16.
    Once such an image is loaded, it is saved with 8 bits and a warning. An image that was opened,
    from a `.siren` or another file, and not changed is saved with its 16 bits and its orientation.

    Pillow empties a file before it asks a plugin for anything, and loads images with 8 bits a
    sample. So registering also wraps `Image.save`, for `.siren` files only: a save that is refused,
    fails or is interrupted leaves the old file as it was.

    >>> from PIL import Image
    >>> siren_codec.register_pillow()
    >>> with Image.open("photo.siren") as image:
    ...     image.size
    (96, 64)
    """
    name = SirenImageFile.format
    Image.register_open(name, SirenImageFile, _accept)
    Image.register_save(name, _save)
    Image.register_extension(name, ".siren")
    Image.register_mime(name, "image/x-siren")
    if not getattr(Image.Image.save, _MARK, False):
        Image.Image.save = _keeping_the_old_file(Image.Image.save)  # type: ignore[method-assign]


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _keeping_the_old_file(save: Callable[..., None]) -> Callable[..., None]:
    """Return `Image.save` with another way of saving `.siren` files; the rest is as it was.

    Pillow loads the image, with 8 bits a sample, then opens the file, which empties it, and only
    then calls a plugin, for the first time: an option that is refused, a picture that cannot be
    stored or Ctrl-C would cost the file that was there, and nothing that a plugin can register is
    asked before. Here the bytes come first, from an image that need not be loaded.
    """

    @wraps(save)
    def save_whole(
        self: Image.Image,
        fp: Any,
        format: str | None = None,  # noqa: A002
        **params: Any,
    ) -> None:
        if not _is_ours(fp, format) or params.get("save_all"):
            save(self, fp, format, **params)
            return
        params.pop("save_all", None)
        path = Path(os.fsdecode(fp)) if isinstance(fp, _PATHS) else None
        if path is not None:
            with _os_errors(path):
                output.check(path, force=True)
        data = _encoded(self, {**params, **getattr(self, "encoderinfo", {})})
        if path is None:
            fp.write(data)
        else:
            with _os_errors(path):
                output.write(path, data, force=True)

    setattr(save_whole, _MARK, True)
    return save_whole


def _is_ours(fp: Any, format_: str | None) -> bool:
    """Tell whether Pillow would call this plugin to save to a path or a file."""
    name = fp if isinstance(fp, _PATHS) else getattr(fp, "name", "")
    if not format_ and isinstance(name, _PATHS):
        format_ = Image.EXTENSION.get(os.path.splitext(os.fsdecode(name))[1].lower())
    registered = Image.SAVE.get(SirenImageFile.format) is _save
    # Standard output is one of text, which Pillow knows to open.
    is_text = isinstance(fp, io.TextIOBase)
    return registered and (format_ or "").upper() == SirenImageFile.format and not is_text


@contextmanager
def _os_errors(path: Path) -> Iterator[None]:
    """Turn what is wrong with a path into the OSError that Pillow's users expect."""
    try:
        yield
    except SirenError as error:
        cause = error.__context__
        if isinstance(cause, OSError) and cause.errno:
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        raise OSError(str(error)) from None


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001
    """Write a `.siren` file into a file that Pillow has opened."""
    file.write(_encoded(image, image.encoderinfo))


def _encoded(image: Image.Image, options: Mapping[str, Any]) -> bytes:
    """Return a `.siren` file; the options are those of `Options`, and Pillow's for metadata."""
    given = {name: options[name] for name in _INFO.values() if name in options}
    rest = {name: value for name, value in options.items() if name not in given}
    known = {field.name for field in fields(Options)}
    for name in rest:
        if name not in known:
            expected = ", ".join(sorted(known.union(_INFO.values())))
            raise TypeError(f"SIREN has no option {name!r}: expected one of {expected}")
    try:
        chosen = Options(**rest)
        picture = _picture(image, given)
        for notice in picture.notices:
            warnings.warn(notice, SirenWarning, stacklevel=3)
        return encoding.encode_picture(picture, chosen).data
    except UsageError:
        raise
    except SirenError as error:
        raise OSError(str(error)) from error


def _picture(image: Image.Image, given: Mapping[str, Any]) -> Picture:
    """Return the picture of an image, upright, with the metadata that `save` was given.

    As in Pillow's own plugins the image's colour profile goes with it by itself, EXIF and XMP only
    if they are given; None leaves out any.
    """
    picture = encoding.picture_of_image(image, max_pixels=UNBOUNDED.pixels)
    labels = Image.new("L", (1, 1))
    labels.info = {name: value for name, value in given.items() if value is not None}
    if isinstance(exif := given.get("exif"), Image.Exif):
        labels.info["exif"] = exif.tobytes()
    found = from_pil(labels, max_pixels=1)
    kept = {} if "icc_profile" in given else {"icc": picture.metadata.get("icc", b"")}
    metadata = {name: value for name, value in {**kept, **found.metadata}.items() if value}
    own = _orientation(image) if _APPLIED in picture.notices else 1
    pixels = _turned_anew(picture.pixels, own, _orientation(labels) if exif else own)
    return Picture(pixels, metadata, tuple(dict.fromkeys(picture.notices + found.notices)))


def _orientation(image: Image.Image) -> int:
    """Return the orientation that an image's file says, even if the image has been turned."""
    exif = Image.Exif()
    with suppress(Exception):  # Pillow raises nearly anything for what is broken.
        if image.format == "TIFF":
            return int(image.tag_v2.get(_ORIENTATION, 1))  # type: ignore[attr-defined]
        exif.load(image.info.get("exif", b""))
        return int(exif.get(_ORIENTATION) or image.getexif().get(_ORIENTATION, 1))
    return 1


def _turned_anew(pixels: npt.NDArray[Any], own: int, given: int) -> npt.NDArray[Any]:
    """Return pixels that were turned by one orientation turned by another instead, if it says so.

    One that is given and says nothing is of pixels that are upright already.
    """
    if given in (1, own):
        return pixels
    back = {6: 8, 8: 6}.get(own, own)
    return np.ascontiguousarray(turned(turned(pixels, back), given))


register_pillow()
