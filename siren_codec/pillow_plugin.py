"""A Pillow plugin: `.siren` files for `Image.open` and `Image.save`.

    import siren_codec.pillow_plugin  # registers; so does siren_codec.register_pillow()

    picture = Image.open("picture.siren")
    picture.draft(None, (3072, 2048))  # decoded at this size, when it is loaded
    picture.save("copy.siren", quality=60)

Opening checks a file and decodes nothing. Only saving imports torch.
"""

import io
import operator
from dataclasses import fields
from typing import IO, Any, BinaryIO, cast

import numpy as np
from PIL import Image, ImageFile

from siren_codec.decoding import read_limited, read_shown
from siren_codec.encoding import encode
from siren_codec.errors import LimitError, SirenError, UsageError
from siren_codec.limits import UNBOUNDED, Limits
from siren_codec.options import Options
from siren_codec.picture import MODES
from siren_codec.stream.format import MAGIC, Section, parse

__all__ = ["SirenImageFile", "register_pillow"]

_INFO = {Section.ICC: "icc_profile", Section.EXIF: "exif", Section.XMP: "xmp"}
"""What Pillow calls the metadata, in `Image.info` and as options of `save`."""
"""No limit, for both sides of a picture are below 2**16."""


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

    def _decode(self) -> bytes:
        """Return the samples as Pillow's raw decoder wants them, at the size that is wanted now."""
        most = Image.MAX_IMAGE_PIXELS
        # Pillow warns beyond its limit, and refuses beyond twice as many.
        limits = UNBOUNDED if most is None else Limits(pixels=2 * most)
        try:
            field = read_shown(self._data, self.size, limits=limits)
            pixels = field.render(self.size, limits=None if most is None else limits)
        except LimitError as error:
            raise Image.DecompressionBombError(str(error)) from error
        except SirenError as error:
            raise OSError(str(error)) from error
        if self.mode == "I;16":
            return pixels.astype("<u2").tobytes()
        if field.depth == 16:
            pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
        return pixels.tobytes()

    def _raw_tile(self) -> ImageFile._Tile:
        return ImageFile._Tile("raw", (0, 0, *self.size), 0, self.mode)


def register_pillow() -> None:
    """Make Pillow open and save `.siren` files. More than once is no harm."""
    name = SirenImageFile.format
    Image.register_open(name, SirenImageFile, _accept)
    Image.register_save(name, _save)
    Image.register_extension(name, ".siren")
    Image.register_mime(name, "image/x-siren")


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(MAGIC)


def _save(image: Image.Image, file: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001
    """Write a `.siren` file; the options are those of `Options`, and Pillow's for metadata."""
    options = dict(image.encoderinfo)
    metadata = {name: options.pop(name) for name in _INFO.values() if name in options}
    known = {field.name for field in fields(Options)}
    for name in options:
        if name not in known:
            expected = ", ".join(sorted(known.union(_INFO.values())))
            raise TypeError(f"SIREN has no option {name!r}: expected one of {expected}")
    try:
        data = encode(_with_metadata(image, metadata), max_pixels=UNBOUNDED.pixels, **options)
    except UsageError:
        raise
    except SirenError as error:
        raise OSError(str(error)) from error
    file.write(data)


def _with_metadata(image: Image.Image, metadata: dict[str, Any]) -> Image.Image:
    """Return a copy of an image with the metadata that `save` was given.

    As in Pillow's own plugins the image's colour profile goes with it by itself, EXIF and XMP only
    if they are given; None leaves out any.
    """
    kept = {name: image.info.get(name) for name in ("transparency", "icc_profile")}
    exif = metadata.get("exif")
    if isinstance(exif, Image.Exif):
        metadata = {**metadata, "exif": exif.tobytes()}
    copy = image.copy()
    copy.info = {name: value for name, value in {**kept, **metadata}.items() if value is not None}
    if image.format == "PPM":
        # Its mode I is grey of 16 bits, and would else give a notice.
        copy.format = image.format
    return copy


register_pillow()
