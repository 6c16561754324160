"""Learn the networks that a grid fit begins with, over many pictures.

    python -m benchmarks.train_start IMAGES... --seconds 900

Reptile (Nichol et al. 2018, arXiv 1803.02999): fit crops of a few pictures, a short while each, all
beginning with the shared networks, then move these towards the mean of what the fits found.
Pictures, crops, reflections and lambda, within a factor of 4 of a quality's, are drawn at random.
"""

import math
import multiprocessing
import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from siren_codec import image
from siren_codec.codec import architecture_for
from siren_codec.errors import FitError
from siren_codec.field import Architecture
from siren_codec.field.threads import available_cores
from siren_codec.fit import Schedule, Stage, start, trainer
from siren_codec.fit.loss import worker
from siren_codec.fit.rate import quality_lambda
from siren_codec.image import Picture
from siren_codec.options import Options

__all__ = ["main"]

Matrices = list[npt.NDArray[np.float32]]
_STAGES = (Stage(3, 30), Stage(2, 30), Stage(1, 40), Stage(0, 30))
_FOLDER = Path(start.__file__).parent


@dataclass(frozen=True)
class Task:
    """One short fit: what to fit, from where, how fast."""

    pixels: npt.NDArray[np.uint8]
    architecture: Architecture
    lambda_: float
    rate: float
    """What the learning rates are multiplied by."""
    shared: Matrices | None
    seed: int


def fit_one(task: Task) -> tuple[float, Matrices] | None:
    """Return 1000 (error + lambda bpp) and the networks of a fit, or None if it failed."""
    preset = Schedule.preset(task.architecture, Options(), width=768, height=512)
    schedule = Schedule(
        _STAGES,
        lambda_=task.lambda_,
        learning_rate=preset.learning_rate * task.rate,
        context_rate=preset.context_rate * task.rate,
        betas=preset.betas,
        warmup_steps=10,
    )
    model = start.siren(task.architecture, seed=0, device="cpu")
    if task.shared is not None:
        model.restore([torch.tensor(matrix) for matrix in task.shared])
    try:
        with worker("cpu") as work:
            run = trainer._Run(model, task.pixels, schedule, task.seed, "cpu", work, None)
            loss = run.fit_real()
    except FitError:
        return None
    found = [matrix.detach().numpy().copy() for matrix in model.matrices]
    found[0][:, 2:-1] /= run.steps.numpy()
    height, width, _ = task.pixels.shape
    return 1000 * (loss.error / 4 + task.lambda_ * loss.bits / (width * height)), found


def draw(paths: list[Path], generator: random.Random, size: tuple[int, int]) -> Any:
    """Return a random crop of (width, height) pixels of a random picture, perhaps reflected."""
    path = generator.choice(paths)
    pixels = image.load(str(path), max_pixels=1 << 26).pixels[:, :, :3].astype(np.uint8)
    width, height = min(size[0], pixels.shape[1]), min(size[1], pixels.shape[0])
    left = generator.randint(0, pixels.shape[1] - width)
    top = generator.randint(0, pixels.shape[0] - height)
    crop = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(crop[:, ::-1] if generator.random() < 0.5 else crop)


def _one_core(cores: Any) -> None:
    """Keep a process of the pool to a core of its own."""
    core = cores.get()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def save(path: Path, known: Architecture, matrices: Matrices) -> None:
    """Write the networks as `fit.start` reads them."""
    named = {f"siren_{index}": matrix for index, matrix in enumerate(matrices[:3])}
    named |= {f"context_{index}": matrix for index, matrix in enumerate(matrices[3:])}
    omegas = np.array([known.first_omega_0, known.omega_0])
    np.savez(path, features=np.array(known.features), omegas=omegas, **named)  # type: ignore[arg-type]


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--seconds", type=float, default=900.0, help="How long to learn.")
@click.option("--quality", type=click.IntRange(1, 100), default=50, help="Which network to learn.")
@click.option("--out", type=click.Path(path_type=Path), help="[start-WIDTH.npz, in the package]")
@click.option("--seed", type=int, default=0)
def main(
    images: tuple[Path, ...], seconds: float, quality: int, out: Path | None, seed: int
) -> None:
    """Learn from IMAGES what fits begin with, and write it to OUT."""
    generator = random.Random(seed)
    picture = Picture(np.zeros((512, 768, 3), np.uint8))
    architecture = architecture_for(picture, Options(quality=quality))
    context = multiprocessing.get_context("spawn")
    cores = context.Queue()
    for core in range(available_cores()):
        cores.put(core)
    shared: Matrices | None = None
    began = time.monotonic()
    with context.Pool(available_cores(), _one_core, (cores,)) as pool:
        done = 0.0
        while done < 1:
            tasks = [
                Task(
                    draw(list(images), generator, (384, 256)),
                    architecture,
                    lambda_=quality_lambda(quality) * 2 ** generator.uniform(-2, 2),
                    rate=1 - 0.7 * done,
                    shared=shared,
                    seed=generator.randrange(1 << 30),
                )
                for _ in range(available_cores())
            ]
            results = [found for found in pool.map(fit_one, tasks) if found]
            results = [(j, found) for j, found in results if math.isfinite(j)]
            share = max(0.15, 0.7 * (1 - done))
            if shared is None and results:
                shared = results[0][1]
            elif shared is not None and results:
                shared = [
                    matrix + share * (np.mean([found[i] for _, found in results], axis=0) - matrix)
                    for i, matrix in enumerate(shared)
                ]
            done = min(1.0, (time.monotonic() - began) / seconds)
            click.echo(f"{done:.0%} " + " ".join(f"{j:.3f}" for j, _ in results))
    if shared is None:
        raise click.ClickException("no fit succeeded")
    name = f"start-{architecture.hidden_features}.npz"
    save(out or _FOLDER / name, architecture, shared)


if __name__ == "__main__":
    main()
