"""Quality and rate, at values that can be worked out by hand."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec.errors import UsageError
from siren_codec.metrics import bpp, psnr, ssim

Pixels = npt.NDArray[Any]

SHAPES = [(20, 30), (20, 30, 1), (20, 30, 3), (20, 30, 4)]


def noise(seed: int, shape: tuple[int, ...], dtype: type = np.uint8) -> Pixels:
    peak = np.iinfo(dtype).max
    return np.random.default_rng(seed).integers(0, peak, shape, dtype, endpoint=True)


@pytest.mark.parametrize(
    ("dtype", "reference", "decoded", "expected"),
    [
        (np.uint8, 0, 255, 0.0),
        (np.uint8, 255, 0, 0.0),
        (np.uint8, 100, 101, 20 * math.log10(255)),
        (np.uint8, 101, 100, 20 * math.log10(255)),
        (np.uint8, 10, 20, 20 * math.log10(25.5)),
        (np.uint16, 0, 65535, 0.0),
        (np.uint16, 65535, 0, 0.0),
        (np.uint16, 40000, 40257, 20 * math.log10(255)),
        (np.uint16, 40000, 40001, 20 * math.log10(65535)),
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_of_constant_pictures(
    dtype: type, reference: int, decoded: int, expected: float, shape: tuple[int, ...]
) -> None:
    found = psnr(reference=np.full(shape, reference, dtype), decoded=np.full(shape, decoded, dtype))
    assert found == pytest.approx(expected, abs=1e-6)


def test_psnr_takes_the_mean_over_all_samples() -> None:
    reference = np.zeros((10, 10, 3), np.uint8)
    decoded = reference.copy()
    decoded[3, 4, 1] = 30  # an MSE of 900 / 300
    assert psnr(reference=reference, decoded=decoded) == pytest.approx(10 * math.log10(255**2 / 3))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_psnr_is_that_of_exact_arithmetic(dtype: type) -> None:
    reference, decoded = noise(1, (64, 64, 3), dtype), noise(2, (64, 64, 3), dtype)
    mse = np.mean((reference.astype(np.float64) - decoded) ** 2)
    expected = 10 * math.log10(np.iinfo(dtype).max ** 2 / mse)
    assert psnr(reference=reference, decoded=decoded) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_psnr_of_equal_pictures_is_infinite(dtype: type) -> None:
    picture = noise(3, (8, 8, 3), dtype)
    assert psnr(reference=picture, decoded=picture.copy()) == math.inf


@pytest.mark.parametrize(
    "decoded",
    [
        np.zeros((8, 9, 3), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 3), np.uint16),
        np.zeros((8, 8, 3), np.float32),
    ],
)
def test_psnr_wants_two_pictures_alike(decoded: Pixels) -> None:
    with pytest.raises(UsageError, match="expected two pictures alike, found uint8"):
        psnr(reference=np.zeros((8, 8, 3), np.uint8), decoded=decoded)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", SHAPES)
def test_ssim_of_equal_pictures_is_one(dtype: type, shape: tuple[int, ...]) -> None:
    pytest.importorskip("skimage")
    picture = noise(4, shape, dtype)
    assert ssim(reference=picture, decoded=picture.copy()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("dtype", "unit"), [(np.uint8, 1), (np.uint16, 257)])
def test_ssim_of_constant_pictures(dtype: type, unit: int) -> None:
    pytest.importorskip("skimage")
    a, b = 100 * unit, 140 * unit
    # No variance: what is left of (13) in Wang et al. is the comparison of luminances.
    c1 = (0.01 * 255 * unit) ** 2
    found = ssim(reference=np.full((30, 30), a, dtype), decoded=np.full((30, 30), b, dtype))
    assert found == pytest.approx((2 * a * b + c1) / (a**2 + b**2 + c1), abs=1e-5)


def test_ssim_falls_as_noise_grows() -> None:
    pytest.importorskip("skimage")
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    noises = np.random.default_rng(5).normal(0, 1, ramp.shape)
    values = [
        ssim(
            reference=ramp, decoded=np.clip(ramp + scale * noises, 0, 255).round().astype(np.uint8)
        )
        for scale in (0, 2, 8, 32)
    ]
    assert values[0] == pytest.approx(1)
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.5


def test_bpp() -> None:
    assert bpp(file_bytes=1000, width=100, height=80) == 1
    assert bpp(file_bytes=1, width=3, height=1) == pytest.approx(8 / 3)
