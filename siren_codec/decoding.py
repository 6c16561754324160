"""Decoding: bytes -> stream.read -> Field -> Field.render -> pixels."""

import os
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from siren_codec import stream
from siren_codec.errors import LimitError, SirenError
from siren_codec.field import Field, evaluate
from siren_codec.field.evaluate import Sampler
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.picture import Picture
from siren_codec.stream import format

__all__ = [
    "Show",
    "Source",
    "decode",
    "open_field",
    "read_bytes",
    "read_limited",
    "read_shown",
    "render_picture",
]

Show = Literal["colour", "gradient", "laplacian"]
Source = str | os.PathLike[str] | bytes | bytearray | memoryview


def decode(
    data: bytes | bytearray | memoryview,
    *,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    crop: tuple[int, int, int, int] | None = None,
    device: str = "cpu",
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> npt.NDArray[Any]:
    """Return the picture of a `.siren` file, of its own depth and channels, at any size.

    The array is (height, width) for one channel, else (height, width, channels), uint8 or uint16.
    `size` is (width, height), `crop` is (x, y, width, height) in pixels of the original. On `cuda`
    torch evaluates the picture; on `cpu`, the default, torch is not imported. Grids that are finer
    than the output are not read; with `partial`, what a file that was cut short still has is
    enough. Raises SirenError.
    """
    field = read_shown(bytes(data), size, scale=scale, crop=crop, partial=partial, limits=limits)
    return field.render(
        size, scale=scale, crop=crop, sampler=_sampler(field, device), limits=limits
    )


def render_picture(
    field: Field,
    *,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    crop: tuple[int, int, int, int] | None = None,
    show: Show = "colour",
    device: str = "cpu",
    limits: Limits = DEFAULT_LIMITS,
) -> Picture:
    """Return a Picture of a Field with its metadata, or of its `gradient` or `laplacian`.

    The derivatives are those of the colours, without alpha, and are scaled to 8 bits: the
    gradient's magnitude from black, the Laplacian around mid-grey, the 99.5th percentile of their
    magnitude at the end of the range.
    """
    sampler = _sampler(field, device)
    if show == "colour":
        pixels = field.render(size, scale=scale, crop=crop, sampler=sampler, limits=limits)
        return Picture(np.atleast_3d(pixels), field.metadata)
    values = evaluate.render_derivative(field, show, size, scale=scale, crop=crop, limits=limits)
    if field.channels in (2, 4):
        values = values[:, :, :-1]
    values /= np.float32(max(np.percentile(np.abs(values), 99.5), 1e-12))
    if show == "laplacian":
        values = (values + np.float32(1)) / np.float32(2)
    return Picture(np.rint(255 * np.clip(values, 0, 1)).astype(np.uint8))


def open_field(source: Source, *, partial: bool = False, limits: Limits = DEFAULT_LIMITS) -> Field:
    """Return the Field of a `.siren` file, given its path or its bytes. Raises SirenError.

    With `partial`, as much of it as a file that was cut short still has: the Field is then not
    `whole`, and its `first_level` says which levels of grids are missing.
    """
    return stream.read(read_bytes(source, limits), limits, partial=partial)


def read_shown(
    data: bytes,
    size: tuple[int, int] | None = None,
    *,
    scale: float | None = None,
    crop: tuple[int, int, int, int] | None = None,
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Field:
    """Return the Field of a `.siren` file as far as an output of such a size shows it.

    Levels of grids that are finer than its pixels are not read: see
    `evaluate.first_level_shown`. Raises SirenError.
    """
    if partial or (size is None and scale is None):
        return stream.read(data, limits, partial=partial)
    header, _ = format.parse(data, limits)
    first_level = evaluate.first_level_shown(
        header.width, header.height, header.architecture.features, size, scale=scale, crop=crop
    )
    return stream.read(data, limits, first_level=first_level)


def read_limited(file: BinaryIO, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Read a `.siren` file: no more than its first bytes of anything else, nor beyond the limit."""
    data = file.read(len(format.MAGIC))
    if data != format.MAGIC:
        stream.read(data)
    data += file.read(limits.file_bytes - len(data) + 1)
    if len(data) > limits.file_bytes:
        raise LimitError(f"expected at most {limits.file_bytes} bytes, found more")
    return data


def read_bytes(source: Source, limits: Limits = DEFAULT_LIMITS) -> bytes:
    """Return the bytes of a `.siren` file, given its path or the bytes. Raises SirenError."""
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    try:
        with open(source, "rb") as file:
            return read_limited(file, limits)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SirenError(f"{os.fspath(source)}: {reason}") from None
    except SirenError as error:
        raise type(error)(f"{os.fspath(source)}: {error}") from None


def _sampler(field: Field, device: str) -> Sampler | None:
    """Return torch's sampler for a GPU; None is numpy's."""
    if device in ("auto", "cpu"):
        return None
    from siren_codec.fit import choose_device, sampler

    return sampler(field, choose_device(device))
