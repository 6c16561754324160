"""The fit: pixels -> Field."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field
from siren_codec.fit import rate, start
from siren_codec.fit.loss import Points, Worker, worker
from siren_codec.fit.model import Exponents, Model, coordinates
from siren_codec.fit.optimiser import SOAP
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.schedule import Schedule, Stage

__all__ = ["Fit", "Progress", "ProgressCallback", "choose_device", "fit"]

_MAX_ROLLBACKS = 3
_DIVERGED = 1.5
"""A loss of so many times the best one yet is taken back as a non-finite one is."""
_STEP_SEARCH_POINTS = 1 << 15


@dataclass(frozen=True)
class Progress:
    """How far a fit has come. PSNR, in dB, is of the step's own samples, before clipping."""

    step: int
    steps: int
    psnr: float
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


def fit(
    pixels: npt.NDArray[np.uint8 | np.uint16],
    *,
    architecture: Architecture,
    schedule: Schedule,
    seed: int = 0,
    device: str = "auto",
    progress: ProgressCallback | None = None,
    metadata: Mapping[str, bytes] | None = None,
) -> Fit:
    """Fit a SIREN to a picture of (height, width, channels) uint8 or uint16 samples.

    The loss is the mean squared error of the stored samples, scaled to [-1, 1]. The same seed
    gives the same Field on the same machine. Raises FitError when the loss stays non-finite.
    """
    height, width, channels = pixels.shape
    if channels != architecture.channels:
        raise UsageError(f"expected {architecture.channels} channels, found {channels}")
    device = choose_device(device)
    try:
        model = start.siren(architecture, seed=seed, device=device)
        with worker(device) as work:
            run = _Run(model, pixels, schedule, seed, device, work, progress)
            real = run.fit_real()
            exponents = run.choose_exponents()
            quantised = run.fit_rounded(exponents)
    except torch.OutOfMemoryError as error:
        raise FitError(f"{device} ran out of memory: {error}") from None
    field = Field(
        width=width,
        height=height,
        depth=8 * pixels.itemsize,
        architecture=architecture,
        layers=model.quantised(exponents),
        metadata=dict(metadata or {}),
    )
    return Fit(field, real_psnr=_psnr(real), quantised_psnr=_psnr(quantised))


def choose_device(name: str) -> str:
    """Return the device that a name means: `auto` is a GPU where there is one."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device: expected auto, cpu or cuda, found {name}")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("device: expected a CUDA GPU, found none")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return name


class _Run:
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
        self.device = device
        self.work = work
        self.progress = progress
        self.generator = torch.Generator().manual_seed(seed)
        peak = (1 << 8 * pixels.itemsize) - 1
        samples = torch.from_numpy(pixels.astype(np.float32)) * (2 / peak) - 1
        self.samples = samples.permute(2, 0, 1).contiguous().to(device)
        self.clock = _Clock(schedule, pixels.shape[0] * pixels.shape[1])

    def fit_real(self) -> float:
        """Fit real weights, coarse to fine; leave the best and return its mean squared error."""
        return self._fit_stages(self.schedule.stages, self.schedule.learning_rate)

    def choose_exponents(self) -> list[tuple[int, int]]:
        """Choose the quantisation steps, on a sample of the points."""
        points = self._points(0)
        if points.count > _STEP_SEARCH_POINTS:
            index = torch.randint(points.count, (_STEP_SEARCH_POINTS,), generator=self.generator)
            points = points.take(index.to(self.device))
        return choose_exponents(
            self.model,
            lambda: self.work.error(self.model, points),
            rate.coordinate_lambda,
            rate.MOST_BITS_PER_WEIGHT * self.model.architecture.weight_count,
        )

    def fit_rounded(self, exponents: Exponents) -> float:
        """Fit on with the weights rounded; leave the best and return its mean squared error."""
        stages = self.schedule.rounded_stages
        return self._fit_stages(stages, self.schedule.rounded_learning_rate, exponents)

    def _fit_stages(
        self, stages: Sequence[Stage], peak_rate: float, exponents: Exponents | None = None
    ) -> float:
        """Take all stages' steps and return the mean squared error over the picture itself."""
        count = sum(stage.steps for stage in stages)
        rates = _cosine(peak_rate, count, self.schedule.warmup_steps)
        optimiser = SOAP(self.model.layers)
        for stage in stages:
            self._fit_stage(stage, rates, optimiser, exponents)
        return self.work.error(self.model, self._points(0), exponents, clip=True)

    def _fit_stage(
        self,
        stage: Stage,
        rates: Iterator[float],
        optimiser: SOAP,
        exponents: Exponents | None = None,
    ) -> None:
        """Take a stage's steps and leave the best weights that it met."""
        points = self._points(stage.level)
        batch = self.schedule.batch if stage.level == 0 else None
        best = _Best(self.model)
        for step in range(stage.steps):
            part = points if batch is None else self._minibatch(points, batch)
            error = self.work.backward(self.model, part, exponents)
            rate_ = next(rates)
            if not math.isfinite(error) or (batch is None and best.lost(error)):
                best.roll_back()
                if not math.isfinite(error):
                    optimiser.forget()
                self._report(best.error, part.count)
                continue
            if batch is None:
                best.offer(error)
            elif step % math.ceil(points.count / batch) == 0:
                best.offer(self.work.error(self.model, points, exponents))
            optimiser.step(rate_ * best.damping)
            self._report(error, part.count)
        best.offer(self.work.error(self.model, points, exponents))
        best.restore()

    def _points(self, level: int) -> Points:
        """Return the picture's points, averaged over areas of 2**level x 2**level pixels."""
        channels, height, width = self.samples.shape
        rows, columns = math.ceil(height / 2**level), math.ceil(width / 2**level)
        target = self.samples
        if level:
            target = torch.nn.functional.adaptive_avg_pool2d(target[None], (rows, columns))[0]
        inputs = coordinates(width, height, columns, rows, self.device)
        return Points(inputs, target.reshape(channels, -1))

    def _minibatch(self, points: Points, batch: int) -> Points:
        index = torch.randint(points.count, (min(batch, points.count),), generator=self.generator)
        return points.take(index.to(self.device))

    def _report(self, error: float, points: int) -> None:
        seconds, seconds_left = self.clock.tick(points)
        if self.progress:
            psnr = _psnr(error)
            self.progress(
                Progress(self.clock.step, self.schedule.steps, psnr, seconds, seconds_left)
            )


class _Best:
    """The best weights of a stage, and the way back to them."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.error = math.inf
        self.state = model.state()
        self.rollbacks = 0

    @property
    def damping(self) -> float:
        """What the learning rate is multiplied by: it halves with every roll-back."""
        return 0.5**self.rollbacks

    def offer(self, error: float) -> None:
        if error < self.error:
            self.error, self.state = error, self.model.state()

    def lost(self, error: float) -> bool:
        """Tell whether a finite error means that the fit has lost its way."""
        return error > _DIVERGED * self.error and self.rollbacks < _MAX_ROLLBACKS

    def roll_back(self) -> None:
        if self.rollbacks == _MAX_ROLLBACKS:
            raise FitError(f"the loss is not finite after {_MAX_ROLLBACKS} roll-backs")
        self.rollbacks += 1
        self.restore()

    def restore(self) -> None:
        self.model.restore(self.state)


class _Clock:
    """Counts steps and foretells the time left from the points that steps have still to visit."""

    def __init__(self, schedule: Schedule, pixels: int) -> None:
        fine = min(schedule.batch or pixels, pixels)
        work = [
            stage.steps * (fine if stage.level == 0 else pixels / 4**stage.level)
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
