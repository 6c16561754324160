"""The fit: pixels -> Field."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.fit import kernels, rate, start
from siren_codec.fit.best import Best
from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.course import Settings, course_of, rounded_course
from siren_codec.fit.engine import Engine, Grids, Loss, engine, is_of_memory, one_torch_thread
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice, averaged, filled, samples_of, tile_shape, weights_of
from siren_codec.fit.memory import left_for_tiles
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.progress import Clock, Progress, ProgressCallback
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.settle import settle
from siren_codec.fit.state import State
from siren_codec.fit.step import Step
from siren_codec.fit.target import Steering, Target, nameable
from siren_codec.options import DEVICES
from siren_codec.stream.latents import is_exact

__all__ = ["Control", "Fit", "Run", "choose_device", "fit"]

_STEP_SEARCH_TILES = 4
_MEASURES = (0.12, 0.25, 0.4, 0.55, 0.7, 0.85)
"""Where in the last stage the file is measured on the way to a target."""
_TOO_LATE = 0.5
"""Until then the prior, and with it the grids' steps, may change to that of another quality."""


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
        width * height, grids=architecture.grids > 0, device=device, memory=control.memory
    )
    blank = Field(
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
            run = Run(model, pixels, schedule, blank, control, seed, visible)
            if not run.resume() and architecture.grids:
                run.begin(prior, refine=refine)
            with engine(device, compiled=control.compiled, tile=tile) as computing:
                return run.by(computing).whole()
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
        blank: Field,
        control: Control,
        seed: int = 0,
        visible: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        """Begin with a model and grids of 0; `blank` is the Field that the fit is to fill."""
        device = model.matrices[0].device.type
        architecture, self.pixels = model.architecture, blank.width * blank.height
        self.schedule = schedule
        self.control = control
        self.samples = samples_of(pixels, device)
        self.weights: Tensor | None = None
        if visible is not None:
            self.weights = weights_of(visible, pixels.shape[2], device)
            self.samples = filled(self.samples, self.weights)
        self.state = State(
            model,
            Latents.of_picture(architecture, blank.width, blank.height, device),
            betas=schedule.betas,
            quality=schedule.quality,
            price=self._price(schedule.lambda_) if architecture.grids else 0.0,
            noise=Noise(seed=seed, device=device) if architecture.grids else None,
            prior=blank.prior,
        )
        self.clock = Clock(schedule, self.pixels)
        self.stopped = False
        self.unrounded = self.state.latents.flat
        """The grids as they were before they were rounded."""
        self._blank = blank
        self._steering = Steering(control.target, schedule.quality) if control.target else None
        self._resumed: tuple[dict[str, Any], dict[str, Tensor]] | None = None
        self._place = 0, 0
        """The stage, and the steps of it that are done: from a checkpoint, else the beginning."""

    def begin(self, prior: PriorName | None, *, refine: bool) -> None:
        """Give the grids their first values: see `start.grids`."""
        start.grids(
            self.state.model,
            self.state.latents,
            self.samples,
            lambda_=self.schedule.lambda_,
            prior=prior,
            refine=refine,
        )

    def by(self, computing: Engine) -> "Run":
        """Let an engine compute all that follows."""
        self.engine = computing
        self.step = Step(self.state, computing)
        return self

    def whole(self) -> Fit:
        """Run through the schedule and return what comes of it."""
        real = self.fit_real()
        exponents = _exact(self.state.model, self.choose_exponents())
        quantised = self.fit_rounded(exponents)
        if self._steering and not self.stopped:
            quantised = settle(self, self._steering, exponents)
        field = self.field(exponents)
        if self.control.checkpoint and not self.stopped:
            self.control.checkpoint.remove()
        return Fit(field, real.psnr, quantised.psnr, quantised.bits, self.stopped)

    def fit_real(self) -> Loss:
        """Fit real weights and noisy grids, coarse to fine; then round the grids."""
        course = course_of(self.schedule)
        for index, stage in enumerate(self.schedule.stages):
            if index < self._place[0]:
                for _ in range(stage.steps):
                    next(course)
            else:
                self._fit_stage(index, stage, course)
        self.round()
        return self.loss()

    def fit_rounded(self, exponents: Exponents) -> Loss:
        """Fit on with the weights rounded and the grids as they are."""
        course = rounded_course(self.schedule)
        self.state.optimisers.forget_networks()
        for stage in self.schedule.rounded_stages:
            lattice = self._lattice(stage.level)
            best = Best(self.state, moving=False)
            for _ in range(0 if self.stopped else stage.steps):
                self._take(lattice, next(course), best, exponents=exponents, moving=False)
                if self.stopped:
                    break
            self._finish(lattice, best, exponents)
        return self.loss(exponents)

    def fit_on(self, course: Iterator[Settings], exponents: Exponents) -> None:
        """Take further steps with rounded weights, the grids from before they were rounded."""
        self.state.latents.flat.copy_(self.unrounded)
        lattice = self._lattice(0)
        best = Best(self.state, moving=True)
        for now in course:
            self._take(lattice, now, best, exponents=exponents)
            if self.stopped:
                break
        self.round()

    def round(self) -> None:
        """Round the grids."""
        self.unrounded = self.state.latents.flat.clone()
        self.state.latents.flat.round_()

    def choose_exponents(self) -> list[tuple[int, int]]:
        """Choose the quantisation steps, on a sample of the parts."""
        state, lattice, grids = self.state, self._lattice(0), self._rounded()

        def error(index: int) -> float:
            of_siren = index < state.model.depth
            return self.engine.loss(
                *(state.model, lattice, grids),
                tiles=_STEP_SEARCH_TILES,
                distortion=of_siren,
                rate=not of_siren,
            ).objective

        if state.price:
            return choose_exponents(
                state.model, error, lambda *_: state.price, least_price=state.price
            )
        most_bits = rate.MOST_BITS_PER_WEIGHT * state.model.architecture.weight_count
        return choose_exponents(state.model, error, rate.coordinate_lambda, most_bits)

    def field(self, exponents: Exponents) -> Field:
        """Return the Field of the state as it is, weights and grids rounded."""
        model, latents = self.state.model, self.state.latents
        layers = model.quantised(_exact(model, exponents))
        return replace(
            self._blank,
            prior=self.state.prior,
            layers=layers[: model.depth],
            latents=tuple(
                level.cpu().numpy().astype(np.int32)
                for level in latents.levels(latents.flat.round())
            ),
            context=layers[model.depth :],
        )

    def loss(self, exponents: Exponents | None = None) -> Loss:
        """Return the loss of the picture and the rounded grids, samples clipped."""
        return self._loss(self._lattice(0), exponents, clip=True)

    def price_at(self, quality: float) -> None:
        """Let a bit be worth what it is at a quality."""
        self.state.quality = quality
        self.state.price = self._price(rate.quality_lambda(quality))

    def resume(self) -> bool:
        """Take back the state of the checkpoint, if there is one."""
        found = self.control.checkpoint.load() if self.control.checkpoint else None
        if found is None:
            return False
        facts, arrays = found
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.state.restore(facts["state"], tensors)
        self.clock.resume(*facts["clock"])
        if self._steering:
            self._steering.quality = self.state.quality
        stage, done = facts["place"]
        self._place = stage, done
        self._resumed = facts["best"], tensors
        return True

    def _fit_stage(self, index: int, stage: Stage, course: Iterator[Settings]) -> None:
        """Take the steps of a stage in which grids move; measure, steer and save on the way."""
        lattice = self._lattice(stage.level)
        first_level = min(stage.level, max(0, len(self.state.latents.shapes) - 1))
        best = Best(self.state, moving=True)
        done = 0
        if self._resumed and self._place[0] == index:
            best.take(*self._resumed)
            done = self._place[1]
        for step in range(stage.steps):
            now = next(course)
            if step < done or self.stopped:
                continue
            self._take(lattice, now, best, first_level=first_level)
            if stage.level == 0 and self._steer(step + 1, stage.steps):
                best.begin_anew()
            self._save((index, step + 1), best)
        if self.state.noise is None:
            self._finish(lattice, best)
        elif not self.state.is_finite():
            best.restore()

    def _finish(self, lattice: Lattice, best: Best, exponents: Exponents | None = None) -> None:
        """End a stage without noise with its best state."""
        best.mark()
        best.offer(self._loss(lattice, exponents).objective)
        best.restore()

    def _take(
        self,
        lattice: Lattice,
        now: Settings,
        best: Best,
        *,
        first_level: int = 0,
        exponents: Exponents | None = None,
        moving: bool = True,
    ) -> None:
        """Take a step, back if it was one too many, and report it."""
        best.mark()
        loss = self.step(
            *(lattice, now.damped(best.damping)),
            first_level=first_level,
            exponents=exponents,
            moving=moving,
        )
        if best.accepts(loss.objective):
            best.offer(loss.objective)
        else:
            best.roll_back()
            self.state.optimisers.forget()
        self._report(loss, lattice.points)
        self.stopped = bool(self.control.stop and self.control.stop())

    def _steer(self, step: int, steps: int) -> bool:
        """Measure now and then, and move lambda towards the target; tell whether it moved."""
        places = [round(share * steps) for share in _MEASURES]
        if not self._steering or self.stopped or step not in places or step == steps:
            return False
        measured = self._steering.target.measure(self.field(self.choose_exponents()))
        self._steering.turn(measured, left=1 - step / steps)
        self.price_at(self._steering.quality)
        if step / steps < _TOO_LATE:
            self.state.rebase(nameable(self._steering.quality))
        return True

    def _save(self, place: tuple[int, int], best: Best) -> None:
        """Save the state if it is time, and if the fit is to stop."""
        checkpoint = self.control.checkpoint
        if not checkpoint or not (self.stopped or checkpoint.is_due()):
            return
        facts, tensors = self.state.save()
        of_best, best_tensors = best.save()
        clock = self.clock.step, self.clock.done, self.clock.seconds()
        checkpoint.save(
            {"place": place, "clock": clock, "state": facts, "best": of_best},
            {name: t.cpu().numpy() for name, t in {**tensors, **best_tensors}.items()},
        )

    def _loss(self, lattice: Lattice, exponents: Exponents | None, *, clip: bool = False) -> Loss:
        return self.engine.loss(self.state.model, lattice, self._rounded(), exponents, clip=clip)

    def _rounded(self) -> Grids:
        """Return the grids as they are stored."""
        return Grids(self.state.latents, self.state.latents.flat, 0, self.state.price)

    def _lattice(self, level: int) -> Lattice:
        """Return the picture, averaged over areas of 2**level x 2**level pixels."""
        return averaged(
            self.samples, level, levels=len(self.state.latents.shapes), weights=self.weights
        )

    def _price(self, lambda_: float) -> float:
        return rate.to_signed(lambda_) / self.pixels

    def _report(self, loss: Loss, points: int) -> None:
        seconds, seconds_left = self.clock.tick(points)
        if self.control.progress:
            self.control.progress(
                Progress(
                    self.clock.step,
                    max(self.clock.step, self.schedule.steps),
                    loss.psnr,
                    loss.bits / self.pixels,
                    seconds,
                    seconds_left,
                )
            )


def _exact(model: Model, exponents: Exponents) -> Exponents:
    """Return exponents at which the context network is exact: its own, or as many coarser."""
    while not is_exact(model.quantised(exponents)[model.depth :]):
        of_context = [(weight + 1, bias + 1) for weight, bias in exponents[model.depth :]]
        exponents = [*exponents[: model.depth], *of_context]
    return exponents
