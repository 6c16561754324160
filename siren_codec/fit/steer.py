"""A fit with a target: lambda is steered on the way, and at the end the file is brought there."""

from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from siren_codec.fit.engine import Loss
from siren_codec.fit.model import Exponents
from siren_codec.fit.step_settings import settling_settings
from siren_codec.fit.target import Measured, Steering, Target, nameable

if TYPE_CHECKING:
    from siren_codec.fit.best import Best
    from siren_codec.fit.trainer import Run

__all__ = ["settle", "steer"]

_MEASURES = (0.12, 0.25, 0.4, 0.55, 0.7, 0.85)
"""Where in the last stage the file is measured on the way to a target."""
_TOO_LATE = 0.5
"""Until then the prior, and with it the grids' steps, may change to that of another quality."""
_SHARE, _LEAST_STEPS = 0.05, 8
"""Steps of one attempt to settle on a target: a share of all, and at least."""
_MOST_ATTEMPTS = 12
_EAGER = 3.0
"""How much further than to the aim an attempt goes: a few steps show little of it, and what is too
large can be trimmed.
"""
_USUAL_DEAD, _MOST_DEAD = 0.75, 8.0
"""Dead zones of the rounding that meets a target: usually, and when all else has failed."""
_MOST_TRIMS = 10


def steer(run: "Run", steering: Steering, step: int, steps: int, best: "Best") -> None:
    """Measure now and then, and move lambda towards the target; losses then begin anew."""
    if step == steps or step not in [round(share * steps) for share in _MEASURES]:
        return
    saved = run.state.model.state()
    measured = steering.target.measure(run.rounded.field(run.rounded.round_weights()))
    run.state.model.restore(saved)
    steering.turn(measured, left=1 - step / steps)
    run.state.price_at(steering.quality)
    if step / steps < _TOO_LATE:
        run.state.rebase(nameable(steering.quality))
    best.begin_anew()


def settle(run: "Run", steering: Steering, exponents: Exponents) -> Loss:
    """Bring the file to what it is to measure, and return the loss.

    A file that is too large, or too good, has its grids rounded with a dead zone; one that is
    too small, or far too large, is fitted on for a few steps first, from where the grids were
    before they were rounded. Of errors that are too large these steps see more: they pull least
    squares towards the least maximum. The state that misses least is kept.
    """
    model, flat = run.state.model, run.state.latents.flat
    steps = max(_LEAST_STEPS, round(_SHARE * run.schedule.steps))
    best: tuple[float, list[Tensor], Tensor] | None = None
    for attempt in range(_MOST_ATTEMPTS):
        dead_zone = _MOST_DEAD if attempt == _MOST_ATTEMPTS - 1 else _USUAL_DEAD
        missed, measured = _trim(run, steering.target, exponents, dead_zone)
        if best is None or missed < best[0]:
            best = missed, model.state(), flat.clone()
        if missed == 0 or run.stopped:
            break
        if steering.target.of is Measured.ERROR:
            field = run.rounded.field(exponents)
            run.samples.weigh(np.atleast_3d(field.render()), steering.target.most_error)
        steering.turn(measured, share=_EAGER * (attempt + 1))
        run.state.price_at(steering.quality)
        run.fit_on(settling_settings(run.schedule, steps), exponents)
    assert best is not None
    run.samples.weigh_evenly()
    model.restore(best[1])
    flat.copy_(best[2])
    return run.rounded.loss(exponents)


def _trim(run: "Run", target: Target, exponents: Exponents, most: float) -> tuple[float, float]:
    """Round the grids with the least dead zone, up to `most`, that meets a target.

    Return by how much it is missed, and what is measured without one.
    """

    def measure(dead_zone: float) -> float:
        magnitudes = (run.unrounded.abs() + (0.5 - dead_zone)).floor_().clamp_min_(0)
        run.state.latents.flat.copy_(magnitudes.mul_(run.unrounded.sign()))
        return target.measure(run.rounded.field(exponents))

    plain = measure(0.0)
    missed = target.misses(plain)
    if missed == 0 or plain < target.aim:
        return missed, plain
    low, high = 0.0, most
    for _ in range(_MOST_TRIMS):
        middle = (low + high) / 2
        measured = measure(middle)
        if target.misses(measured) == 0:
            return 0.0, plain
        low, high = (middle, high) if measured > target.aim else (low, middle)
    # What lies on the side where it is allowed to: a small file, or a small error.
    return target.misses(measure(low if target.of is Measured.ERROR else high)), plain
