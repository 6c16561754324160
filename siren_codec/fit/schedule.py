"""How long a fit runs and at what rates: frozen presets, one for each effort."""

import math
from dataclasses import dataclass, replace
from typing import Any

from siren_codec import effort
from siren_codec.field import Architecture
from siren_codec.fit.lattice import STRIPE
from siren_codec.fit.rate import quality_lambda
from siren_codec.options import DEFAULT_QUALITY, Options

__all__ = ["Schedule", "Stage"]


@dataclass(frozen=True)
class Stage:
    """Steps at one resolution: level l is the picture averaged over areas of 2**l x 2**l pixels."""

    level: int
    steps: int
    parts: int = 1
    """So many parts of the picture take turns, a step each (level 0 only)."""

    @property
    def visits(self) -> float:
        """How many times the stage goes over its pixels."""
        return self.steps / self.parts


@dataclass(frozen=True)
class Schedule:
    """The course of a fit: real weights from coarse to fine, then rounded ones."""

    stages: tuple[Stage, ...]
    """The last stage fits the picture itself, or a large one averaged a little."""
    rounded_stages: tuple[Stage, ...] = ()
    """Further stages, with what is rounded by then: the grids, or without these the weights."""
    integer_steps: int = 0
    """Steps on the weights as integers, at the end; they are not counted among the others."""
    lambda_: float = 0.0
    """What a bit per pixel is worth, in mean squared error over [0, 1]."""
    quality: float = DEFAULT_QUALITY
    """The quality that this is the price of."""
    learning_rate: float = 3e-3
    """SOAP's; it warms up, then falls along a cosine over all stages."""
    rounded_learning_rate: float = 5e-4
    """The same, over the rounded stages."""
    warmup_steps: int = 80
    """At most, and at most a fifth of all."""
    betas: tuple[float, float] = (0.9, 0.999)
    context_rate: float = 1e-2
    """Adam's, on the context network, along the same course."""
    latent_rate: float = 6e-2
    """Adam's, on the latent grids; it rises and falls anew in each stage."""
    temperature: tuple[float, float] = (0.35, 0.08)
    """Of the soft rounding, at the first step of a stage and at the last."""
    noise: tuple[float, float] = (0.22, 0.15)
    """The standard deviation of the noise on the grids, at the first step of a stage and at the
    last."""

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(stage.steps for stage in self.stages + self.rounded_stages)

    @classmethod
    def preset(
        cls,
        architecture: Architecture,
        options: Options,
        *,
        width: int,
        height: int,
        quality: float,
        prior: bool = False,
    ) -> "Schedule":
        """Return the schedule of an effort, or of so many steps, for a picture.

        With a prior, grids have no need of coarse stages. A target moves the `quality` later on.
        """
        if architecture.grids:
            schedule = _grid_schedule(options, width, height, coarse=not prior)
            return replace(schedule, lambda_=quality_lambda(quality), quality=quality)
        return _coordinate_schedule(architecture, options, width * height)


def _grid_schedule(options: Options, width: int, height: int, *, coarse: bool) -> Schedule:
    """If `coarse`, a few steps from coarse to fine; most at full size; then the networks alone."""
    parts = min(effort.parts(width * height), -(-height // STRIPE))
    steps = options.steps or parts * effort.grid_visits(options.effort, width * height)
    coarsest = max(0, math.floor(math.log2(max(1, min(width, height) / _LEAST_SIDE))))
    levels = range(min(coarsest, len(_GRID_SHARES)), 0, -1)
    shares = _GRID_SHARES if coarse else (0.0,) * len(_GRID_SHARES)
    stages = [Stage(level, round(steps / parts * shares[level - 1])) for level in levels]
    rounded = round(steps * _GRID_ROUNDED_SHARE)
    fine = steps - rounded - sum(stage.steps for stage in stages)
    schedule = Schedule(
        tuple(stage for stage in (*stages, Stage(0, fine, parts)) if stage.steps),
        (Stage(0, rounded, parts),) if rounded else (),
        integer_steps=8,
        learning_rate=1e-2,
        betas=(0.95, 0.95),
        warmup_steps=20,
        context_rate=3e-2,
        latent_rate=0.12,
    )
    return _hurried(schedule, steps / parts)


def _hurried(schedule: Schedule, visits: float) -> Schedule:
    """Return a schedule with what is different where a picture is seen few times."""
    for most, changes in _HURRY:
        if visits < most:
            return replace(schedule, **changes)
    return schedule


_HURRY: tuple[tuple[int, dict[str, Any]], ...] = (
    (
        20,
        {
            "learning_rate": 3e-3,
            "context_rate": 8e-3,
            "latent_rate": 0.04,
            "temperature": (0.15, 0.05),
            "noise": (0.08, 0.05),
            "integer_steps": 4,
        },
    ),
    (
        80,
        {
            "learning_rate": 4e-3,
            "context_rate": 1.2e-2,
            "latent_rate": 0.06,
            "temperature": (0.25, 0.08),
            "noise": (0.15, 0.1),
        },
    ),
)
"""What is different below so many visits: smaller rates, and less noise, for there is no time to
average over it (docs/EXPERIMENTS.md)."""
_LEAST_SIDE = 8
"""Pixels of the shorter side that a coarse stage leaves."""
_GRID_SHARES = (0.08, 0.04, 0.04)
"""Steps on levels 1, 2 and 3, as shares of the visits; the rest is for the picture itself."""
_GRID_ROUNDED_SHARE = 0.06


def _coordinate_schedule(architecture: Architecture, options: Options, pixels: int) -> Schedule:
    """Most steps where they are cheap: the picture is averaged as far as leaves it
    `_POINTS_PER_WEIGHT`, and a network sees little beyond that.
    """
    steps = options.steps or _STEPS[options.effort - 1]
    rounded = steps // 5
    points = _POINTS_PER_WEIGHT * architecture.weight_count
    coarsest = max(0, round(math.log2(pixels / points) / 2))
    return Schedule(
        _stages(steps - rounded, _SHARES, coarsest), _stages(rounded, _ROUNDED_SHARES, coarsest)
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
