"""Integers as symbols with their tables <-> the words of a range coder, and escapes.

A residual is coded by the table of its row; one that no table holds has a symbol for that, and
follows among the escapes. The coder is constriction's.
"""

from dataclasses import dataclass
from functools import lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError
from siren_codec.stream.cursor import Cursor, pack_varint
from siren_codec.stream.tables import ESCAPE, PRECISION, residual_frequencies

__all__ = [
    "FAMILY",
    "RESIDUALS",
    "Message",
    "codes",
    "encode",
    "escape_lengths",
    "pack_escapes",
    "probabilities",
    "symbols_of",
]

Float32 = npt.NDArray[np.float32]
Uint16 = npt.NDArray[np.uint16]
Uint32 = npt.NDArray[np.uint32]
Int32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Message:
    """A layer taken apart: the numbers of its coded grids, their escapes and words."""

    grids: list[int]
    escapes: bytes
    words: Uint32

    @classmethod
    def parse(cls, payload: bytes, grids: list[int]) -> "Message":
        """Take apart the payload of a layer of these grids. Raises FormatError."""
        cursor = Cursor(payload, 1)
        flags = np.frombuffer(cursor.take(-(-len(grids) // 8)), np.uint8)
        bits = np.unpackbits(flags, bitorder="little").astype(bool)
        if bits[len(grids) :].any():
            raise FormatError(f"latents: expected flags of {len(grids)} grids, found more")
        coded = np.array(grids)[bits[: len(grids)]].tolist()
        if not coded and cursor.left:
            raise FormatError(f"latents: expected no byte, for no grid, found {cursor.left}")
        escapes = cursor.take(cursor.varint()) if coded else b""
        if cursor.left % 4:
            raise FormatError(f"latents: expected words of 4 bytes, found {cursor.left} bytes")
        words = np.frombuffer(payload, "<u4", offset=cursor.position).astype(np.uint32)
        return cls(coded, escapes, words)


FAMILY = constriction.stream.model.Categorical(perfect=False)
_ZIGZAG = np.arange(ESCAPE + 1)
RESIDUALS = (_ZIGZAG >> 1 ^ -(_ZIGZAG & 1)) * (_ZIGZAG < ESCAPE)
"""The residual that each symbol stands for; 0 for the escape."""
_THIRDS = np.ones(ESCAPE + 1, np.int32)
_THIRDS[0], _THIRDS[ESCAPE] = 0, 2
"""Where each symbol is among the `_thirds` of its table."""


@lru_cache(maxsize=1)
def probabilities() -> Float32:
    """Return what gives constriction exactly our frequencies, row by row.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing. float32
    holds these, and all their partial sums.
    """
    return (residual_frequencies() - 1).astype(np.float32)


@lru_cache(maxsize=1)
def _thirds() -> Float32:
    """Return, for each row and symbol, a table of three whose one (`_THIRDS`) is this symbol.

    The others are what comes before it and after it; to encode with such a table is the same, and
    faster. (The first symbol's and the last one's rest is parted somewhere.)
    """
    table = residual_frequencies()
    after = (1 << PRECISION) - np.cumsum(table, axis=1)
    thirds = np.stack([(1 << PRECISION) - table - after, table, after], axis=2)
    thirds[:, 0] = np.stack([table[:, 0], after[:, 0] - 1, np.ones(len(table))], axis=1)
    rest = (1 << PRECISION) - table[:, -1]
    thirds[:, -1] = np.stack([rest - 1, np.ones(len(table)), table[:, -1]], axis=1)
    return (thirds - 1).astype(np.float32).reshape(-1, 3)


def codes(rows: Indices | Int32, symbols: Int32) -> Uint16:
    """Return symbols together with the rows of their tables."""
    return (rows * (ESCAPE + 1) + symbols).astype(np.uint16)


def encode(encoder: constriction.stream.queue.RangeEncoder, codes: Uint16) -> None:
    """Encode symbols, given together with the rows of their tables."""
    symbols = codes % np.uint16(ESCAPE + 1)
    encoder.encode(_THIRDS.take(symbols), FAMILY, _thirds().take(codes, axis=0))


def symbols_of(residuals: Indices) -> Int32:
    """Return the symbols of residuals: 0, -1, 1, -2, ... are 0, 1, 2, 3, ... up to the escape."""
    return np.minimum(_zigzag(residuals), ESCAPE).astype(np.int32)


def _zigzag(residuals: Indices) -> Indices:
    return np.where(residuals < 0, -2 * residuals - 1, 2 * residuals)


def pack_escapes(residuals: Indices) -> bytes:
    """Return what follows the escape of each of these residuals: its zigzag, less ESCAPE."""
    return b"".join(map(pack_varint, (_zigzag(residuals) - ESCAPE).tolist()))


def escape_lengths(residuals: Indices) -> Indices:
    """Return how many bytes each residual has in the escapes, 0 to 3."""
    beyond = _zigzag(residuals) - ESCAPE
    return np.digitize(beyond, [0, 1 << 7, 1 << 14])
