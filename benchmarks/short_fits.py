"""Short fits of random crops: a prior's spreads, and the coordinate prior, come from them."""

import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from siren_codec.errors import FitError
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.field.threads import available_cores
from siren_codec.fit import Control, Schedule, Stage
from siren_codec.fit.engine import engine
from siren_codec.fit.model import Model
from siren_codec.fit.trainer import Run
from siren_codec.options import Options

__all__ = ["Moved", "pool", "reptile", "spreads_of"]

Matrices = list[npt.NDArray[np.float32]]
Tensors = list[npt.NDArray[np.float64]]

_COORDINATE_STEPS = 80
_GRID_STEPS = 80
_CROP = (256, 192)
"""Of fits of the grid model."""
_SHRINKAGE = 3.0
"""A weight's spread counts as so many fits that are like the whole tensor."""


@dataclass(frozen=True)
class ShortFit:
    """One short fit: what to fit, and from where."""

    pixels: npt.NDArray[np.uint8]
    architecture: Architecture
    networks: Matrices
    prior: PriorName
    """Whose analysis network gives the first grids."""
    rate: float
    """What the learning rates are multiplied by."""
    seed: int


@dataclass(frozen=True)
class Moved:
    """What a fit made of the networks."""

    quality: int
    objective: float
    """1000 (MSE + lambda bpp)"""
    matrices: Matrices
    """How far each matrix went."""
    tensors: Tensors
    """The same, in the order of the file."""


def fit_one(task: ShortFit) -> Moved | None:
    """Fit a crop for a short while; None if the fit failed."""
    architecture, quality = task.architecture, task.prior.quality
    grid = bool(architecture.grids)
    preset = Schedule.preset(architecture, Options(), width=768, height=512, quality=quality)
    schedule = replace(
        preset,
        stages=(Stage(0, _GRID_STEPS) if grid else Stage(2, _COORDINATE_STEPS),),
        rounded_stages=(),
        learning_rate=preset.learning_rate * task.rate,
        context_rate=preset.context_rate * task.rate,
        warmup_steps=10,
    )
    model = Model(architecture, [torch.tensor(matrix) for matrix in task.networks])
    height, width, _ = task.pixels.shape
    template = Field(width, height, 8, architecture, ())
    try:
        with engine("cpu") as computing:
            run = Run(model, task.pixels, schedule, template, Control(), task.seed)
            if grid:
                run.begin(task.prior, refine=True)
            loss = run.using(computing).fit_real()
    except FitError:
        return None
    with torch.no_grad():
        for matrix, first in zip(model.matrices, task.networks, strict=True):
            matrix -= torch.tensor(first)
    tensors = [
        model.differences(index, part).copy()
        for index in range(len(model.matrices))
        for part in (0, 1)
    ]
    matrices = [matrix.detach().numpy().copy() for matrix in model.matrices]
    return Moved(quality, loss.j, matrices, tensors)


def reptile(
    paths: Sequence[Path],
    architecture: Architecture,
    id_: int,
    networks: Callable[[int], Matrices],
    seconds: float,
    before: float,
    workers: Any,
) -> Iterator[tuple[float, list[Moved]]]:
    """Yield how much of the time is over, from `before` on, and what the fits of a round moved.

    Reptile (Nichol et al. 2018, arXiv 1803.02999): fit a few pictures, a short while each, all
    beginning with the shared `networks` of a quality; the caller then moves these towards what the
    fits found.
    """
    generator = random.Random(f"{before}")
    began, done = time.monotonic(), before
    while done < 1:
        tasks = []
        for _ in range(available_cores()):
            quality = generator.randint(5, 80) if architecture.grids else 50
            size = _CROP if architecture.grids else (768, 512)
            tasks.append(
                ShortFit(
                    draw(paths, generator, size),
                    architecture,
                    networks(quality),
                    PriorName(id_, quality),
                    1 - 0.7 * done,
                    generator.randrange(1 << 30),
                )
            )
        found = [moved for moved in workers.map(fit_one, tasks) if moved]
        done = before + (time.monotonic() - began) / seconds
        yield done, found


def spreads_of(fits: Sequence[Moved]) -> Tensors:
    """Return how far fits take each weight, in the mean, for each tensor.

    In each fit a tensor's differences count in proportion to their mean, for a file says how large
    they are.
    """
    out = []
    for index in range(len(fits[0].tensors)):
        found = [np.abs(fit.tensors[index]) for fit in fits]
        means = [max(float(magnitudes.mean()), 1e-12) for magnitudes in found]
        relative = np.sum([m / mean for m, mean in zip(found, means, strict=True)], axis=0)
        shrunk = (relative + _SHRINKAGE) / (len(found) + _SHRINKAGE)
        out.append(shrunk * float(np.mean(means)))
    return out


def draw(paths: Sequence[Path], generator: random.Random, size: tuple[int, int]) -> Any:
    """Return a random crop of (width, height) pixels of a random picture, perhaps reflected.

    A picture that is smaller is a crop as large as it is.
    """
    picture = Image.open(generator.choice(paths)).convert("RGB")
    width, height = min(size[0], picture.width), min(size[1], picture.height)
    left = generator.randint(0, picture.width - width)
    top = generator.randint(0, picture.height - height)
    pixels = np.asarray(picture.crop((left, top, left + width, top + height)))
    return np.ascontiguousarray(pixels[:, ::-1] if generator.random() < 0.5 else pixels)


@contextmanager
def pool() -> Iterator[Any]:
    """Yield a pool with a process on each core."""
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    for core in range(available_cores()):
        cores.put(core)
    with context.Pool(available_cores(), _one_core, (cores,)) as workers:
        yield workers


def _one_core(cores: Any) -> None:
    """Keep a process of the pool to a core of its own."""
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
