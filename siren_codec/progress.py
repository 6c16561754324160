"""What a fit tells while it runs."""

from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Progress", "ProgressCallback"]


@dataclass(frozen=True)
class Progress:
    """How far a fit has come."""

    step: int
    """Steps done, from 1 on."""
    steps: int
    """Steps in all; a fit with a target may take a few more."""
    psnr: float
    """dB, of the step's own samples, before rounding and clipping."""
    bpp: float
    """Bits per pixel of the latent grids; the weights come on top."""
    seconds: float
    """Since the fit began."""
    seconds_left: float
    """Until its last step, by the pixels that are still to be visited."""


ProgressCallback = Callable[[Progress], object]
"""Called after each step."""
