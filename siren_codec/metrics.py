"""Quality and rate, of real files and of decoded integer pixels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import UsageError

__all__ = [
    "MS_SSIM_SIDE",
    "bd_rate",
    "bpp",
    "max_error",
    "ms_ssim",
    "psnr",
    "psnr_and_alpha",
    "rate_at",
    "ssim",
]

Points = Sequence[tuple[float, float]]
"""A codec's (bits per pixel, PSNR in dB), in any order."""

MS_SSIM_SIDE = 176
"""Pixels a side that MS-SSIM needs: its window of 11 at the coarsest of its five scales."""

_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_WINDOW_SIGMA = 1.5
_WINDOW_RADIUS = 5


def psnr(*, reference: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> float:
    """Return the PSNR in dB over all samples, the peak that of the dtype: 255 or 65535.

    Equal pictures give infinity. Raises UsageError where shapes or dtypes differ.
    """
    if reference.shape != decoded.shape or reference.dtype != decoded.dtype:
        raise UsageError(
            f"expected two pictures alike, found {reference.dtype}{reference.shape} "
            f"and {decoded.dtype}{decoded.shape}"
        )
    peak = np.iinfo(reference.dtype).max
    # A difference takes a bit more than a sample: float32 is exact for it.
    difference = reference.astype(np.float32) - decoded.astype(np.float32)
    mse = float(np.mean(np.square(difference), dtype=np.float64))
    return math.inf if mse == 0 else 10 * math.log10(peak**2 / mse)


def psnr_and_alpha(
    *, reference: npt.NDArray[Any], decoded: npt.NDArray[Any]
) -> tuple[float, float | None]:
    """Return the PSNR in dB of the colours where they can be seen, and that of alpha, if any.

    Pictures are (height, width, 1 to 4 channels). Where nothing can be seen the first is infinite.
    """
    channels = reference.shape[2]
    if channels in (1, 3):
        return psnr(reference=reference, decoded=decoded), None
    colours, alpha = slice(0, channels - 1), slice(channels - 1, None)
    seen = reference[:, :, -1] > 0
    of_colours = math.inf
    if seen.any():
        of_colours = psnr(reference=reference[seen][:, colours], decoded=decoded[seen][:, colours])
    return of_colours, psnr(reference=reference[:, :, alpha], decoded=decoded[:, :, alpha])


def max_error(*, reference: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> int:
    """Return the largest difference of two samples, in the pictures' own levels.

    Pictures are (height, width, 1 to 4 channels), alpha among them; colours count where they can
    be seen.
    """
    difference = np.abs(reference.astype(np.int32) - decoded)
    if reference.shape[2] in (2, 4):
        difference[:, :, :-1] *= reference[:, :, -1:] > 0
    return int(difference.max())


def ssim(*, reference: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> float:
    """Return the mean SSIM (Wang et al. 2004) with its Gaussian window of 1.5 pixels.

    Pictures are (height, width) or (height, width, channels); scikit-image computes it.
    """
    from skimage.metrics import structural_similarity

    if min(reference.shape[:2]) < 11:
        raise UsageError(f"SSIM: expected 11 pixels a side or more, found {reference.shape}")
    value = structural_similarity(  # type: ignore[no-untyped-call]
        reference,
        decoded,
        channel_axis=2 if reference.ndim == 3 else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        data_range=np.iinfo(reference.dtype).max,
    )
    return float(value)


def ms_ssim(*, reference: npt.NDArray[Any], decoded: npt.NDArray[Any]) -> float:
    """Return the MS-SSIM (Wang et al. 2003): five scales, each half as large as the one before.

    Pictures are (height, width) or (height, width, channels); of several channels, RGB's among
    them, each has its own and the mean of these is returned. A negative mean of contrast and
    structure counts as 0. scipy filters. Raises UsageError below MS_SSIM_SIDE pixels a side.
    """
    if min(reference.shape[:2]) < MS_SSIM_SIDE:
        raise UsageError(
            f"MS-SSIM: expected {MS_SSIM_SIDE} pixels a side or more, found {reference.shape}"
        )
    if reference.shape != decoded.shape:
        raise UsageError(f"expected two pictures alike, found {reference.shape}, {decoded.shape}")
    peak = np.iinfo(reference.dtype).max
    a, b = (
        np.moveaxis(np.atleast_3d(picture).astype(np.float64), 2, 0)
        for picture in (reference, decoded)
    )
    product = np.ones(len(a))
    for scale, weight in enumerate(_MS_SSIM_WEIGHTS):
        whole, contrast = _similarity(a, b, peak)
        last = scale == len(_MS_SSIM_WEIGHTS) - 1
        product *= np.maximum(whole if last else contrast, 0) ** weight
        a, b = _halved(a), _halved(b)
    return float(product.mean())


def _similarity(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], peak: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the mean SSIM of each channel, and the mean of its part without the luminance."""
    from scipy.ndimage import gaussian_filter

    def windowed(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        sigma = (0, _WINDOW_SIGMA, _WINDOW_SIGMA)
        smooth = gaussian_filter(values, sigma, radius=(0, _WINDOW_RADIUS, _WINDOW_RADIUS))
        inner = slice(_WINDOW_RADIUS, -_WINDOW_RADIUS)
        return np.asarray(smooth[:, inner, inner])

    of_luminance, of_contrast = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mean_a, mean_b = windowed(a), windowed(b)
    variances = windowed(a * a) - mean_a**2 + windowed(b * b) - mean_b**2
    covariance = windowed(a * b) - mean_a * mean_b
    contrast = (2 * covariance + of_contrast) / (variances + of_contrast)
    luminance = (2 * mean_a * mean_b + of_luminance) / (mean_a**2 + mean_b**2 + of_luminance)
    return (luminance * contrast).mean((1, 2)), contrast.mean((1, 2))


def _halved(channels: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return means of 2 x 2 pixels; an odd last row or column is left out."""
    height, width = (length // 2 * 2 for length in channels.shape[1:])
    even = channels[:, :height, :width]
    return np.asarray(even.reshape(len(even), height // 2, 2, width // 2, 2).mean((2, 4)))


def bpp(*, file_bytes: int, width: int, height: int) -> float:
    """Return bits per pixel of a file: all its bytes count."""
    return 8 * file_bytes / (width * height)


def bd_rate(*, reference: Points, test: Points) -> float:
    """Return how many percent more bits `test` takes than `reference` at the same PSNR.

    Bjontegaard's delta rate (VCEG-M33): the mean difference of the logarithms of the rates over the
    PSNRs that both curves reach, between points by PCHIP instead of a cubic polynomial. Negative is
    better. Raises UsageError for fewer than two points, for a PSNR that does not rise with the rate
    and for curves that share no PSNR. scipy interpolates.
    """
    curves = [_log_rate(points) for points in (reference, test)]
    low = max(float(curve.x[0]) for curve in curves)
    high = min(float(curve.x[-1]) for curve in curves)
    if low >= high:
        raise UsageError(f"expected curves that share a range of PSNR, found {low:g} and {high:g}")
    log_rates = [float(curve.integrate(low, high)) / (high - low) for curve in curves]
    return 100 * math.expm1(log_rates[1] - log_rates[0])


def rate_at(*, points: Points, psnr: float) -> float:
    """Return the bits per pixel at which a codec reaches a PSNR, between its points as `bd_rate`.

    Raises UsageError where `bd_rate` would, and for a PSNR outside the curve.
    """
    curve = _log_rate(points)
    if not curve.x[0] <= psnr <= curve.x[-1]:
        raise UsageError(f"expected {curve.x[0]:g}..{curve.x[-1]:g} dB, found {psnr:g}")
    return math.exp(float(curve(psnr)))


def _log_rate(points: Points) -> Any:
    """Return the logarithm of the rate as a function of PSNR, a scipy PchipInterpolator."""
    from scipy.interpolate import PchipInterpolator

    if len(points) < 2:
        raise UsageError(f"expected two points (bpp, PSNR) or more, found {len(points)}")
    rates, psnrs = np.array(sorted(points), np.float64).T
    if not (np.isfinite(rates).all() and np.isfinite(psnrs).all() and rates[0] > 0):
        raise UsageError(f"expected finite rates above 0 and finite PSNRs, found {points}")
    if not (np.diff(psnrs) > 0).all():
        raise UsageError(f"expected a PSNR that rises with the rate, found {sorted(points)}")
    return PchipInterpolator(psnrs, np.log(rates))
