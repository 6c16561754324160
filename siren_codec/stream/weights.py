"""Integer weights <-> packed bytes: zstd, or the range coder where that is smaller.

What is packed are the weights, or with a prior their differences from what it says.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from functools import lru_cache

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import QuantisedTensor
from siren_codec.stream.frame import compress, decompress
from siren_codec.stream.prior import SPREAD_OF_ONE, Expected
from siren_codec.stream.tables import (
    MAX_MAGNITUDE,
    PRECISION,
    SCALES,
    Family,
    frequencies,
    reach,
)

__all__ = [
    "EXPONENTS",
    "Coder",
    "Scales",
    "coder",
    "constriction_errors",
    "cost",
    "differences",
    "information",
    "pack",
    "scales",
    "unpack",
]

Integers = npt.NDArray[np.int32]
Scales = npt.NDArray[np.int32]
"""For each integer the scale index of its table, before the tensor's shift and clipping."""
Shape = tuple[int, ...]

EXPONENTS = range(-24, 8)
"""The exponents that a step 2**exponent may have."""
_UNMOVED = 0xFF
"""Instead of an exponent: the tensor is the prior's."""
_NO_SHIFT = 32
_SMALL = 256
"""Of magnitudes below it, the bits are kept."""


class Coder(IntEnum):
    """How the integers are coded: the ids are the format's; append only."""

    ZSTD = 1
    RANGE = 2


def pack(tensors: Sequence[QuantisedTensor], expected: Sequence[Expected] | None = None) -> bytes:
    """Return the weights section: the smaller of the zstd and the range-coded form.

    With a prior, `expected` is what it says of the tensors. Raises LimitError for a step or an
    integer that the format cannot hold.
    """
    moved: list[QuantisedTensor | None] = [*tensors]
    if expected is not None:
        moved = [differences(tensor, x.tensor) for tensor, x in zip(tensors, expected, strict=True)]
    exponents, values, bases = b"", [], []
    for index, tensor in enumerate(moved):
        if tensor is None:
            exponents += bytes([_UNMOVED])
            continue
        magnitude = int(np.abs(tensor.values.astype(np.int64)).max())
        if tensor.exponent not in EXPONENTS or magnitude > MAX_MAGNITUDE:
            raise LimitError(
                f"weights: expected steps of 2**{EXPONENTS.start} to 2**{EXPONENTS.stop - 1} and "
                f"magnitudes to {MAX_MAGNITUDE}, found 2**{tensor.exponent} and {magnitude}"
            )
        exponents += bytes([tensor.exponent - EXPONENTS.start])
        values.append(tensor.values.ravel())
        bases.append(
            _bases(tensor.values.size, tensor.exponent, expected[index] if expected else None)
        )
    forms = [(Coder.ZSTD, _pack_zstd(values))] if values else []
    with suppress(LimitError):
        forms.append((Coder.RANGE, _pack_range(values, bases)))
    smaller, body = min(forms, key=lambda form: len(form[1]))
    return bytes([smaller]) + exponents + body


def differences(tensor: QuantisedTensor, expected: QuantisedTensor) -> QuantisedTensor | None:
    """Return a tensor's differences from the prior's at the largest step that holds them.

    None if there are none. Raises UsageError if the tensors have different steps.
    """
    if tensor.exponent != expected.exponent:
        raise UsageError(
            f"weights: expected the prior's step of 2**{expected.exponent}, "
            f"found 2**{tensor.exponent}"
        )
    values = tensor.values.astype(np.int64) - expected.values
    if max(np.abs(values).max(), -int(tensor.values.min())) > np.iinfo(np.int32).max:
        raise LimitError("weights: expected magnitudes below 2**31")
    every = int(np.bitwise_or.reduce(values, axis=None))
    if every == 0:
        return None
    octaves = (every & -every).bit_length() - 1
    octaves = min(octaves, EXPONENTS.stop - 1 - tensor.exponent)
    return QuantisedTensor((values >> octaves).astype(np.int32), tensor.exponent + octaves)


def coder(data: bytes) -> Coder:
    """Return the coder that a weights section names."""
    if not data or data[0] not in list(Coder):
        raise FormatError(f"weights: expected a coder of {[*map(int, Coder)]}, found {data[:1]!r}")
    return Coder(data[0])


def unpack(
    data: bytes, shapes: Sequence[Shape], expected: Sequence[Expected] | None = None
) -> list[QuantisedTensor]:
    """Return the tensors of a weights section, of the `shapes` that the header implies.

    With a prior, `expected` is what it says of them.
    """
    form = coder(data)
    if len(data) < 1 + len(shapes):
        raise FormatError(f"weights: expected over {len(shapes)} bytes, found {len(data)}")
    exponents: dict[int, int] = {}
    for index, byte in enumerate(data[1 : 1 + len(shapes)]):
        if expected is not None and byte == _UNMOVED:
            continue
        exponent = byte + EXPONENTS.start
        least = EXPONENTS.start if expected is None else expected[index].tensor.exponent
        if exponent not in range(least, EXPONENTS.stop):
            raise FormatError(
                f"weights: expected a step of 2**{least} to 2**{EXPONENTS.stop - 1}, "
                f"found 2**{exponent}"
            )
        exponents[index] = exponent
    body = data[1 + len(shapes) :]
    if form is Coder.RANGE:
        bases = [
            _bases(math.prod(shapes[index]), exponent, expected[index] if expected else None)
            for index, exponent in exponents.items()
        ]
        flats = _unpack_range(body, bases)
    else:
        flats = _unpack_zstd(body, [math.prod(shapes[index]) for index in exponents])
    found = {
        index: QuantisedTensor(flat.reshape(shapes[index]), exponent)
        for (index, exponent), flat in zip(exponents.items(), flats, strict=True)
    }
    if expected is None:
        return [*found.values()]
    return [
        _sum(x.tensor, found[index]) if index in found else x.tensor
        for index, x in enumerate(expected)
    ]


def _sum(expected: QuantisedTensor, tensor: QuantisedTensor) -> QuantisedTensor:
    """Return what the prior says and the differences from it together."""
    octaves = tensor.exponent - expected.exponent
    every = int(np.bitwise_or.reduce(tensor.values, axis=None))
    if every == 0 or (every % 2 == 0 and tensor.exponent < EXPONENTS.stop - 1):
        raise FormatError("weights: expected an odd difference, for the step is too small")
    total = expected.values + (tensor.values.astype(np.int64) << octaves)
    if np.abs(total).max() > np.iinfo(np.int32).max:
        raise FormatError("weights: expected sums that fit into 32 bits")
    return QuantisedTensor(total.astype(np.int32), expected.exponent)


def scales(exponent: int, spreads: npt.NDArray[np.uint8]) -> Scales:
    """Return the scale index of each difference from a prior, at a step of 2**exponent."""
    quarters: Scales = spreads.ravel().astype(np.int32) - SPREAD_OF_ONE - 4 * exponent
    return quarters + 8


def _bases(count: int, exponent: int, expected: Expected | None) -> Scales:
    if expected is None:
        return np.full(count, _NO_SHIFT, np.int32)
    return scales(exponent, expected.spreads)


def cost(values: Integers, base: Scales | None = None) -> float:
    """Return the bits that the range coder spends on a tensor's integers, its table chosen best.

    `base` is what `scales` says, where there is a prior; infinite if no table codes them.
    """
    flat = values.ravel()
    return _best_table(flat, np.full(flat.size, _NO_SHIFT, np.int32) if base is None else base)[2]


def information(
    values: Integers, base: Scales | None, most: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp], float]:
    """Return the bits of magnitudes 0 to `most` by the tables that code a tensor's integers best.

    They are (tables, most + 1), infinite beyond a table's reach; with them come, in the shape of
    the integers, the number of each one's table, and the bits of all. `base` is as in `cost`.
    """
    flat = values.ravel()
    base = np.full(flat.size, _NO_SHIFT, np.int32) if base is None else base
    family, shift, bits = _best_table(flat, base)
    indices = np.clip(base + (shift - _NO_SHIFT), 0, SCALES - 1)
    used, which = np.unique(indices, return_inverse=True)
    table = _information(family, used.tolist(), np.arange(most + 1, dtype=np.int32))
    return table, which.reshape(values.shape), bits


def _pack_zstd(values: Sequence[Integers]) -> bytes:
    """Zigzag integers as planes of bytes, the low ones first, in one zstd frame."""
    flat = np.concatenate(values)
    zigzag = ((flat << 1) ^ (flat >> 31)).astype("<u2")
    planes = 1 if zigzag.max() < 256 else 2
    raw = b"".join((zigzag >> 8 * plane).astype(np.uint8).tobytes() for plane in range(planes))
    return bytes([planes]) + compress(raw)


def _unpack_zstd(data: bytes, counts: Sequence[int]) -> list[Integers]:
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


def _pack_range(values: Sequence[Integers], bases: Sequence[Scales]) -> bytes:
    """One byte per tensor for its table, then all integers in the words of one range coder.

    Raises LimitError for integers that no tables reach.
    """
    best = list(map(_best_table, values, bases))
    if any(bits == math.inf for _, _, bits in best):
        raise LimitError("weights: expected integers within reach of their tables")
    tables = bytes(family << 6 | shift for family, shift, _ in best)
    return tables + _range_words(values, bases, tables)


def _tables(base: Scales, table: int) -> Iterator[tuple[Family, int, npt.NDArray[np.bool_]]]:
    """Yield a tensor's tables, family and scale index, and which of its integers each codes."""
    indices = np.clip(base + ((table & SCALES - 1) - _NO_SHIFT), 0, SCALES - 1)
    for index in np.unique(indices).tolist():
        yield Family(table >> 6), index, indices == index


def _range_words(values: Sequence[Integers], bases: Sequence[Scales], tables: bytes) -> bytes:
    encoder = constriction.stream.queue.RangeEncoder()
    for flat, base, table in zip(values, bases, tables, strict=True):
        for family, index, chosen in _tables(base, table):
            encoder.encode(flat[chosen] + np.int32(reach(index)), _entropy_model(family, index))
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return words


def _unpack_range(data: bytes, bases: Sequence[Scales]) -> list[Integers]:
    tables, words = data[: len(bases)], data[len(bases) :]
    if len(tables) < len(bases) or len(words) % 4:
        raise FormatError(
            f"weights: expected {len(bases)} table bytes and words of 4 bytes, found {len(data)}"
        )
    for table in tables:
        if table >> 6 not in list(Family):
            raise FormatError(f"weights: expected a table below {len(Family) << 6}, found {table}")
    values = []
    with constriction_errors():
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(words, "<u4").astype(np.uint32)
        )
        for base, table in zip(bases, tables, strict=True):
            flat = np.empty(len(base), np.int32)
            for family, index, chosen in _tables(base, table):
                symbols = decoder.decode(_entropy_model(family, index), int(chosen.sum()))
                flat[chosen] = symbols - np.int32(reach(index))
            values.append(flat)
        # The decoder pads with zeros and cannot tell one word too many: the encoder can.
        if _range_words(values, bases, tables) != words:
            raise FormatError("weights: expected the words of the range coder, found others")
    return values


@contextmanager
def constriction_errors() -> Iterator[None]:
    """Turn what constriction raises into FormatError: its PanicException is no Exception."""
    try:
        yield
    except FormatError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise FormatError(f"range coder: {' '.join(str(error).split())}") from None
        raise


def _entropy_model(family: Family, index: int) -> constriction.stream.model.Categorical:
    """Return constriction's model with exactly our frequencies.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing.
    """
    weights = (frequencies(family, index) - 1).astype(np.float64)
    return constriction.stream.model.Categorical(weights, perfect=False)


def _best_table(flat: Integers, base: Scales) -> tuple[Family, int, float]:
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
