"""The one convention of pixel centres, and the splines between them."""

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec.field.spline import (
    cell_centres,
    level_shape,
    spline_matrix,
    spline_taps,
    unit_coordinates,
    unit_per_pixel,
)

Float64 = npt.NDArray[np.float64]

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


# Splines

LEVELS = [0, 1, 2, 5]


def spline(pixels: Float64, level: int, values: Float64, derivative: int = 0) -> Float64:
    """Return the spline whose cells have these values, or its derivative, at points."""
    taps, weights = spline_taps(pixels, level, len(values), derivative)
    return np.asarray((values[taps] * weights).sum(axis=1))


def axis(level: int, cells: int = 7, count: int = 400) -> tuple[Float64, Float64]:
    """Return random points on an axis of so many cells, both its edges included, and values."""
    rng = np.random.default_rng(level)
    length = cells << level
    first, last = -0.5, length - 0.5
    points = np.concatenate([[first, last], rng.uniform(first, last, count)])
    return points, rng.normal(size=cells)


@pytest.mark.parametrize(
    ("width", "height", "level", "shape"),
    [
        (768, 512, 0, (512, 768)),
        (768, 512, 6, (8, 12)),
        (769, 511, 1, (256, 385)),
        (5, 3, 1, (2, 3)),
        (1, 1, 9, (1, 1)),
        (65, 64, 6, (1, 2)),
    ],
)
def test_level_shape_covers_the_picture(
    width: int, height: int, level: int, shape: tuple[int, int]
) -> None:
    assert level_shape(width, height, level) == shape


def test_spline_literals() -> None:
    # At a cell's centre, in the middle between two, and a quarter of a cell on.
    taps, weights = spline_taps(np.array([5.0, 5.5, 5.25]), 0, 20)
    np.testing.assert_array_equal(taps, [[3, 4, 5, 6, 7, 8]] * 3)
    np.testing.assert_allclose(weights[0] * 96, [-5, 6, 94, 6, -5, 0], atol=1e-12)
    np.testing.assert_allclose(weights[1] * 768, [-5, -89, 478, 478, -89, -5], atol=1e-12)
    spline_ = np.array([0, 0, 27, 235, 121, 1, 0, 0]) / 384
    sharp = 1.625 * spline_[1:-1] - 0.3125 * (spline_[:-2] + spline_[2:])
    np.testing.assert_allclose(weights[2], sharp, atol=1e-15)
    # Cell 2 of level 2 covers the pixels 8 to 11: its centre is at 9.5.
    taps, weights = spline_taps(np.array([9.5]), 2, 20)
    np.testing.assert_array_equal(taps, [[0, 1, 2, 3, 4, 5]])
    np.testing.assert_allclose(weights * 96, [[-5, 6, 94, 6, -5, 0]], atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_splines_are_a_partition_of_unity(level: int) -> None:
    points, _ = axis(level)
    for derivative, total in ((0, 1), (1, 0), (2, 0)):
        _, weights = spline_taps(points, level, 7, derivative)
        np.testing.assert_allclose(weights.sum(axis=1), total, rtol=0, atol=1e-14)


@pytest.mark.parametrize("level", LEVELS)
def test_splines_follow_a_line(level: int) -> None:
    # Away from the edges, where the outermost cell goes on.
    points = np.linspace(2.5, 4.5, 50) * 2**level - 0.5
    centres = cell_centres(0, 7 << level, 7)
    np.testing.assert_allclose(spline(points, level, centres), points, rtol=0, atol=1e-12)
    np.testing.assert_allclose(spline(points, level, centres, 1), 1, rtol=0, atol=1e-12)
    np.testing.assert_allclose(spline(points, level, centres, 2), 0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("level", LEVELS)
def test_derivatives_of_splines_are_those_of_differences(level: int) -> None:
    points, values = axis(level)
    h = 1e-6 * 2**level
    for derivative in (1, 2):
        before, after = (
            spline(points + offset, level, values, derivative - 1) for offset in (-h, h)
        )
        exact = spline(points, level, values, derivative)
        atol = 1e-5 / 2.0 ** (level * derivative)
        np.testing.assert_allclose((after - before) / (2 * h), exact, rtol=0, atol=atol)


@pytest.mark.parametrize("level", LEVELS)
def test_splines_are_twice_continuous_where_their_pieces_meet(level: int) -> None:
    _, values = axis(level)
    centres = cell_centres(0, 7 << level, 7)
    h = 1e-9 * 2**level
    for derivative in (0, 1, 2):
        before, after = (spline(centres + offset, level, values, derivative) for offset in (-h, h))
        np.testing.assert_allclose(before, after, rtol=0, atol=1e-7)
    # The third derivative does jump, or this test would not see a border at all.
    bends = [spline(centres + offset, level, values, 2) for offset in (-0.1, 0, 0.1)]
    assert np.abs(bends[0] - 2 * bends[1] + bends[2]).max() > 0.01 / 8**level


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cells", [1, 2, 7])
def test_the_outermost_cells_go_on(level: int, cells: int) -> None:
    points, values = axis(level, cells)
    padded = np.pad(values, 4, mode="edge")
    for derivative in (0, 1, 2):
        beyond = spline(points + (4 << level), level, padded, derivative)
        np.testing.assert_allclose(
            spline(points, level, values, derivative), beyond, rtol=0, atol=1e-12
        )
    assert spline_taps(points, level, cells)[0].min() == 0
    assert spline_taps(points, level, cells)[0].max() == cells - 1


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("derivative", [0, 1, 2])
def test_the_matrix_is_that_of_the_taps(level: int, derivative: int) -> None:
    points, values = axis(level, 20, 50)
    for part in (points, points[:1], points[1:2], points[points > 12 << level]):
        seen, matrix = spline_matrix(part, level, 20, derivative)
        assert matrix.shape == (len(part), seen.stop - seen.start)
        np.testing.assert_allclose(
            matrix @ values[seen], spline(part, level, values, derivative), rtol=0, atol=1e-12
        )
    assert seen.start >= 9


def test_a_picture_smaller_than_a_cell_is_flat() -> None:
    seen, matrix = spline_matrix(np.arange(5.0), 9, 1)
    assert seen == slice(0, 1)
    np.testing.assert_allclose(matrix, np.ones((5, 1)), atol=1e-15)
