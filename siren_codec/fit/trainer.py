"""The fit: pixels -> Field."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.fit import rate, start
from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.course import Now, course_of, rounded_course, settling_course
from siren_codec.fit.latents import Latents, Noise, Softener
from siren_codec.fit.lattice import (
    Lattice,
    averaged,
    filled,
    samples_of,
    tile_shape,
    weights_of,
)
from siren_codec.fit.loss import Grids, Loss, Worker, worker
from siren_codec.fit.memory import left_for_tiles
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.optimisers import Optimisers
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.target import Steering, Target, nameable
from siren_codec.options import DEVICES
from siren_codec.stream import prior as priors
from siren_codec.stream.latents import is_exact
from siren_codec.stream.prior import Expected

__all__ = ["Control", "Fit", "Progress", "ProgressCallback", "choose_device", "fit"]

_MAX_ROLLBACKS = 3
_STEP_SEARCH_TILES = 4
_DIVERGED = 1.5
"""A loss of so many times the best one yet is taken back as a non-finite one is."""
_LEAST_TILE = 256
"""Points: where memory runs out with fewer, halving them is no help."""
_MEASURES = (0.12, 0.25, 0.4, 0.55, 0.7, 0.85)
"""Where in the last stage the file is measured on the way to a target."""
_TOO_LATE = 0.5
"""Until then the prior, and with it the grids' steps, may change to that of another quality."""
_SETTLING, _LEAST_SETTLING = 0.05, 8
"""Steps of one attempt to settle on a target: a share of all, and at least."""
_MOST_ATTEMPTS = 12
_EAGER = 3.0
"""How much further than to the aim an attempt goes: a few steps show little of it, and what is too
large can be trimmed.
"""
_USUAL_DEAD, _MOST_DEAD = 0.75, 8.0
"""Dead zones of the rounding that meets a target: usually, and when all else has failed."""
_MOST_TRIMS = 10


@dataclass(frozen=True)
class Progress:
    """How far a fit has come. PSNR, in dB, is of the step's own samples, before clipping."""

    step: int
    steps: int
    psnr: float
    bpp: float
    """Bits per pixel of the latent grids; the weights come on top."""
    seconds: float
    seconds_left: float


ProgressCallback = Callable[[Progress], None]


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
        width * height,
        grids=architecture.grids > 0,
        device=device,
        memory=control.memory,
    )
    control = replace(control, memory=left)
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
    try:
        model = start.networks(architecture, prior, seed=seed, device=device)
        with worker(device) as work:
            run = Run(model, pixels, schedule, seed, device, work, control, visible)
            run.blank = blank
            if not run.resume() and run.price:
                run.begin(prior, refine)
            real = run.fit_real()
            exponents = _exact(model, run.choose_exponents())
            quantised = run.fit_rounded(exponents)
            if control.target and not run.stopped:
                quantised = run.settle(control.target, exponents)
            field = run.field(exponents)
    except (MemoryError, RuntimeError) as error:
        if not _is_of_memory(error):
            raise
        raise FitError(f"{device} ran out of memory: {error}") from None
    if control.checkpoint and not run.stopped:
        control.checkpoint.remove()
    return Fit(field, _psnr(real.error), _psnr(quantised.error), quantised.bits, run.stopped)


def _exact(model: Model, exponents: Exponents) -> Exponents:
    """Return exponents at which the context network is exact: its own, or as many coarser."""
    while not is_exact(model.quantised(exponents)[model.depth :]):
        of_context = [(weight + 1, bias + 1) for weight, bias in exponents[model.depth :]]
        exponents = [*exponents[: model.depth], *of_context]
    return exponents


def _is_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory from other errors: torch's on the CPU is a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate" in str(error)


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
    """One fit under way."""

    def __init__(
        self,
        model: Model,
        pixels: npt.NDArray[np.uint8 | np.uint16],
        schedule: Schedule,
        seed: int,
        device: str,
        work: Worker,
        control: Control,
        visible: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.model = model
        self.schedule = schedule
        self.work = work
        self.control = control
        self.blank: Field | None = None
        height, width, _ = pixels.shape
        self.pixels = width * height
        self.latents = Latents(model.architecture, width, height, device)
        # A squared error over [-1, 1] is 4 of one over [0, 1].
        self.price = 4 * schedule.lambda_ / self.pixels if model.architecture.grids else 0.0
        self.noise = Noise(seed=seed, device=device) if self.price else None
        self.samples = samples_of(pixels, device)
        self.weights = None
        if visible is not None:
            self.weights = weights_of(visible, pixels.shape[2], device)
            self.samples = filled(self.samples, self.weights)
        self.tile = tile_shape(model.architecture, device, control.memory)
        self.clock = _Clock(schedule, self.pixels)
        self.stopped = False
        self.soften = Softener(self.latents, self.noise) if self.noise else None
        self.optimiser = Optimisers(model, self.latents, schedule.betas)
        self.steering = Steering(control.target, schedule.quality) if control.target else None
        self._unrounded = self.latents.flat
        self._saved: _Saved | None = None

    def begin(self, prior: PriorName | None, refine: bool) -> None:
        """Give the grids their first values."""
        start.grids(
            self.model,
            self.latents,
            self.samples,
            lambda_=4 * self.schedule.lambda_,
            prior=prior,
            refine=refine,
        )

    def resume(self) -> bool:
        """Take back the state of the checkpoint, if there is one."""
        found = self.control.checkpoint.load() if self.control.checkpoint else None
        if found is None:
            return False
        self._saved = _Saved(*found)
        self._saved.restore(self)
        return True

    def fit_real(self) -> Loss:
        """Fit real weights and noisy grids, coarse to fine; then round the grids."""
        course = course_of(self.schedule)
        first = self._saved.stage if self._saved else 0
        for index, stage in enumerate(self.schedule.stages):
            if index < first:
                for _ in range(stage.steps):
                    next(course)
            else:
                self._fit_stage(stage, course, self.soften, index=index)
        self._unrounded = self.latents.flat.clone()
        self.latents.flat.round_()
        return self._loss()

    def choose_exponents(self) -> list[tuple[int, int]]:
        """Choose the quantisation steps, on a sample of the parts."""
        lattice, grids = self._lattice(0), self._rounded()
        stride = max(1, len(lattice.tiles) // _STEP_SEARCH_TILES)

        def error(index: int) -> float:
            of_siren = index < self.model.depth
            loss = self.work.loss(
                self.model, lattice, grids, stride=stride, distortion=of_siren, rate=not of_siren
            )
            return loss.objective

        if self.price:
            return choose_exponents(
                self.model, error, lambda *_: self.price, least_price=self.price
            )
        most_bits = rate.MOST_BITS_PER_WEIGHT * self.model.architecture.weight_count
        return choose_exponents(self.model, error, rate.coordinate_lambda, most_bits)

    def fit_rounded(self, exponents: Exponents) -> Loss:
        """Fit on with the weights rounded and the grids as they are."""
        course = rounded_course(self.schedule)
        self.optimiser.forget_networks()
        for stage in self.schedule.rounded_stages:
            self._fit_stage(stage, course, exponents=exponents)
        return self._loss(exponents)

    def settle(self, target: Target, exponents: Exponents) -> Loss:
        """Bring the file to what it is to measure, and return the loss.

        A file that is too large, or too good, has its grids rounded with a dead zone; one that is
        too small, or far too large, is fitted on for a few steps first, from where the grids were
        before they were rounded. The state that misses least is kept.
        """
        assert self.steering is not None
        steps = max(_LEAST_SETTLING, round(_SETTLING * self.schedule.steps))
        best: tuple[float, list[Tensor], Tensor] | None = None
        for attempt in range(_MOST_ATTEMPTS):
            dead_zone = _MOST_DEAD if attempt == _MOST_ATTEMPTS - 1 else _USUAL_DEAD
            missed, measured = self._trim(target, exponents, dead_zone)
            if best is None or missed < best[0]:
                best = missed, self.model.state(), self.latents.flat.clone()
            if missed == 0 or self.stopped:
                break
            self.steering.turn(measured, share=_EAGER * (attempt + 1))
            self._reprice()
            self.latents.flat.copy_(self._unrounded)
            course = settling_course(self.schedule, steps)
            self._fit_stage(Stage(0, steps), course, self.soften, exponents)
            self._unrounded = self.latents.flat.clone()
        assert best is not None
        self.model.restore(best[1])
        self.latents.flat.copy_(best[2])
        return self._loss(exponents)

    def _trim(self, target: Target, exponents: Exponents, most: float) -> tuple[float, float]:
        """Round the grids with the least dead zone, up to `most`, that meets a target.

        Return by how much it is missed, and what is measured without one.
        """

        def measure(dead_zone: float) -> float:
            magnitudes = (self._unrounded.abs() + (0.5 - dead_zone)).floor_().clamp_min_(0)
            self.latents.flat.copy_(magnitudes.mul_(self._unrounded.sign()))
            return target.measure(self.field(exponents))

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
        return target.misses(measure(high)), plain

    def field(self, exponents: Exponents) -> Field:
        """Return the Field of the state as it is, weights and grids rounded."""
        assert self.blank is not None
        layers = self.model.quantised(_exact(self.model, exponents))
        levels = self.latents.levels(self.latents.flat.round())
        return replace(
            self.blank,
            layers=layers[: self.model.depth],
            latents=tuple(level.cpu().numpy().astype(np.int32) for level in levels),
            context=layers[self.model.depth :],
        )

    def _fit_stage(
        self,
        stage: Stage,
        course: Iterator[Now],
        soften: Softener | None = None,
        exponents: Exponents | None = None,
        index: int | None = None,
    ) -> None:
        """Take a stage's steps; grids that are not softened stay as they are.

        A stage with an `index` is steered and saved.
        """
        lattice = self._lattice(stage.level)
        best = _Best(self.model, self.latents if soften else None)
        grids = self._rounded()
        gradient = torch.zeros_like(self.latents.flat)
        if soften:
            first = min(stage.level, len(self.latents.shapes) - 1)
            levels = self.latents.levels(soften.soft)
            grids = Grids(levels, first, self.price, self.latents.levels(gradient))
        done = self._saved.enter(best) if self._saved and self._saved.stage == index else 0
        for step in range(stage.steps):
            now = next(course)
            if step < done:
                continue
            if self.stopped:
                break
            if soften:
                soften(self.work.map, now.temperature, now.noise, grids.first_level)
            lattice, loss = self._backward(lattice, stage.level, grids, exponents)
            if not math.isfinite(loss.objective) or best.lost(loss.objective):
                best.roll_back()
                self.optimiser.forget()
            else:
                best.offer(loss.objective)
                if self.model.expected and self.price:
                    self.model.add_rate(self.price)
                self.optimiser.step_networks(now, best.damping)
                if soften:
                    gradient.mul_(soften.slope)
                    rate_ = now.latent_rate * best.damping
                    self.optimiser.step_latents(gradient, rate_, grids.first_level, self.work)
            self._report(loss, lattice.points)
            self.stopped = bool(self.control.stop and self.control.stop())
            if index is not None:
                if self._steer(stage, step):
                    best.begin_anew()
                    grids = replace(grids, price=self.price)
                self._save(index, step + 1, best)
        if not soften:
            best.offer(self.work.loss(self.model, lattice, grids, exponents).objective)
            best.restore()

    def _backward(
        self, lattice: Lattice, level: int, grids: Grids, exponents: Exponents | None
    ) -> tuple[Lattice, Loss]:
        """Return the lattice, of smaller tiles if memory ran out, and the loss of a step."""
        while True:
            try:
                return lattice, self.work.backward(self.model, lattice, grids, exponents)
            except (MemoryError, RuntimeError) as error:
                if not _is_of_memory(error) or self.tile[0] * self.tile[1] <= _LEAST_TILE:
                    raise
            rows, columns = self.tile
            self.tile = (rows // 2, columns) if rows > 1 else (1, columns // 2)
            if self.work.device != "cpu":
                torch.cuda.empty_cache()
            lattice = self._lattice(level)

    def _steer(self, stage: Stage, step: int) -> bool:
        """Measure now and then, and move lambda towards the target; tell whether it moved."""
        if not self.steering or stage.level or self.stopped:
            return False
        places = [round(share * stage.steps) for share in _MEASURES]
        if step + 1 not in places or step + 1 == stage.steps:
            return False
        measured = self.steering.target.measure(self.field(self.choose_exponents()))
        self.steering.turn(measured, left=1 - (step + 1) / stage.steps)
        self._reprice()
        if (step + 1) / stage.steps < _TOO_LATE:
            self._rebase(nameable(self.steering.quality))
        return True

    def _rebase(self, quality: int) -> None:
        """Go over to the prior of another quality: to its quantisation steps above all."""
        blank = self.blank
        if blank is None or blank.prior is None or blank.prior.quality == quality:
            return
        # As the prior has it (docs/FORMAT.md, section 9).
        growth = 2.0 ** ((blank.prior.quality - quality) / 16)
        self.model.rebase(self._name(quality), growth)
        self.latents.flat /= growth
        self.optimiser.grids.scale(growth)

    def _name(self, quality: int) -> list[Expected]:
        """Let the file name the prior at a quality, and return what that expects."""
        assert self.blank is not None
        assert self.blank.prior is not None
        name = replace(self.blank.prior, quality=quality)
        self.blank = replace(self.blank, prior=name)
        expected = priors.expected(name, self.blank.architecture.channels)
        assert expected is not None
        return expected

    def _reprice(self) -> None:
        assert self.steering is not None
        self.price = 4 * rate.quality_lambda(self.steering.quality) / self.pixels

    def _save(self, stage: int, step: int, best: "_Best") -> None:
        """Save the state if it is time, and if the fit is to stop."""
        checkpoint = self.control.checkpoint
        if checkpoint and (self.stopped or checkpoint.is_due()):
            checkpoint.save(*_Saved.of(self, stage, step, best))

    def _loss(self, exponents: Exponents | None = None) -> Loss:
        """Return the loss of the rounded grids, samples clipped."""
        return self.work.loss(self.model, self._lattice(0), self._rounded(), exponents, clip=True)

    def _rounded(self) -> Grids:
        """Return the grids as they are stored."""
        return Grids(self.latents.levels(), 0, self.price)

    def _lattice(self, level: int) -> Lattice:
        """Return the picture, averaged over areas of 2**level x 2**level pixels."""
        return averaged(
            self.samples,
            level,
            levels=len(self.latents.shapes),
            weights=self.weights,
            tile=self.tile,
        )

    def _report(self, loss: Loss, points: int) -> None:
        seconds, seconds_left = self.clock.tick(points)
        if self.control.progress:
            self.control.progress(
                Progress(
                    self.clock.step,
                    max(self.clock.step, self.schedule.steps),
                    _psnr(loss.error),
                    loss.bits / self.pixels,
                    seconds,
                    seconds_left,
                )
            )


class _Best:
    """The best weights and grids of a stage, and the way back to them.

    By error and the grids' bits: the weights' own hardly change within a stage.
    """

    def __init__(self, model: Model, latents: Latents | None = None) -> None:
        self.model = model
        self.latents = latents
        self.error = math.inf
        self.rollbacks = 0
        self._save()

    @property
    def damping(self) -> float:
        """What the learning rate is multiplied by: it halves with every roll-back."""
        return 0.5**self.rollbacks

    def begin_anew(self) -> None:
        """Take the state as it is for the best one, whatever came before."""
        self.error = math.inf
        self._save()

    def offer(self, error: float) -> None:
        if error < self.error:
            self.error = error
            self._save()

    def lost(self, error: float) -> bool:
        """Tell whether a finite error means that the fit has lost its way."""
        return error > _DIVERGED * self.error and self.rollbacks < _MAX_ROLLBACKS

    def roll_back(self) -> None:
        if self.rollbacks == _MAX_ROLLBACKS:
            raise FitError(f"the loss is not finite after {_MAX_ROLLBACKS} roll-backs")
        self.rollbacks += 1
        self.restore()

    def restore(self) -> None:
        self.model.restore(self._state)
        if self.latents:
            self.latents.flat.copy_(self._flat)

    def tensors(self) -> dict[str, Tensor]:
        """Return the best weights and grids by name."""
        found = {f"matrix{index}": matrix for index, matrix in enumerate(self._state)}
        return found | ({"latents": self._flat} if self.latents else {})

    def take(self, tensors: Mapping[str, Tensor], error: float | None, rollbacks: int) -> None:
        """Take back what `tensors` returned, `best.` before each name."""
        self.error = math.inf if error is None else error
        self.rollbacks = rollbacks
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[f"best.{name}"])

    def _save(self) -> None:
        self._state = self.model.state()
        if self.latents:
            self._flat = self.latents.flat.clone()


class _Saved:
    """The state of a fit within a stage, as a checkpoint holds it."""

    def __init__(self, facts: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        self.facts = facts
        self.arrays = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self.stage = int(facts["stage"])

    @staticmethod
    def of(
        run: Run, stage: int, step: int, best: "_Best"
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Return the facts and the arrays of a fit."""
        facts = {
            "stage": stage,
            "step": step,
            "steps": run.clock.step,
            "done": run.clock.done,
            "seconds": run.clock.seconds(),
            "error": best.error if math.isfinite(best.error) else None,
            "rollbacks": best.rollbacks,
            "quality": run.steering.quality if run.steering else None,
            "noise": run.noise.now if run.noise else None,
            "prior": run.blank.prior.quality if run.blank and run.blank.prior else None,
        }
        tensors = {
            "latents": run.latents.flat,
            **{f"matrix{i}": m.detach() for i, m in enumerate(run.model.matrices)},
            **{f"best.{name}": tensor for name, tensor in best.tensors().items()},
            **run.optimiser.state(),
        }
        if run.noise:
            tensors["noise"] = run.noise.generator.get_state()
        return facts, {name: tensor.cpu().numpy() for name, tensor in tensors.items()}

    @torch.no_grad()
    def restore(self, run: Run) -> None:
        """Give a fit its state back, but for the best of its stage."""
        run.latents.flat.copy_(self.arrays["latents"])
        for index, matrix in enumerate(run.model.matrices):
            matrix.copy_(self.arrays[f"matrix{index}"])
        device = run.work.device
        run.optimiser.restore({name: tensor.to(device) for name, tensor in self.arrays.items()})
        if run.noise:
            run.noise.generator.set_state(self.arrays["noise"])
            run.noise.shape(self.facts["noise"])
        run.clock.resume(self.facts["steps"], self.facts["done"], self.facts["seconds"])
        if run.steering and self.facts["quality"] is not None:
            run.steering.quality = self.facts["quality"]
            run._reprice()
            if run.blank and run.blank.prior and self.facts["prior"]:
                run.model.expect(run._name(self.facts["prior"]))

    def enter(self, best: "_Best") -> int:
        """Give a stage its best state back; return the steps that are done."""
        best.take(self.arrays, self.facts["error"], self.facts["rollbacks"])
        return int(self.facts["step"])


class _Clock:
    """Counts steps and foretells the time left from the points that steps have still to visit."""

    def __init__(self, schedule: Schedule, pixels: int) -> None:
        work = [
            stage.steps * pixels / 4**stage.level
            for stage in schedule.stages + schedule.rounded_stages
        ]
        self.total = sum(work)
        self.done = 0.0
        self.step = 0
        self.began = time.monotonic()

    def tick(self, points: int) -> tuple[float, float]:
        """Count a step over so many points; return the seconds since the start and those left."""
        self.step += 1
        self.done = min(self.done + points, self.total)
        seconds = self.seconds()
        return seconds, seconds * (self.total - self.done) / max(self.done, 1.0)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.began

    def resume(self, step: int, done: float, seconds: float) -> None:
        """Go on from where an earlier clock was."""
        self.step, self.done = step, done
        self.began = time.monotonic() - seconds


def _psnr(error: float) -> float:
    """Return the PSNR in dB of a mean squared error over the range [-1, 1]."""
    return math.inf if error == 0 else 10 * math.log10(4 / error)
