"""The settings of each step of a fit: rates, temperature, noise."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from siren_codec.fit.schedule import Schedule

__all__ = ["StepSettings", "real_weight_settings", "rounded_weight_settings", "settling_settings"]


class StepSettings(NamedTuple):
    """The settings of one step."""

    weight_rate: float = 0.0
    context_rate: float = 0.0
    latent_rate: float = 0.0
    temperature: float = 0.0
    noise: float = 0.0
    """The standard deviation of the noise on the grids; 0 where they do not move."""

    def damped(self, factor: float) -> "StepSettings":
        """Return these with all rates multiplied by a factor."""
        return self._replace(
            weight_rate=self.weight_rate * factor,
            context_rate=self.context_rate * factor,
            latent_rate=self.latent_rate * factor,
        )


def real_weight_settings(schedule: Schedule) -> Iterator[StepSettings]:
    """Yield the settings of all steps of the stages with real weights.

    The networks' rates fall over all stages; the grids', whose finest levels join last, and the
    noise begin anew with each. Where parts of the picture take turns, steps are as much smaller as
    the gradients are noisier, by the root of the parts' number.
    """
    count = sum(stage.steps for stage in schedule.stages)
    networks = _cosine(1.0, count, schedule.warmup_steps)
    for stage in schedule.stages:
        grids = _cosine(1.0, stage.steps, schedule.warmup_steps // 2)
        for step, share in enumerate(grids):
            done = step / max(1, stage.steps - 1)
            of_networks = next(networks) / math.sqrt(stage.parts)
            yield StepSettings(
                schedule.learning_rate * of_networks,
                schedule.context_rate * of_networks,
                schedule.latent_rate * share / math.sqrt(stage.parts),
                _between(schedule.temperature, done),
                _between(schedule.noise, done),
            )


def rounded_weight_settings(schedule: Schedule) -> Iterator[StepSettings]:
    """Yield the settings of all steps of the stages with rounded weights."""
    count = sum(stage.steps for stage in schedule.rounded_stages)
    for rate_ in _cosine(schedule.rounded_learning_rate, count, schedule.warmup_steps):
        yield StepSettings(rate_, 2 * rate_)


def settling_settings(schedule: Schedule, steps: int) -> Iterator[StepSettings]:
    """Yield the settings of a few steps that end as the others did."""
    for share in _cosine(1.0, steps, 0):
        yield StepSettings(
            schedule.rounded_learning_rate * share,
            2 * schedule.rounded_learning_rate * share,
            schedule.latent_rate * share,
            schedule.temperature[1],
            schedule.noise[1],
        )


def _between(ends: tuple[float, float], done: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * done


def _cosine(peak: float, count: int, warmup: int) -> Iterator[float]:
    """Yield `count` learning rates: a linear rise to `peak`, then half a cosine down to 0."""
    warmup = min(warmup, count // 5)
    for step in range(count):
        if step < warmup:
            yield peak * (step + 1) / (warmup + 1)
        else:
            yield peak * (1 + math.cos(math.pi * (step - warmup) / max(1, count - warmup))) / 2
