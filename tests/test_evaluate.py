"""Sampling a Field, against a SIREN that is written out here a second time."""

import math
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import threadpoolctl
from conftest import make_field

from siren_codec.errors import LimitError, UsageError
from siren_codec.field import Field, Layer, QuantisedTensor, evaluate, threads
from siren_codec.field.evaluate import Derivative
from siren_codec.framing import Crop, Size, View
from siren_codec.limits import Limits

Float64 = npt.NDArray[np.float64]
Pixels = npt.NDArray[Any]

FEATURES = [(1,), (1, 2), (0, 2), (0, 0), (2, 0, 0, 1), (1, 1, 1, 1, 1, 1, 1), (0,) * 9 + (1,)]
"""Latent grids: on every level, on some, on none, and on levels coarser than the pictures."""
FORMS = [(depth, channels) for depth in (8, 16) for channels in (1, 2, 3, 4)]


def naive(field: Field, x: Float64, y: Float64) -> Float64:
    """Return (..., channels) unclipped samples at pixel coordinates, layer by layer, in float64.

    Sitzmann et al. (2020): h <- sin(omega_0 (W h + b)), the last layer linear; the samples are
    (f + 1) / 2 of the peak, the coordinates (2 x + 1) / width - 1.
    """
    inputs = [(2 * x + 1) / field.width - 1, (2 * y + 1) / field.height - 1]
    for level, grids in enumerate(field.latents):
        inputs += [naive_spline(grid, level, x, y) for grid in grids]
    h = np.stack(inputs, axis=-1)
    # The last layer sees the inputs too, an eighth of them.
    passed = h / 8 if field.architecture.grids else h[..., :0]
    for index, layer in enumerate(field.layers):
        weight = layer.weight.values * 2.0**layer.weight.exponent
        bias = layer.bias.values * 2.0**layer.bias.exponent
        if index == field.architecture.hidden_layers:
            h = np.concatenate([h, passed], axis=-1)
        h = np.einsum("...i,oi->...o", h, weight) + bias
        if index < field.architecture.hidden_layers:
            first = index == 0
            h = np.sin(
                (field.architecture.first_omega_0 if first else field.architecture.omega_0) * h
            )
    return np.asarray((h + 1) / 2 * (2**field.depth - 1))


def naive_spline(grid: npt.NDArray[np.int32], level: int, x: Float64, y: Float64) -> Float64:
    """Return a grid's values at points: the sum over all cells, those beyond the edges too.

    Cell k of level l has its centre at 2**l (k + 1/2) - 1/2; a cell beyond an edge is as the
    outermost one, and no point of the picture sees more than three of them.
    """
    padded = np.pad(grid, 3, mode="edge")
    value = np.zeros(np.shape(x))
    for row, cells in enumerate(padded, -3):
        along_y = sharpened((y + 0.5) / 2**level - 0.5 - row)
        for column, cell in enumerate(cells, -3):
            value += cell * along_y * sharpened((x + 0.5) / 2**level - 0.5 - column)
    return value


def sharpened(distance: Float64) -> Float64:
    """Return the kernel: 13/8 of the cubic B-spline less 5/16 of each of its neighbours."""
    neighbours = cubic(distance - 1) + cubic(distance + 1)
    return np.asarray(1.625 * cubic(distance) - 0.3125 * neighbours)


def cubic(distance: Float64) -> Float64:
    """Return the cubic B-spline: the sum over j of (-1)^j (4 choose j) (d + 2 - j)_+^3 / 6."""
    terms = [
        (-1) ** j * math.comb(4, j) * np.maximum(distance + 2 - j, 0) ** 3 / 6 for j in range(5)
    ]
    return np.where(np.abs(distance) < 2, sum(terms), 0)


def naive_grid(field: Field, xs: Float64, ys: Float64) -> Float64:
    """Return (rows, columns, channels) samples, clipped to the picture's range."""
    x, y = np.meshgrid(xs, ys)
    return np.clip(naive(field, x, y), 0, 2**field.depth - 1)


def naive_means(field: Field, size: Size, over: Size) -> Float64:
    """Return (height, width, channels) means over `over` (x, y) samples a cell of a picture."""
    (width, height), (over_x, over_y) = size, over
    xs = (np.arange(width * over_x) + 0.5) * field.width / (width * over_x) - 0.5
    ys = (np.arange(height * over_y) + 0.5) * field.height / (height * over_y) - 0.5
    samples = naive_grid(field, xs, ys)
    return np.asarray(samples.reshape(height, over_y, width, over_x, -1).mean(axis=(1, 3)))


def grid_field(seed: int = 0, *, features: tuple[int, ...] = (1, 0, 2, 1), **options: Any) -> Field:
    """Return a random Field with latent grids, at a frequency for inputs of several units."""
    return make_field(seed, features=features, **{"first_omega_0": 3.0, **options})


def random_points(field: Field, count: int, *, margin: float = 0.01) -> tuple[Float64, Float64]:
    """Return x and y anywhere in the picture, so far from its edges."""
    rng = np.random.default_rng(count)
    x = rng.uniform(margin - 0.5, field.width - 0.5 - margin, count)
    return x, rng.uniform(margin - 0.5, field.height - 0.5 - margin, count)


def pixel_grid(field: Field) -> tuple[Float64, Float64]:
    """Return (height, width) x and y of all pixels' centres."""
    x, y = np.meshgrid(np.arange(field.width), np.arange(field.height))
    return x.astype(np.float64), y.astype(np.float64)


def assert_within_a_level(actual: Pixels, expected: Pixels, *, most_off: float = 0.02) -> None:
    """Allow for float32's rounding: one level, and that at few samples."""
    difference = np.abs(actual.astype(np.float64) - np.rint(expected.astype(np.float64)))
    assert difference.max() <= 1
    assert np.mean(difference > 0) <= most_off


# The picture at its own size


@pytest.mark.parametrize(("depth", "channels"), FORMS)
def test_render_agrees_with_the_naive_siren(depth: int, channels: int) -> None:
    field = make_field(0, width=31, height=17, depth=depth, channels=channels)
    samples = naive(field, *pixel_grid(field))
    pixels = field.render()
    assert pixels.dtype == (np.uint8 if depth == 8 else np.uint16)
    assert pixels.shape == ((17, 31) if channels == 1 else (17, 31, channels))
    # The picture must be worth the comparison: it varies, and it clips at both ends.
    assert samples.std() > 0.2 * field.peak
    assert samples.min() < 0
    assert samples.max() > field.peak
    expected = np.clip(samples, 0, field.peak).reshape(pixels.shape)
    most_off = 0.02 if depth == 8 else 0.1
    assert_within_a_level(pixels, expected, most_off=most_off)


@pytest.mark.parametrize("hidden_layers", [1, 2, 5, 10])
def test_render_agrees_with_the_naive_siren_at_any_number_of_layers(hidden_layers: int) -> None:
    field = make_field(2, width=20, height=20, hidden_layers=hidden_layers, hidden_features=12)
    assert_within_a_level(field.render(), naive_grid(field, np.arange(20.0), np.arange(20.0)))


def test_the_first_layer_has_a_frequency_of_its_own() -> None:
    field = make_field(3, width=24, height=10, first_omega_0=7.25, omega_0=18.5)
    assert_within_a_level(field.render(), naive_grid(field, np.arange(24.0), np.arange(10.0)))


def test_render_clips_at_both_ends() -> None:
    field = make_field(4, channels=1, width=40, height=40)
    pixels = field.render()
    samples = naive(field, *pixel_grid(field))[..., 0]
    assert (samples < -10).any()
    assert (samples > 265).any()
    assert (pixels[samples < -1] == 0).all()
    assert (pixels[samples > 256] == 255).all()


@pytest.mark.parametrize(("depth", "channels"), FORMS)
def test_at_pixel_centres_gives_the_rendered_pixels(depth: int, channels: int) -> None:
    field = make_field(5, width=19, height=23, depth=depth, channels=channels)
    samples = field.at(*pixel_grid(field))
    assert samples.shape == (23, 19, channels)
    clipped = np.clip(samples, 0, field.peak).reshape(field.render().shape)
    assert np.abs(clipped - field.render()).max() < (0.51 if depth == 8 else 0.75)


def test_render_does_not_change_the_field() -> None:
    field = make_field(6)
    before = [tensor.values.copy() for tensor in field.tensors()]
    first = field.render()
    np.testing.assert_array_equal(first, field.render())
    for values, tensor in zip(before, field.tensors(), strict=True):
        np.testing.assert_array_equal(values, tensor.values)


# Points


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_at_agrees_with_the_naive_siren(channels: int) -> None:
    field = make_field(7, width=50, height=40, channels=channels, hidden_layers=6)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-0.5, 49.5, 500), rng.uniform(-0.5, 39.5, 500)
    np.testing.assert_allclose(field.at(x, y), naive(field, x, y), rtol=0, atol=1e-8 * field.peak)


def test_a_point_between_pixels_of_a_256_x_256_picture() -> None:
    field = make_field(8, width=256, height=256)
    colour = field.at(1.2, 200.5)
    assert colour.shape == (3,)
    assert colour.dtype == np.float64
    np.testing.assert_allclose(colour, naive(field, np.array(1.2), np.array(200.5)), rtol=1e-9)
    # x is the column and y the row.
    row = field.render(crop=(1, 200, 1, 1))[0, 0]
    np.testing.assert_allclose(row, np.clip(field.at(1, 200), 0, 255), atol=0.51)


def test_at_is_neither_rounded_nor_clipped() -> None:
    field = make_field(9, width=40, height=40)
    samples = field.at(*pixel_grid(field))
    assert samples.min() < 0
    assert samples.max() > 255
    assert not np.array_equal(samples, np.rint(samples))


@pytest.mark.parametrize("x", [-0.5, 15.5])
@pytest.mark.parametrize("y", [-0.5, 11.5])
def test_the_picture_s_edges_are_legal(x: float, y: float) -> None:
    field = make_field(10)
    np.testing.assert_allclose(
        field.at(x, y), naive(field, np.array(x), np.array(y)), rtol=0, atol=1e-7
    )


BAD = [-0.500001, -1, 16, 15.500001, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", BAD)
@pytest.mark.parametrize("method", ["at", "gradient", "laplacian"])
def test_points_outside_or_not_finite_are_refused(method: str, value: float) -> None:
    field = make_field(11, width=16, height=16)
    with pytest.raises(UsageError, match=r"^x = .*: expected -0.5 to 15.5$"):
        getattr(field, method)(value, 3)
    with pytest.raises(UsageError, match=r"^y = .*: expected -0.5 to 15.5$"):
        getattr(field, method)([1, 2], [3, value])


@pytest.mark.parametrize(
    ("x", "y"), [([1, 2], [1, 2, 3]), ("red", 1), (None, 1), (1, object()), ([[1], [2, 3]], 0)]
)
def test_what_are_no_points_is_refused(x: Any, y: Any) -> None:
    with pytest.raises(UsageError):
        make_field(12).at(x, y)


SHAPES = [
    ((), (), ()),
    ((5,), (), (5,)),
    ((), (4,), (4,)),
    ((4, 1), (3,), (4, 3)),
    ((2, 1, 3), (1, 2, 1), (2, 2, 3)),
    ((0,), (0,), (0,)),
    ((0, 1), (3,), (0, 3)),
]


@pytest.mark.parametrize(("x_shape", "y_shape", "shape"), SHAPES)
@pytest.mark.parametrize("channels", [1, 4])
def test_points_broadcast(
    x_shape: tuple[int, ...], y_shape: tuple[int, ...], shape: tuple[int, ...], channels: int
) -> None:
    field = make_field(13, channels=channels)
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 15, x_shape), rng.uniform(0, 11, y_shape)
    assert field.at(x, y).shape == (*shape, channels)
    assert field.gradient(x, y).shape == (*shape, channels, 2)
    assert field.laplacian(x, y).shape == (*shape, channels)
    expected = naive(field, *np.broadcast_arrays(x, y))
    np.testing.assert_allclose(field.at(x, y), expected, rtol=0, atol=1e-7)


def test_points_may_be_lists_and_integers() -> None:
    field = make_field(14)
    np.testing.assert_array_equal(field.at([1, 2], 3), field.at(np.array([1.0, 2.0]), 3.0))


def test_many_points_are_those_points_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    field = make_field(15)
    monkeypatch.setattr(evaluate, "BLOCK_ELEMENTS", 1)  # 512 points a block, 128 of a jet
    rng = np.random.default_rng(2)
    x, y = rng.uniform(-0.5, 15.5, 1000), rng.uniform(-0.5, 11.5, 1000)
    for whole, point in (
        (field.at(x, y), field.at),
        (field.gradient(x, y), field.gradient),
        (field.laplacian(x, y), field.laplacian),
    ):
        for index in (0, 127, 128, 999):
            alone = point(x[index], y[index])
            np.testing.assert_allclose(whole[index], alone, rtol=1e-9, atol=1e-7)


# Derivatives


@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 6, 10])
def test_gradient_is_that_of_central_differences(hidden_layers: int) -> None:
    field = make_field(16, width=60, height=35, hidden_layers=hidden_layers)
    rng = np.random.default_rng(3)
    x, y, h = rng.uniform(0, 59, 50), rng.uniform(0, 34, 50), 1e-4
    numeric = np.stack(
        [
            (naive(field, x + h, y) - naive(field, x - h, y)) / (2 * h),
            (naive(field, x, y + h) - naive(field, x, y - h)) / (2 * h),
        ],
        axis=-1,
    )
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(field.gradient(x, y), numeric, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 6, 10])
def test_laplacian_is_that_of_central_differences(hidden_layers: int) -> None:
    field = make_field(17, width=60, height=35, hidden_layers=hidden_layers)
    rng = np.random.default_rng(4)
    x, y, h = rng.uniform(0, 59, 50), rng.uniform(0, 34, 50), 1e-3
    around = ((h, 0), (-h, 0), (0, h), (0, -h))
    numeric = (
        sum(naive(field, x + dx, y + dy) for dx, dy in around) - 4 * naive(field, x, y)
    ) / h**2
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(field.laplacian(x, y), numeric, rtol=1e-4, atol=1e-3)


def test_derivatives_of_a_plane_wave_are_known() -> None:
    # f = sin(30 u / 2), so that the samples are 255/2 (sin(15 (2x + 1)/100 - 15) + 1).
    base = make_field(hidden_layers=1, hidden_features=1, channels=1, width=100, height=100)
    layers = tuple(
        Layer(QuantisedTensor(np.array(weight, np.int32), exponent), _zero_bias())
        for weight, exponent in (([[1, 0]], -1), ([[1]], 0))
    )
    field = Field(100, 100, 8, base.architecture, layers)
    x = np.linspace(0, 99, 12)
    phase = 15 * ((2 * x + 1) / 100 - 1)
    np.testing.assert_allclose(field.at(x, 7)[:, 0], 127.5 * (np.sin(phase) + 1), atol=1e-10)
    gradient = field.gradient(x, 7)[:, 0]
    np.testing.assert_allclose(gradient[:, 0], 127.5 * 0.3 * np.cos(phase), atol=1e-10)
    np.testing.assert_array_equal(gradient[:, 1], 0)
    np.testing.assert_allclose(
        field.laplacian(x, 7)[:, 0], -127.5 * 0.3**2 * np.sin(phase), atol=1e-10
    )


def _zero_bias() -> QuantisedTensor:
    return QuantisedTensor(np.zeros(1, np.int32), 0)


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
@pytest.mark.parametrize("channels", [1, 3])
def test_render_derivative_is_the_derivative_at_pixel_centres(
    kind: Derivative, channels: int
) -> None:
    field = make_field(18, width=37, height=29, channels=channels)
    rendered = evaluate.render_derivative(field, kind)
    assert rendered.shape == (29, 37, channels)
    assert rendered.dtype == np.float32
    x, y = pixel_grid(field)
    if kind == "gradient":
        exact = np.linalg.norm(field.gradient(x, y), axis=-1)
    else:
        exact = field.laplacian(x, y)
    assert np.abs(exact).max() > 1
    np.testing.assert_allclose(rendered, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


def test_render_derivative_of_a_crop_at_a_scale() -> None:
    field = make_field(19, width=40, height=30)
    part = evaluate.render_derivative(field, "laplacian", View(None, 0.5, (4, 6, 20, 10)))
    whole = evaluate.render_derivative(field, "laplacian")[6:16, 4:24]
    mean = whole.reshape(5, 2, 10, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(part, mean, rtol=1e-3, atol=1e-3 * np.abs(mean).max())


def test_render_derivative_holds_to_max_pixels() -> None:
    with pytest.raises(LimitError):
        evaluate.render_derivative(
            make_field(20), "gradient", View(scale=2), limits=Limits(pixels=700)
        )


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
def test_derivatives_of_extreme_weights_are_finite_and_silent(kind: Derivative) -> None:
    # All of it is within the format's limits, so that a file may hold it.
    base = make_field(hidden_layers=16, first_omega_0=4096, omega_0=4096)
    layers = tuple(
        Layer(
            QuantisedTensor(np.full_like(layer.weight.values, 32767), 7),
            QuantisedTensor(np.full_like(layer.bias.values, 32767), 7),
        )
        for layer in base.layers
    )
    field = Field(16, 12, 8, base.architecture, layers)
    assert field.render((4, 4)).shape == (4, 4, 3)
    assert np.isfinite(evaluate.render_derivative(field, kind, View((4, 4)))).all()


# Sizes, scales and crops


@pytest.mark.parametrize("crop", [(0, 0, 30, 20), (3, 5, 11, 7), (29, 19, 1, 1), (0, 4, 30, 1)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_crop_is_a_part_of_the_picture(crop: Crop, channels: int) -> None:
    field = make_field(21, width=30, height=20, channels=channels)
    x, y, width, height = crop
    part, whole = field.render(crop=crop), field.render()[y : y + height, x : x + width]
    assert part.shape == whole.shape
    assert_within_a_level(part, whole)


SIZES: list[tuple[Crop | None, float | None, Size | None, Size]] = [
    (None, None, None, (30, 20)),
    (None, 2.0, None, (60, 40)),
    (None, 0.5, None, (15, 10)),
    (None, 1 / 3, None, (10, 7)),
    (None, 1e-9, None, (1, 1)),
    ((3, 5, 11, 7), None, None, (11, 7)),
    ((3, 5, 11, 7), 4.0, None, (44, 28)),
    ((3, 5, 11, 7), 0.1, None, (1, 1)),
    ((3, 5, 11, 7), None, (5, 50), (5, 50)),
    (None, None, (1, 100), (1, 100)),
]


@pytest.mark.parametrize(("crop", "scale", "size", "expected"), SIZES)
def test_the_output_s_size(
    crop: Crop | None, scale: float | None, size: Size | None, expected: Size
) -> None:
    field = make_field(22, width=30, height=20)
    assert evaluate.frame(field, View(size, scale, crop))[1] == expected
    pixels = field.render(size, scale=scale, crop=crop)
    assert pixels.shape == (expected[1], expected[0], 3)


def test_an_enlarged_picture_samples_the_function_between_pixels() -> None:
    field = make_field(23, width=15, height=10)
    xs, ys = (np.arange(60) + 0.5) / 4 - 0.5, (np.arange(30) + 0.5) / 3 - 0.5
    assert_within_a_level(field.render((60, 30)), naive_grid(field, xs, ys))


def test_an_enlarged_crop_samples_the_function_between_pixels() -> None:
    field = make_field(24, width=15, height=10)
    xs, ys = 4 + (np.arange(12) + 0.5) / 2 - 0.5, 3 + (np.arange(10) + 0.5) / 2 - 0.5
    assert_within_a_level(field.render(scale=2, crop=(4, 3, 6, 5)), naive_grid(field, xs, ys))


@pytest.mark.parametrize("depth", [8, 16])
def test_half_the_size_is_the_mean_of_the_clipped_samples(depth: int) -> None:
    field = make_field(25, width=36, height=28, depth=depth, channels=1)
    samples = naive_grid(field, np.arange(36.0), np.arange(28.0))[..., 0]
    expected = samples.reshape(14, 2, 18, 2).mean(axis=(1, 3))
    # Of the samples, not of the rounded pixels: to tell them apart is what the depth is for.
    assert_within_a_level(field.render(scale=0.5), expected, most_off=0.02 if depth == 8 else 0.1)


@pytest.mark.parametrize(
    ("size", "over"),
    [
        ((13, 7), (3, 3)),
        ((29, 19), (2, 2)),
        ((30, 7), (1, 3)),
        ((60, 5), (1, 4)),
        ((1, 1), (30, 20)),
    ],
)
def test_a_smaller_picture_takes_as_many_samples_as_it_covers_pixels(
    size: Size, over: Size
) -> None:
    field = make_field(26, width=30, height=20)
    assert_within_a_level(field.render(size), naive_means(field, size, over))


@pytest.mark.parametrize("size", [(13, 7), (29, 19), (7, 3)])
def test_a_smaller_picture_approximates_the_mean_over_the_area(size: Size) -> None:
    field = make_field(27, width=30, height=20, first_omega_0=8)
    dense = naive_means(field, size, (16, 16))
    assert np.abs(field.render(size) - dense).max() < 2


BAD_SCALES = [0.0, -1.0, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("scale", BAD_SCALES)
def test_bad_scales_are_refused(scale: float) -> None:
    with pytest.raises(UsageError, match="expected a finite number above 0"):
        make_field(28).render(scale=scale)


def test_a_scale_that_overflows_is_refused() -> None:
    with pytest.raises((UsageError, LimitError)):
        make_field(28).render(scale=1e308, limits=Limits(pixels=1000))


@pytest.mark.parametrize("size", [(0, 5), (5, 0), (-1, 5), (5, -7)])
def test_bad_sizes_are_refused(size: Size) -> None:
    with pytest.raises(UsageError, match="expected at least 1x1"):
        make_field(29).render(size)


@pytest.mark.parametrize(
    "crop",
    [
        (-1, 0, 4, 4),
        (0, -1, 4, 4),
        (0, 0, 0, 4),
        (0, 0, 4, 0),
        (0, 0, -4, 4),
        (13, 0, 4, 4),
        (0, 9, 4, 4),
        (0, 0, 17, 4),
        (0, 0, 4, 13),
        (16, 0, 1, 1),
    ],
)
def test_crops_that_are_no_part_of_the_picture_are_refused(crop: Crop) -> None:
    with pytest.raises(UsageError, match="expected a part of the 16x12 picture"):
        make_field(30).render(crop=crop)


def test_a_size_and_a_scale_are_too_many() -> None:
    with pytest.raises(UsageError, match="found both"):
        make_field(31).render((4, 4), scale=2)


def test_max_pixels_counts_the_output() -> None:
    field = make_field(32)
    assert field.render((10, 10), limits=Limits(pixels=100)).shape == (10, 10, 3)
    assert field.render(crop=(0, 0, 5, 5), scale=2, limits=Limits(pixels=100)).shape == (10, 10, 3)
    with pytest.raises(LimitError, match="10x11: expected at most 100 pixels"):
        field.render((10, 11), limits=Limits(pixels=100))
    with pytest.raises(LimitError):
        field.render(scale=1e12, limits=Limits(pixels=100))


# Blocks and threads


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a block be 512 points, the least there is."""
    monkeypatch.setattr(evaluate, "BLOCK_ELEMENTS", 1)


BLOCKED: list[tuple[Size | None, Crop | None]] = [
    (None, None),
    ((1, 1), None),
    ((3, 1), None),
    ((1, 5), None),
    ((7, 5), None),
    ((160, 120), None),
    ((2, 2), (3, 1, 75, 57)),
]


@pytest.mark.parametrize(("size", "crop"), BLOCKED)
def test_the_result_does_not_depend_on_the_blocks(
    monkeypatch: pytest.MonkeyPatch, size: Size | None, crop: Crop | None
) -> None:
    field = make_field(33, width=80, height=60)
    whole = field.render(size, crop=crop)
    small_blocks(monkeypatch)
    assert_within_a_level(field.render(size, crop=crop), whole)


@pytest.mark.parametrize("size", [None, (1, 1), (160, 120), (9, 4)])
def test_the_result_does_not_depend_on_the_threads(
    monkeypatch: pytest.MonkeyPatch, size: Size | None
) -> None:
    field = make_field(34, width=80, height=60)
    small_blocks(monkeypatch)
    results = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(evaluate, "available_cores", lambda cores=cores: cores)
        results.append(field.render(size))
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


@pytest.mark.parametrize(("width", "height"), [(64, 48), (3001, 1), (1, 3001), (1237, 3)])
def test_one_pixel_of_a_large_picture_is_its_mean(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int
) -> None:
    field = make_field(35, width=width, height=height, depth=16)
    small_blocks(monkeypatch)
    pixels = field.render((1, 1))
    assert_within_a_level(pixels, naive_means(field, (1, 1), (width, height)), most_off=1)


class Recorder:
    """A sampler of a ramp over a picture of 16 bits that remembers where it was asked."""

    def __init__(self, field: Field) -> None:
        self.field = field
        self.points: list[tuple[float, float]] = []
        self.largest = 0

    def __call__(self, xs: Float64, ys: Float64) -> Float64:
        self.largest = max(self.largest, len(xs) * len(ys))
        x, y = np.meshgrid(xs, ys)
        self.points += zip(x.ravel().tolist(), y.ravel().tolist(), strict=True)
        return self.ramp(x, y)[None]

    def ramp(self, x: Float64, y: Float64) -> Float64:
        return 500 + 40_000 * y / self.field.height + 20_000 * x / self.field.width


@pytest.mark.parametrize(
    ("width", "height", "size", "over"),
    [
        (60, 50, (60, 50), (1, 1)),
        (60, 50, (30, 25), (2, 2)),
        (60, 50, (7, 11), (9, 5)),
        (60, 50, (1, 1), (60, 50)),
        (60, 50, (2, 1), (30, 50)),
        (60, 50, (1, 2), (60, 25)),
        (2000, 2, (1, 1), (2000, 2)),
        (2000, 2, (3, 2), (667, 1)),
        (2, 2000, (2, 1), (1, 2000)),
        (60, 50, (600, 3), (1, 17)),
    ],
)
def test_every_sample_is_taken_once_and_in_blocks(
    monkeypatch: pytest.MonkeyPatch, width: int, height: int, size: Size, over: Size
) -> None:
    field = make_field(36, width=width, height=height, channels=1, depth=16)
    small_blocks(monkeypatch)
    monkeypatch.setattr(evaluate, "available_cores", lambda: 1)
    recorder = Recorder(field)
    pixels = field.render(size, sampler=recorder)
    assert recorder.largest <= 512
    assert len(recorder.points) == size[0] * over[0] * size[1] * over[1]
    assert len(set(recorder.points)) == len(recorder.points)
    # A ramp's mean over a cell is its value in the cell's middle.
    x = (np.arange(size[0]) + 0.5) * width / size[0] - 0.5
    y = (np.arange(size[1]) + 0.5) * height / size[1] - 0.5
    np.testing.assert_allclose(pixels, recorder.ramp(*np.meshgrid(x, y)), rtol=0, atol=0.501)


def peak_memory(work: Callable[[], object]) -> int:
    """Return the most bytes that `work` held at once, numpy's arrays among them."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_follows_the_block_and_not_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    field = make_field(37, width=32, height=16384, hidden_features=24, hidden_layers=2)
    activations = 4 * 32 * 16384 * 24
    monkeypatch.setattr(evaluate, "available_cores", lambda: 2)
    output = field.render().nbytes
    assert peak_memory(field.render) < output + activations / 4
    assert peak_memory(lambda: field.render((1, 1))) < activations / 4
    assert peak_memory(lambda: evaluate.render_derivative(field, "laplacian", View((1, 8)))) < (
        activations / 4
    )


def test_memory_of_points_follows_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    field = make_field(38, channels=1, hidden_features=24, hidden_layers=2)
    small_blocks(monkeypatch)
    x = np.random.default_rng(5).uniform(0, 11, 1 << 16)
    activations = 8 * len(x) * 24
    results_and_points = 8 * len(x) * 4
    assert peak_memory(lambda: field.at(x, x)) < results_and_points + activations / 8


# Latent grids


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize(("width", "height"), [(31, 17), (8, 16), (1, 1), (1, 5), (70, 2)])
def test_render_agrees_with_the_naive_grids(
    features: tuple[int, ...], width: int, height: int
) -> None:
    field = grid_field(40, width=width, height=height, features=features)
    samples = naive_grid(field, np.arange(float(width)), np.arange(float(height)))
    if width * height > 100:
        assert samples.std() > 0.1 * field.peak
    assert_within_a_level(field.render(), samples)


@pytest.mark.parametrize(("depth", "channels"), FORMS)
def test_at_pixel_centres_gives_the_rendered_pixels_of_grids(depth: int, channels: int) -> None:
    field = grid_field(41, width=19, height=23, depth=depth, channels=channels)
    clipped = np.clip(field.at(*pixel_grid(field)), 0, field.peak).reshape(field.render().shape)
    assert np.abs(clipped - field.render()).max() < (0.51 if depth == 8 else 0.75)


@pytest.mark.parametrize("features", FEATURES)
def test_at_agrees_with_the_naive_grids(features: tuple[int, ...]) -> None:
    field = grid_field(42, width=13, height=22, features=features)
    x, y = random_points(field, 300, margin=0)
    expected = naive(field, x, y)
    np.testing.assert_allclose(field.at(x, y), expected, rtol=0, atol=1e-8 * field.peak)
    corners = np.array([-0.5, -0.5, 12.5, 12.5]), np.array([-0.5, 21.5, -0.5, 21.5])
    np.testing.assert_allclose(field.at(*corners), naive(field, *corners), rtol=0, atol=1e-6)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_gradient_of_grids_is_that_of_central_differences(
    features: tuple[int, ...], hidden_layers: int
) -> None:
    field = grid_field(43, width=29, height=18, features=features, hidden_layers=hidden_layers)
    (x, y), h = random_points(field, 60), 1e-5
    numeric = np.stack(
        [
            (field.at(x + h, y) - field.at(x - h, y)) / (2 * h),
            (field.at(x, y + h) - field.at(x, y - h)) / (2 * h),
        ],
        axis=-1,
    )
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(field.gradient(x, y), numeric, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_laplacian_of_grids_is_that_of_central_differences(
    features: tuple[int, ...], hidden_layers: int
) -> None:
    field = grid_field(44, width=29, height=18, features=features, hidden_layers=hidden_layers)
    # Differences of the exact gradient: second differences of `at` have the third derivative,
    # which jumps where cells meet, in the way.
    (x, y), h = random_points(field, 60), 1e-6
    numeric = (
        field.gradient(x + h, y)[..., 0]
        - field.gradient(x - h, y)[..., 0]
        + field.gradient(x, y + h)[..., 1]
        - field.gradient(x, y - h)[..., 1]
    ) / (2 * h)
    assert np.abs(numeric).max() > 1
    np.testing.assert_allclose(field.laplacian(x, y), numeric, rtol=1e-3, atol=1e-2)
    # And of `at` itself, more roughly.
    h = 1e-3
    around = ((h, 0), (-h, 0), (0, h), (0, -h))
    numeric = (sum(field.at(x + dx, y + dy) for dx, dy in around) - 4 * field.at(x, y)) / h**2
    most = np.abs(numeric).max()
    np.testing.assert_allclose(field.laplacian(x, y), numeric, rtol=0.02, atol=0.002 * most)


@pytest.mark.parametrize("kind", ["gradient", "laplacian"])
@pytest.mark.parametrize("features", [(1, 0, 2), (0, 2, 1, 1)])
def test_render_derivative_of_grids_is_the_derivative_at_pixel_centres(
    monkeypatch: pytest.MonkeyPatch, kind: Derivative, features: tuple[int, ...]
) -> None:
    field = grid_field(45, width=37, height=29, features=features)
    small_blocks(monkeypatch)
    rendered = evaluate.render_derivative(field, kind)
    x, y = pixel_grid(field)
    if kind == "gradient":
        exact = np.linalg.norm(field.gradient(x, y), axis=-1)
    else:
        exact = field.laplacian(x, y)
    assert np.abs(exact).max() > 1
    np.testing.assert_allclose(rendered, exact, rtol=1e-3, atol=1e-4 * np.abs(exact).max())


@pytest.mark.parametrize("crop", [(0, 0, 30, 20), (3, 5, 11, 7), (29, 19, 1, 1), (0, 4, 30, 1)])
def test_a_crop_of_grids_is_a_part_of_the_picture(crop: Crop) -> None:
    field = grid_field(46, width=30, height=20)
    x, y, width, height = crop
    whole = field.render()[y : y + height, x : x + width]
    assert_within_a_level(field.render(crop=crop), whole)
    # Enlarged by a whole number the parts fit too: splines know nothing of the crop.
    whole = field.render(scale=3)[3 * y : 3 * (y + height), 3 * x : 3 * (x + width)]
    assert_within_a_level(field.render(crop=crop, scale=3), whole)


@pytest.mark.parametrize(
    ("size", "over"), [((60, 30), (1, 1)), ((13, 7), (3, 3)), ((30, 7), (1, 3)), ((1, 1), (30, 20))]
)
def test_grids_at_any_size(size: Size, over: Size) -> None:
    field = grid_field(47, width=30, height=20)
    assert_within_a_level(field.render(size), naive_means(field, size, over))


@pytest.mark.parametrize(("size", "crop"), BLOCKED)
def test_the_result_of_grids_does_not_depend_on_blocks_or_threads(
    monkeypatch: pytest.MonkeyPatch, size: Size | None, crop: Crop | None
) -> None:
    field = grid_field(48, width=80, height=60)
    whole = field.render(size, crop=crop)
    small_blocks(monkeypatch)
    results = []
    for cores in (1, 2, 5):
        monkeypatch.setattr(evaluate, "available_cores", lambda cores=cores: cores)
        results.append(field.render(size, crop=crop))
    assert_within_a_level(results[0], whole)
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])


def test_grids_of_zeros_add_nothing() -> None:
    plain = make_field(49, width=21, height=14)
    field = make_field(49, width=21, height=14, features=(1, 2))
    layers = list(plain.layers)
    for index, shape in ((0, (8, 3)), (-1, (3, 5))):
        layer = layers[index]
        added = np.full(shape, 1000, np.int32)
        added[:, : shape[1] - 3] = 0  # In the last layer, x and y past the hidden ones.
        wide = np.hstack([layer.weight.values, added])
        layers[index] = Layer(QuantisedTensor(wide, layer.weight.exponent), layer.bias)
    latents = tuple(np.zeros_like(grids) for grids in field.latents)
    field = replace(field, layers=tuple(layers), latents=latents)
    x, y = pixel_grid(plain)
    np.testing.assert_allclose(field.at(x, y), plain.at(x, y), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(field.laplacian(x, y), plain.laplacian(x, y), rtol=1e-6, atol=1e-6)
    assert_within_a_level(field.render(), plain.render())


def test_memory_of_grids_follows_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    field = grid_field(51, width=16, height=4096, hidden_features=24, features=(1, 0, 1))
    activations = 4 * 16 * 4096 * 24
    monkeypatch.setattr(evaluate, "available_cores", lambda: 2)
    small_blocks(monkeypatch)
    for crop, size in ((None, (1, 1)), (None, (16, 4)), ((0, 3000, 16, 300), None)):
        assert peak_memory(partial(field.render, size, crop=crop)) < activations / 8
    derivative = partial(evaluate.render_derivative, field, "laplacian", View((1, 8)))
    assert peak_memory(derivative) < activations / 8


def test_a_small_crop_of_a_large_picture_meets_its_own_cells_only() -> None:
    field = grid_field(52, width=4096, height=4096, hidden_features=4, features=(0, 2))
    # 33 MB of grids; to set threads takes some 100 kB.
    assert peak_memory(lambda: field.render(crop=(2000, 1000, 4, 4))) < 1 << 19


def test_grids_count_as_work() -> None:
    small: dict[str, Any] = {"hidden_layers": 1, "hidden_features": 1, "channels": 1}
    limits = Limits(multiply_adds=200 * 16 * 12)
    assert evaluate.frame(grid_field(features=(0, 5), **small), View(), limits)[1] == (16, 12)
    with pytest.raises(LimitError, match="multiply-adds"):
        evaluate.frame(grid_field(features=(1, 5), **small), View(), limits)


# Levels that were not read


def without_levels(field: Field, first_level: int) -> Field:
    """Return a Field whose grids below a level are 0."""
    latents = tuple(
        np.zeros_like(grids) if level < first_level else grids
        for level, grids in enumerate(field.latents)
    )
    return replace(field, latents=latents)


@pytest.mark.parametrize("first_level", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("hidden_layers", [1, 3])
def test_levels_that_were_not_read_count_as_0(first_level: int, hidden_layers: int) -> None:
    field = grid_field(53, width=29, height=18, hidden_layers=hidden_layers)
    expected, unread = without_levels(field, first_level), replace(field, first_level=first_level)
    x, y = random_points(field, 60)
    for method in ("at", "gradient", "laplacian"):
        found, wanted = getattr(unread, method)(x, y), getattr(expected, method)(x, y)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    assert_within_a_level(unread.render(), expected.render())
    for kind in ("gradient", "laplacian"):
        slopes = evaluate.render_derivative(expected, kind)
        np.testing.assert_allclose(
            evaluate.render_derivative(unread, kind),
            slopes,
            rtol=1e-3,
            atol=1e-4 * max(1, np.abs(slopes).max()),
        )


@pytest.mark.parametrize(
    ("first_level", "size", "over"),
    [
        (0, (8, 4), (8, 8)),
        (1, (8, 4), (8, 8)),
        (2, (8, 4), (4, 4)),
        (3, (8, 4), (2, 2)),
        (3, (7, 3), (3, 3)),
        (4, (8, 4), (2, 2)),
        (4, (64, 4), (1, 2)),
        (4, (128, 20), (1, 2)),
    ],
)
def test_a_smooth_picture_takes_fewer_samples(first_level: int, size: Size, over: Size) -> None:
    field = make_field(54, width=64, height=32, channels=1, depth=16, features=(1,) * 5)
    recorder = Recorder(field)
    replace(field, first_level=first_level).render(size, sampler=recorder)
    assert len(recorder.points) == size[0] * over[0] * size[1] * over[1]


def test_a_smooth_picture_s_samples_are_enough() -> None:
    field = grid_field(55, width=256, height=192, features=(1, 1, 1, 2, 2))
    few = replace(field, first_level=3).render(scale=1 / 16)
    all_of_them = without_levels(field, 3).render(scale=1 / 16)
    error = few.astype(np.float64) - all_of_them
    assert np.sqrt(np.mean(error**2)) < 0.02 * field.peak
    assert np.abs(error.mean(axis=(0, 1))).max() < 0.01 * field.peak


SHOWN: list[tuple[dict[str, Any], int]] = [
    ({}, 0),
    ({"scale": 3}, 0),
    ({"scale": 0.5}, 0),
    ({"scale": 0.26}, 0),
    ({"scale": 0.25}, 1),
    ({"scale": 0.125}, 2),
    ({"scale": 0.1}, 2),
    ({"scale": 1 / 64}, 5),
    ({"scale": 1 / 256}, 5),
    ({"size": (1, 1)}, 5),
    ({"size": (96, 64)}, 2),
    ({"size": (96, 512)}, 0),
    ({"size": (96, 64), "crop": (0, 0, 96, 64)}, 0),
    ({"scale": 0.25, "crop": (8, 8, 400, 400)}, 1),
]


@pytest.mark.parametrize(("request_", "level"), SHOWN)
def test_the_levels_that_an_output_shows(request_: dict[str, Any], level: int) -> None:
    features = (1, 1, 3, 0, 3, 3, 0)
    assert evaluate.first_level_shown(768, 512, features, View(**request_)) == level
    assert evaluate.first_level_shown(768, 512, (), View(**request_)) == 0


def test_the_levels_of_a_bad_request() -> None:
    for request_ in ({"scale": 0.0}, {"size": (0, 3)}, {"crop": (0, 0, 769, 2)}):
        with pytest.raises(UsageError):
            evaluate.first_level_shown(768, 512, (1,), View(**request_))


# Limits and settings


def test_at_least_one_core_is_available() -> None:
    assert threads.available_cores() >= 1


def test_a_small_file_cannot_ask_for_hours() -> None:
    field = replace(make_field(hidden_layers=16, hidden_features=512), width=65_535, height=1365)
    with pytest.raises(LimitError, match="multiply-adds"):
        field.render(limits=Limits())
    assert field.render((2, 2), crop=(0, 0, 8, 8), limits=Limits()).shape == (2, 2, 3)


def test_threads_that_render_at_once_leave_blas_as_it_was() -> None:
    field = make_field(width=64, height=64)

    def blas() -> list[int]:
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    before = blas()
    with ThreadPoolExecutor(4) as pool:
        pictures = list(pool.map(lambda _: field.render(scale=4), range(8)))
    assert blas() == before
    assert all(np.array_equal(picture, pictures[0]) for picture in pictures)


@pytest.mark.parametrize(
    "request_",
    [
        {"size": (2.5, 3)},
        {"size": (3,)},
        {"crop": (1, 2)},
        {"crop": 7},
        {"scale": "2"},
    ],
)
def test_requests_of_the_wrong_type(request_: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        make_field(28).render(**request_)


def test_numpy_integers_are_integers() -> None:
    crop = np.array([1, 2, 5, 4])
    assert make_field(28).render(crop=crop).shape[:2] == (4, 5)  # type: ignore[arg-type]


def test_a_field_does_not_change() -> None:
    field = make_field(8)
    with pytest.raises(ValueError, match="read-only"):
        field.layers[0].weight.values[0, 0] = 1
    with pytest.raises(TypeError):
        field.metadata["icc"] = b""  # type: ignore[index]
