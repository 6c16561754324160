"""The fit: pixels -> Field."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.fit import rate, start
from siren_codec.fit.latents import Latents, Noise, Softener
from siren_codec.fit.lattice import Lattice, averaged, samples_of
from siren_codec.fit.loss import Grids, Loss, Worker, worker
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.optimiser import SOAP, Adam
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.options import DEVICES
from siren_codec.stream.latents import is_exact

__all__ = ["Fit", "Progress", "ProgressCallback", "choose_device", "fit"]

_MAX_ROLLBACKS = 3
_STEP_SEARCH_TILES = 4
_DIVERGED = 1.5
"""A loss of so many times the best one yet is taken back as a non-finite one is."""


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


def fit(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    architecture: Architecture,
    schedule: Schedule,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    metadata: Mapping[str, bytes] | None = None,
    prior: PriorName | None = None,
    refine: bool = True,
) -> Fit:
    """Fit a SIREN to a picture of (height, width, channels) uint8 or uint16 samples.

    The loss is the mean squared error of the stored samples, scaled to [-1, 1]. The same seed
    gives the same Field on the same machine. With a `prior` the fit begins with its networks, and
    if it is to `refine` them with its analysis network's grids, and the weights are rounded in
    their differences from it. Raises FitError when the loss stays non-finite.
    """
    height, width, channels = pixels.shape
    if channels != architecture.channels:
        raise UsageError(f"expected {architecture.channels} channels, found {channels}")
    device = choose_device(device)
    try:
        model = start.networks(architecture, prior, seed=seed, device=device)
        with worker(device) as work:
            run = Run(model, pixels, schedule, seed, device, work, progress)
            if run.price:
                run.begin(prior, refine)
            real = run.fit_real()
            exponents = _exact(model, run.choose_exponents())
            quantised = run.fit_rounded(exponents)
    except torch.OutOfMemoryError as error:
        raise FitError(f"{device} ran out of memory: {error}") from None
    layers = model.quantised(_exact(model, exponents))
    field = Field(
        width=width,
        height=height,
        depth=8 * pixels.itemsize,
        architecture=architecture,
        layers=layers[: model.depth],
        metadata=dict(metadata or {}),
        latents=tuple(level.cpu().numpy().astype(np.int32) for level in run.latents.levels()),
        context=layers[model.depth :],
        prior=prior,
    )
    return Fit(field, _psnr(real.error), _psnr(quantised.error), quantised.bits)


def _exact(model: Model, exponents: Exponents) -> Exponents:
    """Return exponents at which the context network is exact: its own, or as many coarser."""
    while not is_exact(model.quantised(exponents)[model.depth :]):
        of_context = [(weight + 1, bias + 1) for weight, bias in exponents[model.depth :]]
        exponents = [*exponents[: model.depth], *of_context]
    return exponents


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
        progress: ProgressCallback | None,
    ) -> None:
        self.model = model
        self.schedule = schedule
        self.work = work
        self.progress = progress
        height, width, _ = pixels.shape
        self.latents = Latents(model.architecture, width, height, device)
        # A squared error over [-1, 1] is 4 of one over [0, 1].
        lambda_ = 4 * schedule.lambda_
        self.price = lambda_ / (width * height) if model.architecture.grids else 0.0
        self.noise = Noise(seed=seed, device=device) if self.price else None
        self.samples = samples_of(pixels, device)
        self.clock = _Clock(schedule, width * height)

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

    def fit_real(self) -> Loss:
        """Fit real weights and noisy grids, coarse to fine; then round the grids."""
        schedule = self.schedule
        course = _course(schedule)
        optimiser = _Optimisers(self.model, self.latents, schedule.betas)
        soften = Softener(self.latents, self.noise) if self.noise else None
        for stage in schedule.stages:
            self._fit_stage(stage, course, optimiser, soften)
        self.latents.flat.round_()
        return self.work.loss(self.model, self._lattice(0), self._rounded(), clip=True)

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
        course = _rounded_course(self.schedule)
        optimiser = _Optimisers(self.model, self.latents, self.schedule.betas)
        for stage in self.schedule.rounded_stages:
            self._fit_stage(stage, course, optimiser, exponents=exponents)
        return self.work.loss(self.model, self._lattice(0), self._rounded(), exponents, clip=True)

    def _fit_stage(
        self,
        stage: Stage,
        course: Iterator["_Now"],
        optimiser: "_Optimisers",
        soften: Softener | None = None,
        exponents: Exponents | None = None,
    ) -> None:
        """Take a stage's steps; grids that are not softened stay as they are."""
        lattice = self._lattice(stage.level)
        best = _Best(self.model, self.latents if soften else None)
        grids = self._rounded()
        gradient = torch.zeros_like(self.latents.flat)
        if soften:
            first = min(stage.level, len(self.latents.shapes) - 1)
            levels = self.latents.levels(soften.soft)
            grids = Grids(levels, first, self.price, self.latents.levels(gradient))
        for _ in range(stage.steps):
            now = next(course)
            if soften:
                soften(self.work.map, now.temperature, now.noise, grids.first_level)
            loss = self.work.backward(self.model, lattice, grids, exponents)
            if not math.isfinite(loss.objective) or best.lost(loss.objective):
                best.roll_back()
                optimiser.forget()
            else:
                best.offer(loss.objective)
                if self.model.expected and self.price:
                    self.model.add_rate(self.price)
                optimiser.step_networks(now, best.damping)
                if soften:
                    gradient.mul_(soften.slope)
                    rate_ = now.latent_rate * best.damping
                    optimiser.step_latents(gradient, rate_, grids.first_level, self.work)
            self._report(loss, lattice.points)
        if not soften:
            best.offer(self.work.loss(self.model, lattice, grids, exponents).objective)
            best.restore()

    def _rounded(self) -> Grids:
        """Return the grids as they are stored."""
        return Grids(self.latents.levels(), 0, self.price)

    def _lattice(self, level: int) -> Lattice:
        """Return the picture, averaged over areas of 2**level x 2**level pixels."""
        return averaged(self.samples, level, levels=len(self.latents.shapes))

    def _report(self, loss: Loss, points: int) -> None:
        seconds, seconds_left = self.clock.tick(points)
        if self.progress:
            pixels = self.samples.shape[1] * self.samples.shape[2]
            self.progress(
                Progress(
                    self.clock.step,
                    self.schedule.steps,
                    _psnr(loss.error),
                    loss.bits / pixels,
                    seconds,
                    seconds_left,
                )
            )


class _Optimisers:
    """SOAP on the SIREN, Adam on the context network and on the grids."""

    def __init__(self, model: Model, latents: Latents, betas: tuple[float, float]) -> None:
        self.latents = latents
        self.siren = SOAP(model.matrices[: model.depth], betas=betas)
        self.context = Adam(model.matrices[model.depth :])
        self.chunks = latents.chunks()
        self.grids = Adam([latents.flat[part] for _, part in self.chunks])

    def step_networks(self, now: "_Now", damping: float) -> None:
        """Take one step along the gradients that the matrices hold."""
        self.siren.step(now.weight_rate * damping)
        matrices = self.context.parameters
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        self.context.step(gradients, [now.context_rate * damping] * len(gradients))

    def step_latents(self, gradient: Tensor, rate_: float, first_level: int, work: Worker) -> None:
        """Take one step along a gradient, flat as the latents, on the levels that take part."""
        rates = [rate_ if level >= first_level else 0.0 for level, _ in self.chunks]
        self.grids.step([gradient[part] for _, part in self.chunks], rates, work.map)

    def forget(self) -> None:
        """Forget all moments, as after a step that was taken back."""
        for optimiser in (self.siren, self.context, self.grids):
            optimiser.forget()


@dataclass(frozen=True)
class _Now:
    """The settings of one step."""

    weight_rate: float
    context_rate: float
    latent_rate: float = 0.0
    temperature: float = 0.0
    noise: float = 0.0


def _course(schedule: Schedule) -> Iterator[_Now]:
    """Yield the settings of all steps of the stages with real weights.

    The networks' rates fall over all stages; the grids', whose finest levels join last, and the
    noise begin anew with each.
    """
    count = sum(stage.steps for stage in schedule.stages)
    networks = _cosine(1.0, count, schedule.warmup_steps)
    for stage in schedule.stages:
        grids = _cosine(1.0, stage.steps, schedule.warmup_steps // 2)
        for step, share in enumerate(grids):
            done = step / max(1, stage.steps - 1)
            of_networks = next(networks)
            yield _Now(
                schedule.learning_rate * of_networks,
                schedule.context_rate * of_networks,
                schedule.latent_rate * share,
                _between(schedule.temperature, done),
                _between(schedule.noise, done),
            )


def _rounded_course(schedule: Schedule) -> Iterator[_Now]:
    """Yield the settings of all steps of the stages with rounded weights."""
    count = sum(stage.steps for stage in schedule.rounded_stages)
    for rate_ in _cosine(schedule.rounded_learning_rate, count, schedule.warmup_steps):
        yield _Now(rate_, 2 * rate_)


def _between(ends: tuple[float, float], done: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * done


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

    def _save(self) -> None:
        self._state = self.model.state()
        if self.latents:
            self._flat = self.latents.flat.clone()


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
        seconds = time.monotonic() - self.began
        return seconds, seconds * (self.total - self.done) / self.done


def _cosine(peak: float, count: int, warmup: int) -> Iterator[float]:
    """Yield `count` learning rates: a linear rise to `peak`, then half a cosine down to 0."""
    warmup = min(warmup, count // 5)
    for step in range(count):
        if step < warmup:
            yield peak * (step + 1) / (warmup + 1)
        else:
            yield peak * (1 + math.cos(math.pi * (step - warmup) / max(1, count - warmup))) / 2


def _psnr(error: float) -> float:
    """Return the PSNR in dB of a mean squared error over the range [-1, 1]."""
    return math.inf if error == 0 else 10 * math.log10(4 / error)
