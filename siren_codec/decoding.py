"""Decoding: bytes -> stream.read -> Field -> evaluate.render -> pixels, images, picture files."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from siren_codec import extras, output, stream
from siren_codec.errors import LimitError, PictureError, SirenError, SirenWarning, UsageError
from siren_codec.field import Field, evaluate
from siren_codec.field.evaluate import Sampler
from siren_codec.framing import SHOWS, Crop, Show, Size, View
from siren_codec.keywords import named
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.options import DECODERS, check_choice
from siren_codec.picture import METADATA, OUTPUT_FORMATS, Picture, save_bytes
from siren_codec.stream import format

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer
    from PIL.Image import Image

__all__ = [
    "Readable",
    "Source",
    "decode",
    "open_field",
    "read_bytes",
    "read_limited",
    "read_shown",
    "render_picture",
    "save",
    "thumbnail",
    "to_pil",
]


@runtime_checkable
class Readable(Protocol):
    """A file object: what `open(path, "rb")` returns, an `io.BytesIO`, an answer of urllib."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes, at most `size` of them if it is not negative."""


Source: TypeAlias = "str | os.PathLike[str] | ReadableBuffer | Readable"
"""A `.siren` file: its path, its bytes in any buffer, or a file object."""

_THUMBNAIL = 512
"""The longest side of what a notebook shows."""


@named
def decode(
    source: Source,
    *,
    size: Size | None = None,
    scale: float | None = None,
    crop: Crop | None = None,
    show: Show = "colour",
    device: str = "cpu",
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> npt.NDArray[Any]:
    """Return the picture of a `.siren` file, of its own depth and channels, at any size.

    `source` is a path, bytes or another buffer, or a file object. The array is (height, width) for
    one channel, else (height, width, channels), uint8 or uint16. `size` is (width, height), or
    `scale` a multiple of what `crop`, (x, y, width, height) in pixels of the original, leaves.
    `show` is "colour", "gradient" or "laplacian". On the `device` "cuda" torch evaluates the
    picture; on "cpu" torch is not imported. Grids that are finer than the output are not read;
    with `partial`, what a file that was cut short still has is enough. What it may cost is bounded
    by the `limits`. Raises SirenError.

    >>> siren_codec.decode("photo.siren", scale=2).shape
    (128, 192, 3)
    >>> siren_codec.decode("photo.siren", size=(30, 20), crop=(10, 10, 60, 40)).dtype
    dtype('uint8')
    """
    view = View(size, scale, crop)
    check_choice("show", show, SHOWS)
    check_choice("device", device, DECODERS)
    data = read_bytes(source, limits)
    field = read_shown(data, view, show=show, partial=partial, limits=limits)
    sampler = _sampler(field, device)
    return evaluate.render(field, view, show=show, sampler=sampler, limits=limits)


@named
def open_field(source: Source, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS) -> Field:
    """Return the Field of a `.siren` file: its path, bytes or another buffer, or a file object.

    With `partial`, as much of it as a file that was cut short still has: the Field is then not
    `whole`, and its `first_level` says which levels of grids are missing. Raises SirenError.

    >>> siren_codec.open("photo.siren")
    <siren_codec.Field 96x64 RGB, 8 bits, grid model, SIREN 2x48>
    """
    return stream.read(read_bytes(source, limits), limits, partial=partial)


def render_picture(
    field: Field,
    view: View = evaluate.WHOLE,
    *,
    show: Show = "colour",
    device: str = "cpu",
    limits: Limits | None = DEFAULT_LIMITS,
) -> Picture:
    """Return a Picture of a Field with its metadata, or of its derivatives, which have none."""
    sampler = _sampler(field, device)
    pixels = evaluate.render(field, view, show=show, sampler=sampler, limits=limits)
    return Picture(np.atleast_3d(pixels), field.metadata if show == "colour" else {})


def to_pil(field: Field, view: View = evaluate.WHOLE, show: Show = "colour") -> "Image":
    """Return a Pillow image of a Field; see `Field.to_pil`."""
    from PIL import Image

    check_choice("show", show, SHOWS)
    pixels = evaluate.render(field, view, show=show)
    if pixels.dtype == np.uint16 and pixels.ndim == 3:
        _warn("converted 16-bit samples to the 8 bits that Pillow has for colours")
        pixels = np.rint(pixels / 257).astype(np.uint8)
    image = Image.fromarray(pixels)
    if show == "colour":
        image.info |= {METADATA[name]: payload for name, payload in field.metadata.items()}
    return image


def save(
    field: Field,
    path: str | os.PathLike[str],
    view: View = evaluate.WHOLE,
    show: Show = "colour",
    *,
    force: bool = False,
) -> None:
    """Write a picture file of a Field; see `Field.save`."""
    target = Path(path)
    check_choice("show", show, SHOWS)
    format_ = OUTPUT_FORMATS.get(target.suffix.lower())
    if format_ is None:
        known = ", ".join(OUTPUT_FORMATS)
        raise UsageError(f"{target}: expected a name that ends with one of {known}")
    output.check(target, force=force)
    data, notices = save_bytes(render_picture(field, view, show=show, limits=None), format_)
    for notice in notices:
        _warn(f"{target}: {notice}")
    output.write(target, data, force=force)


def thumbnail(field: Field) -> bytes:
    """Return a PNG of at most 512 pixels a side, with its colour profile if it has one."""
    scale = min(1.0, _THUMBNAIL / max(field.width, field.height))
    pixels = np.atleast_3d(evaluate.render(field, View(scale=scale)))
    icc = {name: payload for name, payload in field.metadata.items() if name == "icc"}
    try:
        return save_bytes(Picture(pixels, icc), "PNG")[0]
    except PictureError:
        return save_bytes(Picture(pixels), "PNG")[0]


def read_shown(
    data: bytes,
    view: View,
    *,
    show: Show = "colour",
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Field:
    """Return the Field of a `.siren` file as far as a view shows it.

    Levels of grids that are finer than its pixels are not read, unless derivatives are shown,
    which are of the finest detail most of all: see `evaluate.first_level_shown`. Raises SirenError.
    """
    if partial or show != "colour" or (view.size is None and view.scale is None):
        return stream.read(data, limits, partial=partial)
    header, _ = format.parse(data, limits)
    first_level = evaluate.first_level_shown(
        header.width, header.height, header.architecture.features, view
    )
    return stream.read(data, limits, first_level=first_level)


def read_limited(file: Readable, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Read a `.siren` file: no more than its first bytes of anything else, nor beyond the limit."""
    data = _read(file, len(format.MAGIC))
    if data != format.MAGIC:
        stream.read(data)
    data += _read(file, limits.file_bytes - len(data) + 1)
    if len(data) > limits.file_bytes:
        raise LimitError(f"expected at most {limits.file_bytes} bytes, found more")
    return data


def read_bytes(source: Source, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a `.siren` file, whichever way it is given. Raises SirenError."""
    if not isinstance(source, str | os.PathLike):
        if isinstance(source, Readable):
            return read_limited(source, limits)
        try:
            return bytes(memoryview(source))
        except TypeError:
            raise UsageError(
                f"expected a path, bytes or a file object, found {type(source).__name__}"
            ) from None
    try:
        with open(source, "rb") as file:
            return read_limited(file, limits)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SirenError(f"{os.fspath(source)}: {reason}") from None
    except SirenError as error:
        raise type(error)(f"{os.fspath(source)}: {error}") from None


def _read(file: Readable, count: int) -> bytes:
    """Return the next bytes of a file, all that are wanted if it has them: some give fewer."""
    parts = []
    while count > 0:
        part = file.read(count)
        if not isinstance(part, bytes):
            raise UsageError(f"expected a file of bytes, found one of {type(part).__name__}")
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def _sampler(field: Field, device: str) -> Sampler | None:
    """Return torch's sampler for a GPU; None is numpy's."""
    if device == "cpu":
        return None
    extras.need("encode", f"decoding on {device}")
    from siren_codec.fit import choose_device, sampler

    return sampler(field, choose_device(device))


def _warn(text: str) -> None:
    """Warn whoever called the method of a Field that called this module."""
    warnings.warn(text, SirenWarning, stacklevel=4)
