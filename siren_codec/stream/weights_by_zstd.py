"""Integer weights <-> zigzag integers as planes of bytes, in one zstd frame."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError
from siren_codec.stream.frame import compress, decompress
from siren_codec.stream.tables import MAX_MAGNITUDE

__all__ = ["pack", "unpack"]

Integers = npt.NDArray[np.int32]


def pack(values: Sequence[Integers]) -> bytes:
    """Return flat integers as one or two planes of bytes, the low bytes first, compressed."""
    flat = np.concatenate(values)
    zigzag = ((flat << 1) ^ (flat >> 31)).astype("<u2")
    planes = 1 if zigzag.max() < 256 else 2
    raw = b"".join((zigzag >> 8 * plane).astype(np.uint8).tobytes() for plane in range(planes))
    return bytes([planes]) + compress(raw)


def unpack(data: bytes, counts: Sequence[int]) -> list[Integers]:
    """Return the flat integers of each tensor, so many of each. Raises FormatError."""
    planes = data[0] if data else 0
    if planes not in (1, 2):
        raise FormatError(f"weights: expected 1 or 2 byte planes, found {planes}")
    raw = decompress(data[1:], planes * sum(counts))
    bytes_ = np.frombuffer(raw, np.uint8).reshape(planes, -1).astype(np.int32)
    if not bytes_[1:].any(axis=1).all():
        raise FormatError("weights: expected 1 byte plane, for the second is empty; found 2")
    zigzag = bytes_[0] if planes == 1 else bytes_[0] | bytes_[1] << 8
    flat = (zigzag >> 1) ^ -(zigzag & 1)
    if flat.min() < -MAX_MAGNITUDE:
        raise FormatError(f"weights: expected magnitudes to {MAX_MAGNITUDE}, found {-flat.min()}")
    return np.split(flat, np.cumsum(counts)[:-1])
