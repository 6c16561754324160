"""What a bit is worth."""

import pytest

from siren_codec.fit.rate import coordinate_lambda, quality_lambda, to_signed, to_unit


def test_lambda_is_a_price_in_proportion() -> None:
    assert coordinate_lambda(0.01, 1000.0) == pytest.approx(3.3e-6)


def test_lambda_falls_with_quality() -> None:
    assert quality_lambda(50) == pytest.approx(1e-3)
    assert quality_lambda(58) == pytest.approx(5e-4)
    prices = [quality_lambda(quality) for quality in range(1, 101)]
    assert prices == sorted(set(prices), reverse=True)


def test_a_squared_error_over_twice_the_range_is_four_times_as_large() -> None:
    assert to_signed(0.25) == 1
    assert to_unit(to_signed(0.3)) == pytest.approx(0.3)
