"""Quality and rate, of real files and of decoded integer pixels."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import UsageError

__all__ = ["bpp", "psnr", "ssim"]


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
