"""What the SIREN sees: lattices against single points, and the levels that were read."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import make_field

from siren_codec.field.inputs import Orders, lattice_inputs, point_inputs, seen_inputs

FEATURES = (2, 1, 0, 1, 1, 0, 0, 0, 1)


def test_the_inputs_seen_are_the_coordinates_and_the_grids_read() -> None:
    field = make_field(features=FEATURES)
    assert seen_inputs(field) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert seen_inputs(replace(field, first_level=1)) == [0, 1, 4, 5, 6, 7]
    assert seen_inputs(replace(field, first_level=8)) == [0, 1, 7]
    assert seen_inputs(make_field()) == [0, 1]


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2)])
@pytest.mark.parametrize("first_level", [0, 1, 4])
@pytest.mark.parametrize("spacing", [0.25, 1.0, 1.7, 8.0])
def test_a_lattice_is_its_points(by: Orders, first_level: int, spacing: float) -> None:
    field = make_field(1, width=300, height=40, features=FEATURES)
    field = replace(field, first_level=first_level)
    xs, ys = np.arange(-0.5, 299.5, spacing), np.arange(2.25, 30, 9)
    x, y = np.meshgrid(xs, ys)
    expected = point_inputs(field, x.ravel(), y.ravel(), by)
    found = np.empty_like(expected)
    lattice_inputs(field, np.float64)(xs, ys, by, found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_lattice_of_one_point(dtype: Any) -> None:
    field = make_field(2, width=9, height=5, features=FEATURES)
    expected = point_inputs(field, np.array([8.5]), np.array([-0.5]), (0, 0))
    found = np.empty(expected.shape, dtype)
    lattice_inputs(field, dtype)(np.array([8.5]), np.array([-0.5]), (0, 0), found)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
