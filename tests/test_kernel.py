"""The one convention of pixel centres."""

import numpy as np
import pytest

from siren_codec.field.kernel import cell_centres, unit_coordinates, unit_per_pixel

LENGTHS = [1, 2, 3, 7, 256, 65_535]


@pytest.mark.parametrize("length", LENGTHS)
def test_cells_of_one_pixel_have_integer_centres(length: int) -> None:
    centres = cell_centres(0, length, length)
    assert centres.dtype == np.float64
    np.testing.assert_array_equal(centres, np.arange(length))


def test_cell_centres_of_a_crop_are_those_of_its_pixels() -> None:
    np.testing.assert_array_equal(cell_centres(5, 7, 7), np.arange(5, 12))


def test_cell_centres_literals() -> None:
    # [-1/2, 3.5] in 8 parts, in 2 parts and in one; [1.5, 4.5] in 2 parts.
    np.testing.assert_array_equal(
        cell_centres(0, 4, 8), [-0.25, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.25]
    )
    np.testing.assert_array_equal(cell_centres(0, 4, 2), [0.5, 2.5])
    np.testing.assert_array_equal(cell_centres(0, 4, 1), [1.5])
    np.testing.assert_array_equal(cell_centres(2, 3, 2), [2.25, 3.75])


@pytest.mark.parametrize(("start", "length", "cells"), [(0, 10, 3), (4, 5, 17), (2, 9, 1)])
def test_cells_are_equal_and_fill_the_interval(start: int, length: int, cells: int) -> None:
    centres = cell_centres(start, length, cells)
    half = length / cells / 2
    assert centres.shape == (cells,)
    assert centres[0] - half == pytest.approx(start - 0.5)
    assert centres[-1] + half == pytest.approx(start - 0.5 + length)
    np.testing.assert_allclose(np.diff(centres), 2 * half)


@pytest.mark.parametrize("length", LENGTHS)
def test_unit_coordinates_of_the_edges_are_minus_one_and_one(length: int) -> None:
    assert unit_coordinates(-0.5, length) == -1
    assert unit_coordinates(length - 0.5, length) == 1
    assert unit_coordinates((length - 1) / 2, length) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("length", LENGTHS)
def test_unit_coordinates_of_pixels_are_the_centres_of_the_design(length: int) -> None:
    pixels = np.arange(length, dtype=np.float64)
    expected = (2 * np.arange(length) + 1) / length - 1
    np.testing.assert_allclose(unit_coordinates(pixels, length), expected, atol=1e-15)


@pytest.mark.parametrize("length", LENGTHS)
def test_unit_per_pixel_is_the_derivative(length: int) -> None:
    # The map is affine: a difference over any distance is its derivative.
    slope = (unit_coordinates(length - 0.5, length) - unit_coordinates(-0.5, length)) / length
    assert unit_per_pixel(length) == pytest.approx(slope, rel=1e-14)
