"""Integer weights <-> words of the range coder, each tensor by the table that suits it best.

A table has a family and a shift. With a prior, each integer has a scale of its own, which the shift
moves; without one all have the same.
"""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError
from siren_codec.stream import range_coder
from siren_codec.stream.tables import PRECISION, SCALES, Family, frequencies, reach

__all__ = ["Scales", "best_table", "cost", "information", "one_scale", "pack", "unpack"]

Integers = npt.NDArray[np.int32]
Scales = npt.NDArray[np.int32]
"""For each integer the scale index of its table, before the tensor's shift and clipping."""

_NO_SHIFT = 32
_SMALL = 256
"""Of magnitudes below it, the bits are kept."""


def one_scale(count: int) -> Scales:
    """Return the scales of so many integers without a prior: the shift alone is their scale."""
    return np.full(count, _NO_SHIFT, np.int32)


def pack(values: Sequence[Integers], bases: Sequence[Scales]) -> bytes:
    """Return a byte per tensor for its table, then all integers in the words of one range coder.

    Raises LimitError for integers that no tables reach.
    """
    best = list(map(best_table, values, bases))
    if any(bits == math.inf for _, _, bits in best):
        raise LimitError("weights: expected integers within reach of their tables")
    tables = bytes(family << 6 | shift for family, shift, _ in best)
    return tables + _range_words(values, bases, tables)


def unpack(data: bytes, bases: Sequence[Scales]) -> list[Integers]:
    """Return the flat integers of each tensor, one for each of its scales. Raises FormatError."""
    tables, words = data[: len(bases)], data[len(bases) :]
    if len(tables) < len(bases) or len(words) % 4:
        raise FormatError(
            f"weights: expected {len(bases)} table bytes and words of 4 bytes, found {len(data)}"
        )
    for table in tables:
        if table >> 6 not in list(Family):
            raise FormatError(f"weights: expected a table below {len(Family) << 6}, found {table}")
    values = []
    with range_coder.errors():
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(words, "<u4").astype(np.uint32)
        )
        for base, table in zip(bases, tables, strict=True):
            flat = np.empty(len(base), np.int32)
            for family, index, chosen in _tables(base, table):
                symbols = decoder.decode(range_coder.model(family, index), int(chosen.sum()))
                flat[chosen] = symbols - np.int32(reach(index))
            values.append(flat)
        # The decoder pads with zeros and cannot tell one word too many: the encoder can.
        if _range_words(values, bases, tables) != words:
            raise FormatError("weights: expected the words of the range coder, found others")
    return values


def _range_words(values: Sequence[Integers], bases: Sequence[Scales], tables: bytes) -> bytes:
    encoder = constriction.stream.queue.RangeEncoder()
    for flat, base, table in zip(values, bases, tables, strict=True):
        for family, index, chosen in _tables(base, table):
            encoder.encode(flat[chosen] + np.int32(reach(index)), range_coder.model(family, index))
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return words


def _tables(base: Scales, table: int) -> Iterator[tuple[Family, int, npt.NDArray[np.bool_]]]:
    """Yield a tensor's tables, family and scale index, and which of its integers each codes."""
    indices = np.clip(base + ((table & SCALES - 1) - _NO_SHIFT), 0, SCALES - 1)
    for index in np.unique(indices).tolist():
        yield Family(table >> 6), index, indices == index


def cost(values: Integers, base: Scales | None = None) -> float:
    """Return the bits that the range coder spends on a tensor's integers, its table chosen best.

    `base` is what `weights.scales` says, where there is a prior; infinite if no table codes them.
    """
    flat = values.ravel()
    return best_table(flat, one_scale(flat.size) if base is None else base)[2]


def information(
    values: Integers, base: Scales | None, most: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], float]:
    """Return the bits of magnitudes 0 to `most` by the tables that code a tensor's integers best.

    They are (tables, most + 1), infinite beyond a table's reach; with them come, in the shape of
    the integers, the number of each one's table, and the bits of all. `base` is as in `cost`.
    """
    flat = values.ravel()
    base = one_scale(flat.size) if base is None else base
    family, shift, bits = best_table(flat, base)
    indices = np.clip(base + (shift - _NO_SHIFT), 0, SCALES - 1)
    used, which = np.unique(indices, return_inverse=True)
    table = _information(family, used.tolist(), np.arange(most + 1, dtype=np.int32))
    return table, which.reshape(values.shape), bits


def best_table(flat: Integers, base: Scales) -> tuple[Family, int, float]:
    """Return the family and shift that code integers in the fewest bits, and the bits.

    The bits are infinite if no shift has tables that reach all of them.
    """
    keys = base.astype(np.int64) << 16 | np.abs(flat)
    pairs, counts = np.unique(keys, return_counts=True)
    bases, (magnitudes, which) = pairs >> 16, np.unique(pairs & 0xFFFF, return_inverse=True)
    # Larger scales than four times the largest integer are no better.
    last = math.ceil(4 * math.log2(4 * int(magnitudes[-1]) + 1)) + 8 - int(bases.min())
    shifts = np.arange(min(max(last + _NO_SHIFT, 0), SCALES - 1) + 1)
    indices = np.clip(bases + (shifts[:, None] - _NO_SHIFT), 0, SCALES - 1)
    best = Family.LAPLACE, _NO_SHIFT, math.inf
    for family in Family:
        table = _information(family, range(int(indices.max()) + 1), magnitudes)
        bits = table[indices, which] @ counts
        shift = int(bits.argmin())
        if bits[shift] < best[2]:
            best = family, shift, float(bits[shift])
    return best


def _information(
    family: Family, indices: Sequence[int], magnitudes: Integers
) -> npt.NDArray[np.float64]:
    """Return the bits that magnitudes, in order, cost by the tables of scale indices."""
    if magnitudes[-1] < _SMALL:
        found: npt.NDArray[np.float64] = _of_small(family)[np.ix_(np.asarray(indices), magnitudes)]
        return found
    return _of_any(family, indices, magnitudes)


@lru_cache(maxsize=len(Family))
def _of_small(family: Family) -> npt.NDArray[np.float64]:
    """Return the bits of all small magnitudes by all tables: nearly all weights have no others."""
    return _of_any(family, range(SCALES), np.arange(_SMALL, dtype=np.int32))


def _of_any(
    family: Family, indices: Sequence[int], magnitudes: Integers
) -> npt.NDArray[np.float64]:
    table = np.full((len(indices), len(magnitudes)), np.inf)
    for row, index in zip(table, indices, strict=True):
        reached = magnitudes[magnitudes <= reach(index)]
        if len(reached):
            found = frequencies(family, index)[reached + reach(index)]
            row[: len(reached)] = PRECISION - np.log2(found)
    return table
