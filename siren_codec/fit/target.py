"""A size, a PSNR or a largest error that a file is to have: lambda is steered towards it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from siren_codec import metrics, stream
from siren_codec.field import Field
from siren_codec.fit import analysis
from siren_codec.fit.engine import Grids, engine
from siren_codec.fit.model import Model
from siren_codec.fit.rate import quality_lambda, to_unit
from siren_codec.fit.samples import averaged, samples_of
from siren_codec.limits import QUALITIES
from siren_codec.options import DEFAULT_QUALITY, Options
from siren_codec.stream import prior as priors

__all__ = [
    "Measured",
    "Steering",
    "Target",
    "first_cost",
    "first_quality",
    "missed",
    "nameable",
    "target_for",
]

Pixels = npt.NDArray[Any]

_SIZE_TOLERANCE = 0.02
"""Of the size that is asked for."""
_PSNR_TOLERANCE = 0.1
"""In dB."""
_ERROR_TOLERANCE = 0.9
"""What a largest error that is to be met is at least, of what it may be."""
_LEAST, _MOST = -100.0, 200.0
"""How far a quality may be steered; the ends mean no bits at all, and the finest grids."""
_FARTHEST = 12.0
"""In one turn."""
_SHRINKING, _BETTERING = -0.1, 0.8
"""What a whole fit makes of the logarithm of the size and of the PSNR, in dB."""
_OVER_SIZE, _OVER_PSNR = 0.02, 0.15
"""How far beyond the aim to go: what is too much can be trimmed, what is missing must be fitted."""
_SAMPLE = 1024
"""Pixels a side of what the first guess looks at."""
_WEIGHTS = 350
"""Bytes of the weights and the header, as the first guess has it."""
_GAIN, _SHRINK = 3.0, 0.93
"""What a fit adds to the PSNR of its start, in dB, and what it leaves of the bits."""
_CREST = 15.0
"""How far the largest error lies above the root of the mean squared one, in dB, about."""


class Measured(Enum):
    """What is measured of a file, in numbers that grow with its quality."""

    SIZE = "size"
    """The binary logarithm of its bytes."""
    PSNR = "psnr"
    """In dB."""
    ERROR = "error"
    """How far the largest error lies below the peak, in dB: it goes along with the PSNR."""


@dataclass(frozen=True)
class Target:
    """What a file is to measure."""

    measure: Callable[[Field], float]
    """Measures a Field as it would be written."""
    of: Measured
    aim: float
    low: float
    """No less will do."""
    high: float
    """No more will do."""

    @property
    def slope(self) -> float:
        """About what the measure gains by a quality more."""
        return 0.07 if self.of is Measured.SIZE else 0.25

    @property
    def most_error(self) -> float:
        """Where errors are measured, the largest that may be, of samples in [-1, 1]."""
        return 2 * 10 ** (-self.low / 20)

    def misses(self, measured: float) -> float:
        """Return how far out of its range a measure is: 0 within.

        The worst is what may not be: too large a file, too large an error.
        """
        if measured > self.high:
            return measured - self.high + (1000 if self.of is Measured.SIZE else 0)
        if measured < self.low:
            return self.low - measured + (1000 if self.of is Measured.ERROR else 0)
        return 0.0


def target_for(pixels: Pixels, options: Options) -> Target | None:
    """Return what the fit of a picture is steered towards, if there is a target.

    `pixels` are (height, width, channels), alpha among them.
    """
    if options.target_psnr is not None:
        return _of_psnr(pixels, options.target_psnr)
    if options.max_error is not None:
        return _of_error(pixels, options.max_error)
    least, most = _sizes(pixels, options)
    if not most:
        return None
    # The middle, for a size may not be exceeded.
    return Target(
        lambda field: math.log2(len(stream.write(field))),
        *(Measured.SIZE, math.log2((least + most) / 2), math.log2(least), math.log2(most)),
    )


def _of_psnr(pixels: Pixels, wanted: float) -> Target:
    def measure(field: Field) -> float:
        return metrics.psnr_and_alpha(reference=pixels, decoded=_decoded(field))[0]

    aim, tolerance = float(wanted), 0.9 * _PSNR_TOLERANCE
    return Target(measure, Measured.PSNR, aim, aim - tolerance, aim + tolerance)


def _of_error(pixels: Pixels, most: int) -> Target:
    """Return the target of a largest error, which is a whole number and may not be exceeded."""
    peak = np.iinfo(pixels.dtype).max

    def below_peak(error: float) -> float:
        # No error at all is better than the least one, but by how much?
        return 20 * math.log10(peak / max(error, 0.5))

    def measure(field: Field) -> float:
        return below_peak(metrics.max_error(reference=pixels, decoded=_decoded(field)))

    aim, least = below_peak(most), math.ceil(_ERROR_TOLERANCE * most)
    return Target(measure, Measured.ERROR, aim, aim, below_peak(least))


def _decoded(field: Field) -> Pixels:
    return np.atleast_3d(field.render())


def missed(
    pixels: Pixels, options: Options, *, size: int, psnr: float, max_error: int
) -> str | None:
    """Return a sentence about a target that a file of such a size and quality missed."""
    least, most = _sizes(pixels, options)
    if most and not least <= size <= most:
        return (
            f"target missed: expected {math.ceil(least)} to {math.floor(most)} bytes, found {size}"
        )
    wanted = options.target_psnr
    if wanted is not None and abs(psnr - wanted) > _PSNR_TOLERANCE:
        return f"target missed: expected {wanted:g} dB, found {psnr:.2f}"
    most_error = options.max_error
    if most_error is not None and max_error > most_error:
        return f"target missed: expected errors of at most {most_error}, found {max_error}"
    return None


def _sizes(pixels: Pixels, options: Options) -> tuple[float, float]:
    """Return the least and the most bytes that meet a target, (0, 0) where it is not a size."""
    if options.target_size is not None:
        return (1 - _SIZE_TOLERANCE) * options.target_size, options.target_size
    if options.target_bpp is not None:
        wanted = options.target_bpp * pixels.shape[0] * pixels.shape[1] / 8
        return (1 - _SIZE_TOLERANCE) * wanted, (1 + _SIZE_TOLERANCE) * wanted
    return 0, 0


class Steering:
    """Moves a quality so that what is measured comes to the aim."""

    def __init__(self, target: Target, quality: float) -> None:
        self.target = target
        self.quality = quality

    def turn(self, measured: float, *, left: float = 0.0, share: float = 1.0) -> None:
        """Go a share of the way that a measure asks for, when so much of the fit is left, 0 to 1.

        What is still to come makes the file smaller and better; the measure is corrected for that.
        """
        of_size = self.target.of is Measured.SIZE
        gain = (_SHRINKING if of_size else _BETTERING) * left
        aim = self.target.aim + (_OVER_SIZE if of_size else _OVER_PSNR)
        way = share * (aim - measured - gain) / self.target.slope
        self.quality = min(max(self.quality + min(max(way, -_FARTHEST), _FARTHEST), _LEAST), _MOST)


def nameable(quality: float) -> int:
    """Return the nearest quality that a file can name."""
    return round(min(max(quality, QUALITIES[0]), QUALITIES[-1]))


def first_quality(pixels: Pixels, target: Target) -> int:
    """Return a quality that is likely to meet a target: by what the prior alone makes of pixels.

    `pixels` are (height, width, channels); alpha is left out.
    """
    steering = Steering(target, DEFAULT_QUALITY)
    estimate = _FirstEstimate(pixels)
    for _ in range(4):
        steering.quality = nameable(steering.quality)
        error, bits = estimate(int(steering.quality))
        if target.of is Measured.SIZE:
            steering.turn(math.log2(_WEIGHTS + _SHRINK * bits / 8))
        else:
            psnr = _GAIN - 10 * math.log10(max(error, 1e-12))
            steering.turn(psnr - (_CREST if target.of is Measured.ERROR else 0))
    return nameable(steering.quality)


def first_cost(pixels: Pixels, quality: int) -> float:
    """Return error + lambda * bits per pixel of what the prior alone makes of pixels."""
    height, width = int(pixels.shape[0]), int(pixels.shape[1])
    error, bits = _FirstEstimate(pixels)(quality)
    return error + quality_lambda(quality) * bits / (height * width)


class _FirstEstimate:
    """What the prior alone makes of a picture, of a large one of its middle."""

    def __init__(self, pixels: Pixels) -> None:
        height, width, channels = pixels.shape
        top, left = (max(0, (length - _SAMPLE) // 2) for length in (height, width))
        middle = pixels[top : top + _SAMPLE, left : left + _SAMPLE, : 3 if channels > 2 else 1]
        self.samples = samples_of(np.ascontiguousarray(middle))
        self.share = middle.shape[0] * middle.shape[1] / (height * width)
        self.prior = priors.load(priors.DEFAULT_PRIORS["grid"])
        features = self.prior.architecture.features
        self.lattice = averaged(self.samples, 0, levels=len(features))
        self.coefficients = analysis.pyramid(analysis.colours_of(self.samples), features)
        analysis.forget()

    @torch.no_grad()
    def __call__(self, quality: int) -> tuple[float, float]:
        """Return the mean squared error over [0, 1], and the bits of the whole picture."""
        network = self.prior.architecture_for(len(self.samples))
        assert network is not None
        expected = self.prior.expect(len(self.samples), quality)
        model = Model.of_prior(network, expected, "cpu")
        found = analysis.load(self.prior.id, "cpu").scaled(self.coefficients, quality)
        # The price is 1 so that bits are counted; it has no part in the error.
        grids = Grids.of([level.round() for level in found], price=1.0)
        with engine("cpu") as computing:
            loss = computing.loss(model, self.lattice, grids, clip=True)
        return to_unit(loss.error), loss.bits / self.share
