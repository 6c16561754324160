"""Quality and rate, at values that can be worked out by hand."""

import math
import subprocess
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec import metrics
from siren_codec.errors import UsageError
from siren_codec.metrics import (
    MS_SSIM_SIDE,
    bd_rate,
    bpp,
    max_error,
    ms_ssim,
    psnr,
    psnr_and_alpha,
    rate_at,
    ssim,
)

Pixels = npt.NDArray[Any]

JPEG = [(0.268, 26.67), (0.458, 29.14), (0.615, 30.49), (0.865, 32.17), (1.315, 34.52)]
JPEG.append((2.207, 38.03))  # means over Kodak

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


@pytest.mark.parametrize("channels", [1, 3])
def test_without_alpha_all_colours_count(channels: int) -> None:
    reference, decoded = (noise(seed, (4, 6, channels)) for seed in (1, 2))
    expected = psnr(reference=reference, decoded=decoded)
    assert psnr_and_alpha(reference=reference, decoded=decoded) == (expected, None)


@pytest.mark.parametrize("channels", [2, 4])
def test_colours_count_where_they_can_be_seen(channels: int) -> None:
    reference = np.full((4, 6, channels), 100, np.uint8)
    reference[:2, :, -1] = 0
    decoded = reference.copy()
    decoded[:2, :, 0] = 7
    decoded[2:, :, :-1] += 10
    decoded[:, :, -1] += 1
    found = psnr_and_alpha(reference=reference, decoded=decoded)
    assert found == pytest.approx((20 * math.log10(25.5), 20 * math.log10(255)))
    reference[:, :, -1] = 0
    assert psnr_and_alpha(reference=reference, decoded=reference) == (math.inf, math.inf)


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


def test_ms_ssim_falls_with_noise_and_is_1_for_equal_pictures() -> None:
    data = pytest.importorskip("skimage.data")
    picture = data.astronaut()[:200, 100:300]
    assert ms_ssim(reference=picture, decoded=picture) == pytest.approx(1)
    rng = np.random.default_rng(0)
    found = [1.0]
    for spread in (2, 8, 32):
        noisy = np.clip(picture + rng.normal(0, spread, picture.shape), 0, 255).astype(np.uint8)
        found.append(ms_ssim(reference=picture, decoded=noisy))
    assert found == sorted(found, reverse=True)
    assert found[-1] < 0.95
    negative = ms_ssim(reference=picture, decoded=255 - picture)
    assert negative == 0


def test_ms_ssim_sees_coarse_errors_that_ssim_hardly_weighs() -> None:
    """Its first scale, whose SSIM this is, has a twentieth of the weight."""
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.arange(192), np.arange(192)) / 2 + 30
    picture = smooth.astype(np.uint8)
    fine = np.clip(smooth + rng.normal(0, 10, picture.shape), 0, 255).astype(np.uint8)
    assert ms_ssim(reference=picture, decoded=fine) > ssim(reference=picture, decoded=fine) + 0.2


def test_the_similarity_of_a_scale_is_scikit_images() -> None:
    pytest.importorskip("skimage")
    a, b = noise(1, (40, 50, 3)), noise(2, (40, 50, 3))
    b = (0.7 * a + 0.3 * b).astype(np.uint8)
    first, second = (np.moveaxis(picture.astype(np.float64), 2, 0) for picture in (a, b))
    whole, contrast = metrics._similarity(first, second, 255)
    assert float(whole.mean()) == pytest.approx(ssim(reference=a, decoded=b), abs=1e-9)
    assert (whole <= contrast).all()


def test_the_ms_ssim_of_several_channels_is_their_mean() -> None:
    a, b = noise(1, (176, 180, 3)), noise(2, (176, 180, 3))
    b = (0.7 * a + 0.3 * b).astype(np.uint8)
    each = [ms_ssim(reference=a[:, :, i], decoded=b[:, :, i]) for i in range(3)]
    assert ms_ssim(reference=a, decoded=b) == pytest.approx(np.mean(each))


@pytest.mark.parametrize("shape", [(MS_SSIM_SIDE - 1, 300, 3), (300, MS_SSIM_SIDE - 1)])
def test_ms_ssim_refuses_small_pictures(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="expected 176 pixels a side or more"):
        ms_ssim(reference=noise(1, shape), decoded=noise(2, shape))


def test_ms_ssim_refuses_pictures_that_differ() -> None:
    with pytest.raises(UsageError, match="alike"):
        ms_ssim(reference=noise(1, (200, 200, 3)), decoded=noise(2, (200, 201, 3)))


def test_bpp() -> None:
    assert bpp(file_bytes=1000, width=100, height=80) == 1
    assert bpp(file_bytes=1, width=3, height=1) == pytest.approx(8 / 3)


@pytest.mark.parametrize("factor", [0.5, 1, 3])
def test_bd_rate_of_a_curve_of_a_constant_factor(factor: float) -> None:
    pytest.importorskip("scipy")
    test = [(factor * rate, value) for rate, value in JPEG]
    assert bd_rate(reference=JPEG, test=test) == pytest.approx(100 * (factor - 1))
    assert bd_rate(reference=JPEG[::-1], test=test) == pytest.approx(100 * (factor - 1))


def test_bd_rate_of_straight_lines_over_the_range_they_share() -> None:
    pytest.importorskip("scipy")
    # log2 of the rate: psnr / 10 against psnr / 10 - (psnr - 20) / 20, shared from 20 to 40 dB,
    # where the second takes 2**-0.5 of the first's rate in the mean.
    reference = [(2 ** (x / 10), x) for x in (10.0, 20, 40)]
    test = [(2 ** (x / 10 - (x - 20) / 20), x) for x in (20.0, 60)]
    assert bd_rate(reference=reference, test=test) == pytest.approx(100 * (2**-0.5 - 1))


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ([(0.107, 27.09), (0.253, 29.94), (0.618, 33.87), (1.290, 38.16)], -51),  # AVIF
        ([(0.155, 26.98), (0.274, 28.93), (0.476, 31.23), (0.939, 34.87)], -34),  # WebP
        ([(0.112, 28.49), (0.246, 31.20), (0.491, 34.26), (0.875, 37.42)], -65),  # VVC
    ],
)
def test_bd_rate_of_known_codecs(test: list[tuple[float, float]], expected: float) -> None:
    pytest.importorskip("scipy")
    # The expected figures came from more points of these curves than are given here.
    assert bd_rate(reference=JPEG, test=test) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize(
    ("test", "message"),
    [
        ([], "two points"),
        ([(1.0, 30.0)], "two points"),
        ([(1.0, 30.0), (2.0, 30.0)], "rises with the rate"),
        ([(1.0, 31.0), (2.0, 30.0)], "rises with the rate"),
        ([(0.0, 30.0), (2.0, 31.0)], "above 0"),
        ([(1.0, 30.0), (2.0, math.inf)], "finite"),
        ([(1.0, 20.0), (2.0, 26.67)], "share a range"),
        ([(1.0, 40.0), (2.0, 50.0)], "share a range"),
    ],
)
def test_bd_rate_refuses(test: list[tuple[float, float]], message: str) -> None:
    pytest.importorskip("scipy")
    with pytest.raises(UsageError, match=message):
        bd_rate(reference=JPEG, test=test)


def test_rate_at() -> None:
    pytest.importorskip("scipy")
    assert rate_at(points=JPEG, psnr=30.49) == pytest.approx(0.615)
    assert rate_at(points=[(1, 30.0), (4, 40.0)], psnr=35) == pytest.approx(2)
    for outside in (26.6, 38.1):
        with pytest.raises(UsageError, match=r"expected 26\.67\.\.38\.03 dB"):
            rate_at(points=JPEG, psnr=outside)


def test_metrics_import_neither_torch_nor_scipy() -> None:
    code = "import sys, siren_codec.metrics; assert not {'scipy', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_max_error_is_of_what_can_be_seen(dtype: type) -> None:
    reference: Pixels = np.full((2, 3, 4), 100, dtype)
    reference[0, 0, 3] = 0
    decoded = reference.copy()
    decoded[0, 0, 1] = 255  # Cannot be seen.
    assert max_error(reference=reference, decoded=decoded) == 0
    decoded[0, 0, 3] = 7
    assert max_error(reference=reference, decoded=decoded) == 7
    decoded[1, 1, 0] = 88
    assert max_error(reference=reference, decoded=decoded) == 12
    # Without alpha all count.
    assert max_error(reference=reference[:, :, :3], decoded=decoded[:, :, :3]) == 155
    peak = np.iinfo(dtype).max
    ends: Pixels = np.array([[[0], [peak]]], dtype)
    assert max_error(reference=ends, decoded=ends[:, ::-1]) == peak
