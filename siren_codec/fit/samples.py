"""A picture as a fit sees it: samples in [-1, 1], what each counts, and averages of them."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.field.spline import cell_centres, level_shape
from siren_codec.fit.lattice import Lattice

__all__ = ["Samples", "averaged", "filled", "samples_of", "weights_of"]

_STEEPNESS, _FARTHEST = 4, 2.0
"""How a weight grows with an error over the largest that may be, and how far it is looked at."""


class Samples:
    """The samples of a picture, and the lattices of its stages."""

    def __init__(
        self,
        pixels: npt.NDArray[np.uint8 | np.uint16],
        visible: npt.NDArray[np.bool_] | None,
        *,
        levels: int,
        device: str,
    ) -> None:
        """Take (height, width, channels) pixels, whose colours count where they are `visible`.

        So many `levels` of grids are sampled.
        """
        self._levels = levels
        self.values = samples_of(pixels, device)
        self._seen: Tensor | None = None
        if visible is not None:
            self._seen = weights_of(visible, pixels.shape[2], device)
            self.values = filled(self.values, self._seen)
        self._weights = self._seen

    def at(self, level: int) -> Lattice:
        """Return the picture, averaged over areas of 2**level x 2**level pixels."""
        return averaged(self.values, level, levels=self._levels, weights=self._weights)

    def in_turn(self, level: int, parts: int) -> list[Lattice]:
        """Return so many parts of it that take turns: of level 0, for the others are small."""
        lattice = self.at(level)
        return [lattice] if level else lattice.in_turn(parts)

    def weigh(self, decoded: npt.NDArray[np.uint8 | np.uint16], most: float) -> None:
        """Let samples count more, the more so the nearer their error comes to `most`, or beyond.

        `decoded` are the (height, width, channels) pixels of now, alpha apart among them; `most` is
        of samples in [-1, 1]. The weights are those of before, times a factor of the error, and
        their mean stays: with every call least squares come nearer to the least maximum (Lawson
        1961; Rice and Usow 1968).
        """
        found = samples_of(decoded[:, :, : len(self.values)], self.values.device.type)
        errors = (found - self.values).abs_().div_(most).clamp_max_(_FARTHEST)
        before = torch.ones_like(errors) if self._weights is None else self._weights
        weights = errors.pow_(_STEEPNESS).add_(1).mul_(before)
        self._weights = weights.mul_(before.mean() / weights.mean().clamp_min(1e-12))

    def weigh_evenly(self) -> None:
        """Let all samples that can be seen count the same again."""
        self._weights = self._seen


def samples_of(pixels: npt.NDArray[np.uint8 | np.uint16], device: str = "cpu") -> Tensor:
    """Return the (channels, height, width) samples in [-1, 1] of (height, width, channels)."""
    peak = (1 << 8 * pixels.itemsize) - 1
    samples = torch.from_numpy(pixels.astype(np.float32)) * (2 / peak) - 1
    return samples.permute(2, 0, 1).contiguous().to(device)


def weights_of(visible: npt.NDArray[np.bool_], channels: int, device: str = "cpu") -> Tensor:
    """Return (channels, height, width) weights: 0 for colours that cannot be seen, 1 for alpha."""
    weights = torch.from_numpy(visible.astype(np.float32)).repeat(channels, 1, 1)
    if channels in (2, 4):
        weights[-1] = 1
    return weights.to(device)


def filled(samples: Tensor, weights: Tensor) -> Tensor:
    """Return samples with what has no weight replaced by means of what has some around it.

    From means over 2 x 2 of means over 2 x 2 down to the pixels ("push-pull", Gortler et al. 1996,
    The Lumigraph, section 3.4): smooth, so that it costs next to nothing.
    """
    height, width = samples.shape[1:]
    if max(height, width) == 1:
        return samples * weights
    size = -(-height // 2), -(-width // 2)
    pool = torch.nn.functional.adaptive_avg_pool2d
    share = pool(weights[None], size)[0]
    means = pool((samples * weights)[None], size)[0] / share.clamp_min(1e-6)
    coarse = filled(means, (share > 0).to(share))
    around = torch.nn.functional.interpolate(coarse[None], (height, width), mode="bilinear")[0]
    return torch.where(weights > 0, samples, around)


def averaged(
    samples: Tensor,
    level: int,
    *,
    levels: int,
    weights: Tensor | None = None,
) -> Lattice:
    """Return the lattice of a picture averaged over areas of 2**level x 2**level pixels.

    `samples` are (channels, height, width) in [-1, 1], `weights` of the same shape; `levels` of
    grids are sampled.
    """
    _, height, width = samples.shape
    rows, columns = level_shape(width, height, level)
    if level:
        pool = torch.nn.functional.adaptive_avg_pool2d
        samples = pool(samples[None], (rows, columns))[0]
        weights = None if weights is None else pool(weights[None], (rows, columns))[0]
    return Lattice(
        cell_centres(0, width, columns),
        cell_centres(0, height, rows),
        width=width,
        height=height,
        levels=levels,
        device=samples.device.type,
        target=samples,
        weights=weights,
    )
