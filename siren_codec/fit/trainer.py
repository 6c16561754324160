"""The fit: pixels -> Field."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.fit import kernels, start
from siren_codec.fit.best import Best
from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.clock import Clock
from siren_codec.fit.engine import Engine, Loss, engine, is_of_memory, one_torch_thread
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice, tile_shape
from siren_codec.fit.memory import left_for_tiles
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.rounded import Rounded
from siren_codec.fit.running_loss import RunningLoss
from siren_codec.fit.samples import Samples
from siren_codec.fit.saving import Saving
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.state import State
from siren_codec.fit.steer import settle, steer
from siren_codec.fit.step import Step
from siren_codec.fit.step_settings import (
    StepSettings,
    real_weight_settings,
    rounded_weight_settings,
)
from siren_codec.fit.target import Steering, Target
from siren_codec.options import DEVICES
from siren_codec.progress import ProgressCallback

__all__ = ["Control", "Fit", "Run", "choose_device", "fit"]


@dataclass(frozen=True)
class Fit:
    """What a fit found."""

    field: Field
    real_psnr: float
    """PSNR in dB of the best weights before they were quantised, samples clipped, not rounded."""
    quantised_psnr: float
    """The same of the Field's weights."""
    bits: float = 0.0
    """What the latent grids cost by the fit's own reckoning."""
    interrupted: bool = False
    """Whether it was stopped before its end."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """How a fit is watched and steered from outside."""

    progress: ProgressCallback | None = None
    """Called after every step."""
    stop: Callable[[], bool] | None = None
    """Asked after every step whether to end at once, with the best there is."""
    target: Target | None = None
    """What lambda is steered towards."""
    checkpoint: Checkpoint | None = None
    """Where the state is saved, and found again."""
    memory: int | None = None
    """Bytes that the fit may take; by default most of what is free."""
    compiled: bool = True
    """Whether a CPU computes by compiled kernels, if there are any."""


def fit(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    architecture: Architecture,
    schedule: Schedule,
    seed: int = 0,
    device: str = "auto",
    control: Control | None = None,
    metadata: Mapping[str, bytes] | None = None,
    prior: PriorName | None = None,
    refine: bool = True,
    alpha: npt.NDArray[np.uint8 | np.uint16] | None = None,
    visible: npt.NDArray[np.bool_] | None = None,
) -> Fit:
    """Fit a SIREN to a picture of (height, width, channels) uint8 or uint16 samples.

    The loss is the mean squared error of the stored samples, scaled to [-1, 1]; colours count only
    where (height, width) `visible` is true. The same seed gives the same Field on the same machine.
    With a `prior` the fit begins with its networks, and if it is to `refine` them with its analysis
    network's grids, and the weights are rounded in their differences from it. `alpha` is passed on
    to the Field, to be stored as it is. Raises FitError when the loss stays non-finite.
    """
    height, width, channels = pixels.shape
    if channels != architecture.channels:
        raise UsageError(f"expected {architecture.channels} channels, found {channels}")
    device = choose_device(device)
    control = control or Control()
    left = left_for_tiles(
        *(width, height),
        grids=architecture.grids > 0,
        refine=refine and prior is not None and architecture.grids > 0,
        device=device,
        memory=control.memory,
    )
    template = Field(
        width=width,
        height=height,
        depth=8 * pixels.itemsize,
        architecture=architecture,
        layers=(),
        metadata=dict(metadata or {}),
        prior=prior,
        alpha=alpha,
    )
    tile = tile_shape(architecture, device, left)
    if device == "cpu" and control.compiled:
        kernels.load_ahead()
    try:
        with one_torch_thread():
            model = start.networks(architecture, prior, seed=seed, device=device)
            run = Run(model, pixels, schedule, template, control, seed, visible)
            run.begin(prior, refine=refine)
            with engine(device, compiled=control.compiled, tile=tile) as computing:
                return run.using(computing).complete()
    except (MemoryError, RuntimeError) as error:
        if not is_of_memory(error):
            raise
        raise FitError(f"{device} ran out of memory: {error}") from None


def choose_device(name: str) -> str:
    """Return the device that a name means: `auto` is a GPU where there is one."""
    if name not in DEVICES:
        raise UsageError(f"device: expected auto, cpu or cuda, found {name}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: expected a CUDA GPU, found none")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


class Run:
    """One fit under way: a state, a picture, and the steps from one to the other."""

    def __init__(
        self,
        model: Model,
        pixels: npt.NDArray[np.uint8 | np.uint16],
        schedule: Schedule,
        template: Field,
        control: Control,
        seed: int = 0,
        visible: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Begin with a model and grids of 0; `template` is the Field that the fit is to fill."""
        device = model.matrices[0].device.type
        width, height, grids = template.width, template.height, model.architecture.grids > 0
        latents = Latents.of_picture(model.architecture, width, height, device)
        self.schedule = schedule
        self.samples = Samples(pixels, visible, levels=len(latents.shapes), device=device)
        self.state = State(
            *(model, latents),
            pixels=width * height,
            betas=schedule.betas,
            quality=schedule.quality,
            lambda_=schedule.lambda_ if grids else 0.0,
            noise=Noise(seed=seed, device=device) if grids else None,
            prior=template.prior,
        )
        self.unrounded = latents.flat
        """The grids as they were before they were rounded."""
        self.stopped = False
        self._template = template
        self._control = control
        self._clock = Clock(schedule, width * height)
        self._saving = Saving(control.checkpoint, self.state, self._clock)

    def begin(self, prior: PriorName | None, *, refine: bool) -> None:
        """Begin as a checkpoint says; without one, give the grids their first values."""
        if not self._saving.resume() and self.state.latents.shapes:
            start.grids(
                *(self.state.model, self.state.latents, self.samples.values),
                lambda_=self.schedule.lambda_,
                prior=prior,
                refine=refine,
            )

    def using(self, computing: Engine) -> "Run":
        """Let this engine compute all that follows."""
        self.step = Step(self.state, computing)
        self.rounded = Rounded(self.state, self.samples, computing, self._template)
        return self

    def complete(self) -> Fit:
        """Run through the schedule and return what comes of it."""
        target = self._control.target
        steering = Steering(target, self.state.quality) if target else None
        real = self.fit_real(steering)
        exponents = self._round_weights()
        quantised = self.rounded.loss(exponents)
        if steering and not self.stopped:
            quantised = settle(self, steering, exponents)
        field = self.rounded.field(exponents)
        if not self.stopped:
            self._saving.remove()
        return Fit(field, real.psnr, quantised.psnr, quantised.bits, self.stopped)

    def fit_real(self, steering: Steering | None = None) -> Loss:
        """Fit real weights and noisy grids, coarse to fine; then round the grids."""
        settings = real_weight_settings(self.schedule)
        for index, stage in enumerate(self.schedule.stages):
            if index < self._saving.stage:
                for _ in range(stage.steps):
                    next(settings)
            else:
                self._fit_stage(index, stage, settings, steering)
        self.round()
        return self.rounded.loss()

    def fit_on(self, settings: Iterable[StepSettings], exponents: Exponents) -> None:
        """Take further steps with rounded weights, the grids from before they were rounded."""
        self.state.latents.flat.copy_(self.unrounded)
        lattice, best = self.samples.at(0), Best(self.state, moving=True)
        for each in settings:
            if self.stopped:
                break
            self._take(lattice, each, best, exponents=exponents)
        self.round()

    def round(self) -> None:
        """Round the grids."""
        self.unrounded = self.state.latents.flat.clone()
        self.state.latents.flat.round_()

    def _fit_stage(
        self, index: int, stage: Stage, settings: Iterator[StepSettings], steering: Steering | None
    ) -> None:
        """Take the steps of a stage in which grids move; measure, steer and save on the way."""
        best = Best(self.state, moving=True)
        parts = self.samples.in_turn(stage.level, stage.parts)
        running = RunningLoss(len(parts))
        first_level = min(stage.level, max(0, len(self.state.latents.shapes) - 1))
        done = self._saving.enter(index, best)
        for step in range(1, stage.steps + 1):
            each = next(settings)
            if step <= done or self.stopped:
                continue
            self._take(parts[step % len(parts)], each, best, running, first_level=first_level)
            if steering and stage.level == 0 and not self.stopped:
                steer(self, steering, step, stage.steps, best)
            self._saving.save(index, step, best, now=self.stopped)
        if self.state.noise is None:
            self._finish(stage, best)
        elif not self.state.is_finite():
            best.restore()

    def _round_weights(self) -> Exponents:
        """Fit the networks to the rounded grids, and round their weights.

        Where bits have no price, the weights are rounded first, and then fitted on as they are.
        """
        if self.state.price:
            self._fit_networks()
            steps = 0 if self.stopped else self.schedule.integer_steps
            return self.rounded.round_weights(steps)
        exponents = self.rounded.round_weights()
        self._fit_networks(exponents)
        return exponents

    def _fit_networks(self, exponents: Exponents | None = None) -> None:
        """Fit on with the grids as they are, and with `exponents` the weights rounded."""
        settings = rounded_weight_settings(self.schedule)
        self.state.optimisers.forget_networks()
        for stage in self.schedule.rounded_stages:
            best = Best(self.state, moving=False)
            parts = self.samples.in_turn(stage.level, stage.parts)
            running, how = RunningLoss(len(parts)), {"exponents": exponents, "moving": False}
            for step, each in enumerate(islice(settings, stage.steps)):
                if not self.stopped:
                    self._take(parts[step % len(parts)], each, best, running, **how)
            self._finish(stage, best, exponents)

    def _finish(self, stage: Stage, best: Best, exponents: Exponents | None = None) -> None:
        """End a stage without noise with its best state."""
        lattice = self.samples.at(stage.level)
        best.mark()
        best.offer(self.rounded.loss_of(lattice, exponents).objective)
        best.restore()

    def _take(
        self,
        lattice: Lattice,
        settings: StepSettings,
        best: Best,
        running: RunningLoss | None = None,
        **how: Any,
    ) -> None:
        """Take a step, back if it was one too many, and report it."""
        best.mark()
        running = running or RunningLoss()
        loss = running.add(self.step(lattice, settings.damped(best.damping), **how), lattice.share)
        if not best.accepts(loss.objective):
            best.roll_back()
            running.forget()
            self.state.optimisers.forget()
        elif running.complete:
            best.offer(loss.objective)
        bits = loss.bits if self.state.latents.shapes else None
        progress = self._clock.tick(lattice.points, psnr=loss.psnr, bits=bits)
        if self._control.progress:
            self._control.progress(progress)
        self.stopped = bool(self._control.stop and self._control.stop())
