"""Real weights -> integers: the quantisation step of each tensor, by rate-distortion."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from siren_codec.errors import FitError
from siren_codec.field import QuantisedTensor
from siren_codec.fit.model import Model, quantise
from siren_codec.stream.prior import Expected
from siren_codec.stream.tables import MAX_MAGNITUDE
from siren_codec.stream.weights import EXPONENTS, scales
from siren_codec.stream.weights_by_range import cost

__all__ = ["choose_exponents"]

_BITS = range(3, 15)
_BITS_OF_DIFFERENCES = range(-1, 12)
"""Candidate precisions: the largest magnitude of a tensor takes about so many bits and a sign. One
bit less than none rounds all to 0."""


@dataclass(frozen=True)
class _Choice:
    exponent: int
    bits: float
    distortion: float


def choose_exponents(
    model: Model,
    error: Callable[[], float],
    price: Callable[[float, float], float],
    most_bits: float = math.inf,
) -> list[tuple[int, int]]:
    """Return the (weight, bias) step exponents of each layer that minimise D + lambda R.

    D is what rounding does to the loss, which `error()` tells for the model's weights as they are;
    R is what the range coder spends on the integers. Rounding errors of different tensors are
    independent, so their distortions add up, and each tensor can be chosen by itself (Shoham and
    Gersho 1988). `price(D, R)` is lambda, settled with R by iteration; it is raised as far as it
    takes to make R no more than `most_bits`.
    """
    choices = [
        list(_choices(model, index, part, error))
        for index in range(len(model.matrices))
        for part in range(2)
    ]
    best = [tensor[len(tensor) // 2] for tensor in choices]
    lambda_ = 0.0
    for _ in range(8):
        bits = sum(choice.bits for choice in best)
        if bits == 0:
            break
        lambda_ = price(error(), bits)
        best = _cheapest(choices, lambda_)
    for _ in range(300):
        if sum(choice.bits for choice in best) <= most_bits:
            break
        lambda_ *= 1.1
        best = _cheapest(choices, lambda_)
    exponents = [choice.exponent for choice in best]
    return list(zip(exponents[::2], exponents[1::2], strict=True))


def _cheapest(choices: list[list[_Choice]], lambda_: float) -> list[_Choice]:
    return [min(c, key=lambda choice: choice.distortion + lambda_ * choice.bits) for c in choices]


@torch.no_grad()
def _choices(model: Model, index: int, part: int, error: Callable[[], float]) -> Iterator[_Choice]:
    """Yield what each step of one tensor costs and harms, all other tensors left exact."""
    tensor = model.matrices[index].detach()[:, model.parts(index)[part]]
    saved = tensor.clone()
    real = model.differences(index, part)
    expected = model.expected[2 * index + part] if model.expected else None
    largest = float(np.abs(real).max())
    if not np.isfinite(largest):
        raise FitError("expected finite weights, found others")
    exact = error()
    top = int(np.frexp(largest)[1]) if largest > 0 else EXPONENTS.start
    least = expected.tensor.exponent if expected else EXPONENTS.start
    seen = set()
    for bits in _BITS_OF_DIFFERENCES if expected else _BITS:
        exponent = min(max(top - bits, least), EXPONENTS.stop - 1)
        integers = quantise(real, exponent)
        if exponent in seen or np.abs(integers.values).max() > MAX_MAGNITUDE:
            continue
        seen.add(exponent)
        moved = integers.dequantise() - real
        moved = moved if part == 0 else np.atleast_2d(moved).T
        tensor.copy_(saved + torch.from_numpy(moved).to(saved))
        choice = _Choice(exponent, _bits(integers, expected), max(error() - exact, 0.0))
        tensor.copy_(saved)
        yield choice


def _bits(integers: QuantisedTensor, expected: Expected | None) -> float:
    if expected is None:
        return cost(integers.values)
    if not integers.values.any():
        return 0.0
    return cost(integers.values, scales(integers.exponent, expected.spreads))
