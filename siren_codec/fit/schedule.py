"""How long a fit runs and at what rates: frozen presets, one for each effort."""

import math
from dataclasses import dataclass

from siren_codec.errors import UsageError

__all__ = ["DEFAULT_EFFORT", "EFFORTS", "Schedule", "Stage"]

EFFORTS = range(1, 10)
DEFAULT_EFFORT = 4


@dataclass(frozen=True)
class Stage:
    """Steps at one resolution: level l is the picture averaged over areas of 2**l x 2**l pixels."""

    level: int
    steps: int


@dataclass(frozen=True)
class Schedule:
    """The course of a fit: real weights from coarse to fine, then rounded ones."""

    stages: tuple[Stage, ...]
    """The last stage fits the picture itself, or a large one averaged a little."""
    rounded_stages: tuple[Stage, ...] = ()
    """Further stages, with the weights rounded in the forward pass."""
    learning_rate: float = 3e-3
    """SOAP's; it warms up, then falls along a cosine over all stages."""
    rounded_learning_rate: float = 5e-4
    """The same, over the rounded stages."""
    warmup_steps: int = 80
    """At most, and at most a fifth of all."""
    betas: tuple[float, float] = (0.9, 0.999)
    latent_rate: float = 2e-2
    """Adam's, on the latent grids, along the same course as SOAP's."""
    analyse: bool = True
    temperature: tuple[float, float] = (0.3, 0.1)
    """Of the soft rounding, at the first step and at the last."""
    noise: tuple[float, float] = (2.0, 1.0)
    """The shape of the noise on the grids, at the first step and at the last."""

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(stage.steps for stage in self.stages + self.rounded_stages)

    @classmethod
    def preset(
        cls,
        effort: int = DEFAULT_EFFORT,
        *,
        pixels: int,
        weights: int,
        steps: int | None = None,
    ) -> "Schedule":
        """Return the schedule of an effort, 1 (quick) to 9, for so many pixels and weights.

        `steps` overrides its length. Most steps are taken where they are cheap: the picture is
        averaged as far as leaves it `_POINTS_PER_WEIGHT`, and a network sees little beyond that.
        """
        for name, number in (("effort", effort), ("steps", steps)):
            if not isinstance(number, int | None):
                raise UsageError(f"{name}: expected an integer, found {number!r}")
        if effort not in EFFORTS:
            raise UsageError(f"effort: expected 1 to 9, found {effort}")
        if steps is None:
            steps = _STEPS[effort - 1]
        if steps < 1:
            raise UsageError(f"steps: expected at least 1, found {steps}")
        rounded = steps // 5
        coarsest = max(0, round(math.log2(pixels / (_POINTS_PER_WEIGHT * weights)) / 2))
        return cls(
            _stages(steps - rounded, _SHARES, coarsest),
            _stages(rounded, _ROUNDED_SHARES, coarsest),
        )


_POINTS_PER_WEIGHT = 3
_STEPS = (150, 300, 500, 900, 1600, 3000, 6000, 12000, 25000)
_SHARES = (0.55, 0.42, 0.03)
"""Of the steps at the coarsest level, the next one and the one after that, which is the last."""
_ROUNDED_SHARES = (0.0, 0.9, 0.1)


def _stages(steps: int, shares: tuple[float, ...], coarsest: int) -> tuple[Stage, ...]:
    """Share steps out to levels from the coarsest down; level 0 takes what would lie below it."""
    counts: dict[int, int] = {}
    for index, share in enumerate(shares):
        level = max(0, coarsest - index)
        counts[level] = counts.get(level, 0) + round(steps * share)
    counts[level] += steps - sum(counts.values())
    return tuple(Stage(level, count) for level, count in counts.items() if count > 0)
