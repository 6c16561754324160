"""Rounding by rate-distortion."""

import math

import numpy as np
import pytest

from siren_codec.errors import FitError
from siren_codec.field import QuantisedTensor
from siren_codec.field.evaluate import Float64
from siren_codec.fit.descent import Descent, Rounding
from siren_codec.stream.prior import Expected
from siren_codec.stream.weights import scales
from siren_codec.stream.weights_by_range import cost

UNITS, COLUMNS = 6, 9
PARTS = slice(0, 7), slice(7, None)
STEPS = -5, -4


def _problem(seed: int = 0) -> tuple[Float64, Float64]:
    """Return (units, columns, columns) curvatures, of inputs much alike, and real weights."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(UNITS, COLUMNS, 40)) + 2 * random.normal(size=(UNITS, 1, 40))
    curvature = inputs @ inputs.transpose(0, 2, 1) / 40
    return curvature, random.laplace(scale=0.1, size=(UNITS, COLUMNS))


def _expected() -> list[Expected]:
    """Return what a prior says: a weight, and two biases for each unit."""
    random = np.random.default_rng(1)
    shapes = (UNITS, 7), (2, UNITS)
    return [
        Expected(
            QuantisedTensor(np.zeros(shape, np.int32), -12),
            random.integers(112, 122, shape).astype(np.uint8),
        )
        for shape in shapes
    ]


def _descent(curvature: Float64, *, prior: bool, price: float) -> Descent:
    return Descent(curvature, PARTS, _expected() if prior else None, price)


def _harm(curvature: Float64, moved: Float64, slope: float | Float64 = 0.0) -> float:
    return float(np.einsum("ui,uij,uj->", moved, curvature, moved) / 2 + (slope * moved).sum())


def _bits(found: Rounding, *, prior: bool) -> float:
    """Return what the range coder spends, and a byte for the table of what is not all 0."""
    total = 0.0
    for number, part in enumerate(PARTS):
        spreads = _expected()[number].spreads
        base = scales(found.exponents[number], spreads if number == 0 else spreads.T)
        values = found.values[:, part]
        if values.any():
            total += cost(values, base if prior else None) + 8
    return total


@pytest.mark.parametrize("prior", [False, True])
@pytest.mark.parametrize("price", [1e-6, 1e-4, 1e-2])
def test_descent_is_better_than_the_nearest_integers(price: float, prior: bool) -> None:
    """And what it says of itself is so."""
    curvature, real = _problem()
    descent = _descent(curvature, prior=prior, price=price)
    found = descent.round(real, STEPS)
    steps = np.repeat(np.exp2(STEPS), (7, 2))
    assert np.array_equal(descent.real(found), found.values * steps)
    assert math.isclose(found.distortion, _harm(curvature, found.values * steps - real))
    assert math.isclose(found.bits, _bits(found, prior=prior))
    values = np.rint(real / steps).astype(np.int32)
    nearest = Rounding(STEPS, values, _harm(curvature, values * steps - real), 0.0)
    before = nearest.distortion + price * _bits(nearest, prior=prior)
    assert found.distortion + price * found.bits < before
    if price < 1e-5:
        assert found.distortion < 0.7 * nearest.distortion


def test_no_single_integer_is_better_one_off() -> None:
    curvature, real = _problem()
    found = _descent(curvature, prior=False, price=1e-9).round(real, STEPS)
    steps = np.repeat(np.exp2(STEPS), (7, 2))
    for place in np.ndindex(UNITS, COLUMNS):
        for by in (-1, 1):
            values = found.values.copy()
            values[place] += by
            assert _harm(curvature, values * steps - real) > found.distortion - 1e-7


def test_a_dear_bit_gives_coarse_steps_and_zeros() -> None:
    curvature, real = _problem()
    found = [_descent(curvature, prior=True, price=p).choose(real) for p in (1e-7, 1e-4, 1e2)]
    free, usual, dear = found
    assert free.bits > usual.bits > dear.bits == 0
    assert free.distortion < usual.distortion < dear.distortion
    assert not dear.values.any()
    assert all(-12 <= exponent < 8 for rounding in found for exponent in rounding.exponents)
    again = _descent(curvature, prior=True, price=1e-4).choose(real)
    assert again.exponents == usual.exponents
    assert np.array_equal(again.values, usual.values)


def test_no_steps_near_the_best_ones_are_better() -> None:
    curvature, real = _problem()
    descent = _descent(curvature, prior=True, price=1e-4)
    best = descent.choose(real)
    for by in (-1, 1):
        for weight, bias in ((by, by), (0, by)):
            steps = best.exponents[0] + weight, best.exponents[1] + bias
            other = descent.round(real, steps)
            assert other.distortion + 1e-4 * other.bits >= best.distortion + 1e-4 * best.bits - 1e-3


def test_integers_move_along_a_slope() -> None:
    """Less the more the curvature is damped, and none without a slope but to save bits."""
    curvature, real = _problem()
    descent = _descent(curvature, prior=True, price=1e-7)
    begin = descent.round(real, STEPS)
    slope = np.random.default_rng(2).normal(size=real.shape)
    free, damped = (descent.move(begin, slope, damping) for damping in (1.0, 30.0))
    moved = descent.real(free) - descent.real(begin)
    assert math.isclose(free.distortion, _harm(curvature, moved, slope))
    assert free.distortion < damped.distortion < 0
    still = descent.move(begin, 0 * slope, 1.0)
    assert still.bits <= begin.bits


def test_what_no_table_reaches_is_not_chosen() -> None:
    curvature, real = _problem()
    descent = _descent(curvature, prior=False, price=1e-30)
    assert descent.round(1e6 * real, (-12, -12)).bits == math.inf
    assert math.isfinite(descent.choose(1e3 * real).bits)
    real[0, 0] = math.nan
    with pytest.raises(FitError, match="expected finite weights"):
        descent.choose(real)
