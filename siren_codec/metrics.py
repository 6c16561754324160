"""Quality and rate, of real files and of decoded integer pixels."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import UsageError

__all__ = ["bd_rate", "bpp", "psnr", "rate_at", "ssim"]

Points = Sequence[tuple[float, float]]
"""A codec's (bits per pixel, PSNR in dB), in any order."""


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
