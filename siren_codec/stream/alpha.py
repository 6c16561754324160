"""An alpha channel <-> packed bytes, without loss: what is left of each sample after the one above,
in a zstd frame.
"""

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError
from siren_codec.stream.frame import compress, decompress

__all__ = ["Form", "pack", "unpack"]

Plane = npt.NDArray[Any]


class Form(IntEnum):
    """What the frame holds: the ids are the format's; append only."""

    SAMPLES = 1
    """The samples, plane by plane of bytes, the low one first."""
    DIFFERENCES = 2
    """The same of what each sample has more than the one above it."""
    BITS = 3
    """A bit for each pixel: fully opaque or not at all; each row begins a byte."""


def pack(plane: Plane) -> bytes:
    """Return the alpha section of a (height, width) plane of uint8 or uint16: the smallest form."""
    forms = [Form.SAMPLES, Form.DIFFERENCES]
    if np.isin(plane, (0, np.iinfo(plane.dtype).max)).all():
        forms = [Form.BITS]
    return min((bytes([form]) + compress(_bytes_of(plane, form)) for form in forms), key=len)


def unpack(payload: bytes, width: int, height: int, depth: int) -> Plane:
    """Return the (height, width) plane of an alpha section. Raises FormatError."""
    if not payload or payload[0] not in list(Form):
        raise FormatError(f"alpha: expected the form 1, 2 or 3, found {payload[:1]!r}")
    form = Form(payload[0])
    dtype: np.dtype[Any] = np.dtype(np.uint8 if depth == 8 else np.uint16)
    if form is Form.BITS:
        row = -(-width // 8)
        bits = np.frombuffer(decompress(payload[1:], row * height), np.uint8).reshape(height, row)
        unpacked = np.unpackbits(bits, axis=1)
        if unpacked[:, width:].any():
            raise FormatError("alpha: expected bits of 0 behind a row, found others")
        opaque: Plane = unpacked[:, :width].astype(dtype) * dtype.type((1 << depth) - 1)
        return opaque
    raw = decompress(payload[1:], dtype.itemsize * width * height)
    planes = np.frombuffer(raw, np.uint8).reshape(dtype.itemsize, height, width)
    found = planes[0].astype(dtype)
    if dtype.itemsize == 2:
        found |= planes[1].astype(dtype) << 8
    # Sums wrap around, as the differences did.
    return np.add.accumulate(found, axis=0, dtype=dtype) if form is Form.DIFFERENCES else found


def _bytes_of(plane: Plane, form: Form) -> bytes:
    if form is Form.BITS:
        return np.packbits(plane > 0, axis=1).tobytes()
    if form is Form.DIFFERENCES:
        plane = np.concatenate([plane[:1], plane[1:] - plane[:-1]])
    parts = (plane >> 8 * index for index in range(plane.itemsize))
    return b"".join(part.astype(np.uint8).tobytes() for part in parts)
