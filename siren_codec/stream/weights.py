"""Integer weights <-> packed bytes: zstd, or the range coder where that is smaller.

What is packed are the weights, or with a prior their differences from what it says.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import QuantisedTensor
from siren_codec.stream import weights_by_range, weights_by_zstd
from siren_codec.stream.prior import SPREAD_OF_ONE, Expected
from siren_codec.stream.tables import MAX_MAGNITUDE
from siren_codec.stream.weights_by_range import Scales, one_scale

__all__ = ["EXPONENTS", "Coder", "coder", "differences", "pack", "scales", "unpack"]

Shape = tuple[int, ...]

EXPONENTS = range(-24, 8)
"""The exponents that a step 2**exponent may have."""
_UNMOVED = 0xFF
"""Instead of an exponent: the tensor is the prior's."""


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
    forms = [(Coder.ZSTD, weights_by_zstd.pack(values))] if values else []
    with suppress(LimitError):
        forms.append((Coder.RANGE, weights_by_range.pack(values, bases)))
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
        flats = weights_by_range.unpack(body, bases)
    else:
        flats = weights_by_zstd.unpack(body, [math.prod(shapes[index]) for index in exponents])
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
        return one_scale(count)
    return scales(exponent, expected.spreads)
