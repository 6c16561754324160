"""Learn a prior and its analysis network over many pictures, and put them into the package.

    bin/bench train_prior IMAGES... [--held-out NAMES] [--model coordinate]

The `grid` prior is learned in two phases. Jointly: its networks at each knot, and an analysis
network that gives the grids in one pass, by the fit's own objective on random crops at random
qualities. Then short fits of crops begin with it, and how far they take the weights gives the
spreads. The `coordinate` prior is learned by such short fits alone, which move it (Reptile). A run
that was broken off goes on from its checkpoint.
"""

import math
import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from benchmarks.short_fits import Moved, pool, reptile, spreads_of
from siren_codec.field import Architecture
from siren_codec.fit import architecture_for, start
from siren_codec.fit.analysis import KNOTS, Analysis, base_steps, between, pyramid
from siren_codec.fit.analysis import path_of as analysis_path_of
from siren_codec.fit.engine import Engine, Grids, engine
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.model import Model, columns_of, grown
from siren_codec.fit.optimisers import restore, state_of
from siren_codec.fit.rate import quality_lambda, to_signed, to_unit
from siren_codec.fit.samples import averaged, samples_of
from siren_codec.fit.soap import SOAP, Adam
from siren_codec.fit.state import State
from siren_codec.fit.step import Step
from siren_codec.fit.step_settings import StepSettings
from siren_codec.options import MODELS, Options
from siren_codec.picture import Picture
from siren_codec.stream import prior
from siren_codec.stream.prior import SPREAD_OF_ONE

CROP = 192
SIREN_RATE, CONTEXT_RATE, ANALYSIS_RATE = 8e-4, 1.6e-3, 5e-4
"""Peaks: SOAP's on the SIREN, Adam's on the others."""
BETAS = (0.9, 0.99)
SIREN_EXPONENT = -20
CONTEXT_EXPONENT = -10
"""The steps to which the prior's weights are rounded."""
SPREAD_FITS = 64
"""So many fits, the last ones, give the spreads."""
SHARES = (0.5, 0.05)
"""Of the way that a round of fits went, at first and at the end of the time."""
TEMPERATURE, NOISE = (0.3, 0.1), (0.22, 0.15)
"""Of the soft rounding, at first and at the end."""


class Learned:
    """The parameters that are learned: networks at each knot, and the analysis network."""

    def __init__(self, architecture: Architecture, seed: int) -> None:
        self.architecture = architecture
        self.first_knot, count = (KNOTS[0], len(KNOTS)) if architecture.grids else (50, 1)
        model = start.siren(architecture, seed=seed, device="cpu")
        if architecture.grids:
            with torch.no_grad():
                steps = torch.tensor(base_steps(architecture.features, quality_lambda(50)))
                model.matrices[0][:, 2:-1] *= steps
        # (outputs, knots, columns): together a layer with more inputs, as SOAP sees it.
        self.knots = [
            matrix.detach()[:, None].repeat(1, count, 1).requires_grad_()
            for matrix in model.matrices
        ]
        self.analysis = Analysis({}, ())
        if architecture.grids:
            self.analysis = Analysis.untrained(architecture.features, seed=seed)
        for tensor in self.analysis.parameters.values():
            tensor.requires_grad_()

    def shares(self, quality: float) -> Tensor:
        """Return each knot's share in the networks of a quality."""
        eye = torch.eye(self.knots[0].shape[1])
        return between(eye, quality) if len(eye) > 1 else eye[0]

    def growth(self, index: int, quality: float) -> Tensor:
        """Return the factor of each column of a matrix at a quality."""
        return grown(self.architecture, index, prior.growth(50, round(quality)))

    def networks(self, quality: float) -> list[Tensor]:
        """Return the matrices of a quality."""
        return [
            torch.einsum("okc,k->oc", knots, self.shares(quality)) * self.growth(index, quality)
            for index, knots in enumerate(self.knots)
        ]

    @torch.no_grad()
    def move(self, fits: Sequence[Moved], share: float) -> None:
        """Go a share of the way that fits went."""
        for moved in fits:
            shares = self.shares(moved.quality)[:, None]
            for index, (knots, matrix) in enumerate(zip(self.knots, moved.matrices, strict=True)):
                way = torch.tensor(matrix) / self.growth(index, moved.quality)
                knots += share / len(fits) * shares * way[:, None]

    def latents(self, colours: Tensor, quality: float) -> list[Tensor]:
        """Return the analysis network's grids."""
        coefficients = pyramid(colours, self.architecture.features)
        return self.analysis(colours, self.analysis.scaled(coefficients, quality), quality)

    def tensors(self) -> list[Tensor]:
        """Return all parameters."""
        return [*self.knots, *self.analysis.parameters.values()]

    def state(self) -> dict[str, npt.NDArray[np.float32]]:
        """Return all parameters as arrays."""
        found = {f"knots{i}": knots.detach().numpy() for i, knots in enumerate(self.knots)}
        return found | {n: t.detach().numpy() for n, t in self.analysis.parameters.items()}

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name, tensor in zip(self.state(), self.tensors(), strict=True):
            tensor.copy_(torch.tensor(state[name]))


@torch.no_grad()
def export(learned: Learned, id_: int, spreads: list[npt.NDArray[np.float64]]) -> None:
    """Write the prior, rounded to integers, and the analysis network, in half precision.

    `spreads` are those of the tensors in the order of the file.
    """
    depth = len(learned.architecture.shapes)
    values, exponents = [], []
    for index, knots in enumerate(learned.knots):
        exponent = SIREN_EXPONENT if index < depth else CONTEXT_EXPONENT
        matrices = knots.transpose(0, 1).double().numpy()
        width = columns_of(learned.architecture)[index]
        bias = matrices[:, :, width:].transpose(0, 2, 1)
        for real in (matrices[:, :, :width], bias if index == depth else bias[:, 0]):
            values.append(np.rint(np.ldexp(real, -exponent)).astype(np.int32))
            exponents.append(exponent)
    rounded = [
        np.clip(np.rint(4 * np.log2(spread)) + SPREAD_OF_ONE, 0, 255).astype(np.uint8)
        for spread in spreads
    ]
    first = learned.first_knot
    arrays = prior.arrays_of(learned.architecture, first, values, exponents, rounded)
    np.savez(prior.path_of(id_), **arrays)  # type: ignore[arg-type]
    prior.load.cache_clear()
    if not learned.architecture.grids:
        return
    network = {n: t.numpy().astype(np.float16) for n, t in learned.analysis.parameters.items()}
    np.savez(analysis_path_of(id_), **network)  # type: ignore[arg-type]


def crops(paths: list[Path], generator: random.Random) -> Iterator[Tensor]:
    """Yield random (3, CROP, CROP) crops in [-1, 1]: scaled down, turned, their colours changed."""
    pictures = [Image.open(path).convert("RGB") for path in paths]
    while True:
        picture = generator.choice(pictures)
        most = min(picture.size) / CROP
        scale = min(most, 2 ** max(0.0, generator.uniform(-1.0, 1.4)))
        side = round(CROP * scale)
        left = generator.randint(0, picture.width - side)
        top = generator.randint(0, picture.height - side)
        crop = picture.crop((left, top, left + side, top + side))
        if side != CROP:
            crop = crop.resize((CROP, CROP), Image.Resampling.LANCZOS)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            if generator.random() < 0.3:
                crop = enhance(crop).enhance(generator.uniform(0.8, 1.2))
        pixels = np.asarray(crop)
        if generator.random() < 0.5:
            pixels = pixels[:, ::-1]
        if generator.random() < 0.25:
            pixels = pixels.transpose(1, 0, 2)
        yield samples_of(pixels)


class Objective:
    """Computes the objective of a picture and the gradients of everything learned."""

    def __init__(self, learned: Learned, computing: Engine, seed: int) -> None:
        self.learned = learned
        self.computing = computing
        self.noise = Noise(seed=seed, device="cpu")

    def __call__(self, samples: Tensor, quality: float, now: StepSettings, weigh: Any) -> float:
        """Add a picture's gradients, times what `weigh` makes of its J; return J."""
        learned = self.learned
        real = learned.latents(samples, quality)
        matrices = learned.networks(quality)
        state = State(
            Model(learned.architecture, matrices),
            Latents.of([level.detach() for level in real]),
            pixels=samples[0].numel(),
            betas=BETAS,
            lambda_=quality_lambda(quality),
            noise=self.noise,
        )
        step = Step(state, self.computing)
        lattice = averaged(samples, 0, levels=len(real))
        loss = step.loss(step.gradients(lattice, step.prepare(now)))
        if math.isfinite(loss.objective):
            weight = to_unit(1000) * weigh(loss.j)
            found = [step.latent_gradient(), *(m.grad for m in state.model.matrices)]
            flat = torch.cat([level.reshape(-1) for level in real])
            torch.autograd.backward([flat, *matrices], [weight * gradient for gradient in found])
        return loss.j


def price_of(quality: float, samples: Tensor) -> float:
    """Return what a bit is worth in a picture of (channels, height, width) samples."""
    return to_signed(quality_lambda(quality)) / samples[0].numel()


def _weight(quality: float, average: float) -> Any:
    """Return the weight of J: near 1 / J, for the goal is a share of the rate of each picture."""
    usual = average * _usual(quality)
    return lambda j: 1 / (j + 0.5 * usual)


def _usual(quality: float) -> float:
    """Return how J goes with the quality, 1 at 50."""
    return float((quality_lambda(quality) / 1e-3) ** 0.65)


def _network(model: str) -> Architecture:
    """Return the network of a model's prior: what a Kodak picture gets."""
    return architecture_for(Picture(np.zeros((512, 768, 3), np.uint8)), Options(model=model))


@torch.no_grad()
def assess(learned: Learned, paths: list[Path], computing: Engine) -> list[float]:
    """Return the geometric mean of J, hard-rounded, of pictures held out, at qualities 20 40 60."""
    logs = []
    for quality in (20, 40, 60):
        found = []
        for path in paths:
            pixels = np.asarray(Image.open(path).convert("RGB"))
            top, left = (pixels.shape[0] - 256) // 2, (pixels.shape[1] - 256) // 2
            samples = samples_of(pixels[top : top + 256, left : left + 256])
            levels = learned.latents(samples, quality)
            model = Model(learned.architecture, learned.networks(quality))
            price = price_of(quality, samples)
            grids = Grids.of([level.round() for level in levels], price=price)
            lattice = averaged(samples, 0, levels=len(levels))
            found.append(math.log(computing.loss(model, lattice, grids).j))
        logs.append(math.exp(sum(found) / len(found)))
    return logs


def learn(
    rank: int,
    ranks: int,
    paths: list[Path],
    held_out: list[Path],
    seconds: float,
    checkpoint: Path,
    seed: int,
    meeting: str,
) -> None:
    """Learn jointly with `ranks` processes, each with its own crops, in step."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[rank]})
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=ranks)
    learned = Learned(_network("grid"), seed)
    optimisers = Optimisers(learned)
    before, average = resumed(checkpoint, learned, optimisers)
    generator = random.Random(f"{seed} {rank} {optimisers.count}")
    stream = crops(paths, generator)
    began, done = time.monotonic(), before
    recent: list[float] = []
    next_report = before
    with engine("cpu") as computing:
        objective = Objective(learned, computing, seed + rank + optimisers.count)
        while done < 1:
            quality = generator.randint(2, 85)
            for tensor in learned.tensors():
                tensor.grad = None
            j = objective(next(stream), quality, _softness(done), _weight(quality, average))
            share, usual = before + (time.monotonic() - began) / seconds, j / _usual(quality)
            gradients, done, mean = shared(learned, share, usual, average, ranks)
            average += 0.01 * (mean - average)
            optimisers.step(gradients, done)
            recent.append(usual)
            if rank == 0 and (share >= next_report or done >= 1):
                next_report = share + max(0.05, 30 / seconds)
                scores = " ".join(f"{score:.3f}" for score in assess(learned, held_out, computing))
                train = f"train {np.mean(recent):.3f}, held out {scores}"
                click.echo(f"{share:.1%} {optimisers.count} steps, {train}")
                save(checkpoint, learned, optimisers, (done, average))
                recent = []


def save(
    checkpoint: Path, learned: Learned, optimisers: "Optimisers", place: tuple[float, float]
) -> None:
    """Write what is learned, the moments, and (done, the average J); whole or not at all."""
    moments = {n: t.numpy() for n, t in state_of(optimisers.parts()).items()}
    where = np.array([*place, optimisers.count])
    _write(checkpoint, learned.state() | moments | {"place": where})


def _write(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write an archive of arrays; whole or not at all."""
    part = path.with_suffix(".part.npz")
    np.savez(part, allow_pickle=False, **arrays)
    part.replace(path)


def resumed(checkpoint: Path, learned: Learned, optimisers: "Optimisers") -> tuple[float, float]:
    """Take back what `save` wrote, if anything, and return its place."""
    if not checkpoint.exists():
        return 0.0, 2.0
    with np.load(checkpoint, allow_pickle=False) as file:
        arrays = dict(file)
    learned.restore(arrays)
    done, average, count = arrays.pop("place").tolist()
    restore(optimisers.parts(), {name: torch.from_numpy(x) for name, x in arrays.items()})
    optimisers.count = int(count)
    return done, average


def _softness(done: float) -> StepSettings:
    """Return how grids are rounded at a time."""
    ends = 0.0, 1.0
    return StepSettings(
        temperature=float(np.interp(done, ends, TEMPERATURE)),
        noise=float(np.interp(done, ends, NOISE)),
    )


def shared(
    learned: Learned, share: float, usual: float, average: float, ranks: int
) -> tuple[list[Tensor], float, float]:
    """Return the means over all processes: of the gradients, of `share` and of `usual`.

    A process whose gradients are not finite sends zeros, and the `average` for its `usual`.
    """
    tensors = learned.tensors()
    gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]
    message = torch.cat([*(g.reshape(-1) for g in gradients), torch.tensor([share, usual])])
    if not torch.isfinite(message).all():
        message = torch.zeros_like(message)
        message[-2:] = torch.tensor([share, average])
    dist.all_reduce(message)
    message /= ranks
    parts = torch.split(message[:-2], [t.numel() for t in tensors])
    means = [part.view_as(t) for part, t in zip(parts, tensors, strict=True)]
    return means, float(message[-2]), float(message[-1])


class Optimisers:
    """SOAP on the SIREN, Adam on the context network and on the analysis network."""

    def __init__(self, learned: Learned) -> None:
        self.depth = len(learned.architecture.shapes)
        self.knots = len(learned.knots)
        # (outputs, knots * columns), of the same memory.
        flat = [knots.detach().view(len(knots), -1) for knots in learned.knots[: self.depth]]
        self.siren = SOAP(flat, betas=BETAS)
        self.context = Adam(learned.knots[self.depth :], betas=BETAS)
        self.analysis = Adam(list(learned.analysis.parameters.values()), betas=BETAS)
        self.count = 0

    def parts(self) -> dict[str, SOAP | Adam]:
        """Return all of them by name."""
        return {"siren": self.siren, "context": self.context, "analysis": self.analysis}

    def step(self, gradients: Sequence[Tensor], done: float) -> None:
        """Take a step at the rates of a warm-up and then a cosine over the time."""
        self.count += 1
        rate = min(1.0, self.count / 200) * (1 + math.cos(math.pi * min(1.0, done))) / 2
        for matrix, part in zip(self.siren.parameters, gradients, strict=False):
            matrix.grad = part.reshape(matrix.shape)
        self.siren.step(SIREN_RATE * rate)
        of_context, others = gradients[self.depth : self.knots], gradients[self.knots :]
        self.context.step(of_context, CONTEXT_RATE * rate)
        self.analysis.step(others, ANALYSIS_RATE * rate)


def polish(learned: Learned, paths: list[Path], id_: int, seconds: float, checkpoint: Path) -> None:
    """Write the prior with the spreads of short fits, which move the coordinate networks.

    The fits begin with the analysis network's grids, so a first prior is written before.
    """
    export(learned, id_, [np.full(shape, 0.02) for shape in learned.architecture.tensor_shapes])
    fits: list[Moved] = []
    before = _polished(checkpoint, learned)

    def networks(quality: int) -> list[npt.NDArray[np.float32]]:
        return [matrix.detach().numpy() for matrix in learned.networks(quality)]

    with pool() as workers:
        rounds = reptile(paths, learned.architecture, id_, networks, seconds, before, workers)
        for done, found in rounds:
            if not learned.architecture.grids:
                learned.move(found, max(SHARES[1], SHARES[0] * (1 - done)))
            fits = [*fits, *found][-SPREAD_FITS:]
            click.echo(f"{done:.1%} " + " ".join(f"q{f.quality} {f.objective:.3f}" for f in found))
            _write(checkpoint, learned.state() | {"polished": np.array(done, np.float32)})
    export(learned, id_, spreads_of(fits))


def _polished(checkpoint: Path, learned: Learned) -> float:
    """Take back what short fits made of the networks, and return how much of the time is over."""
    if not checkpoint.exists():
        return 0.0
    with np.load(checkpoint, allow_pickle=False) as file:
        learned.restore(dict(file))
        # A round at least, for the spreads.
        return min(float(file["polished"]), 0.95)


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--held-out",
    type=click.Path(exists=True, path_type=Path),
    help="A file of names, a line each: pictures that are assessed, and not learned from.",
)
@click.option("--model", type=click.Choice(MODELS), default="grid")
@click.option("--seconds", type=float, default=3600.0, help="How long to learn jointly (grid).")
@click.option("--fit-seconds", type=float, default=600.0, help="How long to make short fits.")
@click.option(
    "--checkpoint",
    type=click.Path(path_type=Path),
    default="prior-checkpoint.npz",
    help="Where to save now and then, and to go on from; with .fits for the short fits.",
)
@click.option("--seed", type=int, default=0)
@click.option("--id", "id_", type=click.IntRange(1, 255), help="Of the prior. [the model's]")
@click.option("--force", is_flag=True, help="Overwrite a prior, which no file may depend on.")
def main(
    images: tuple[Path, ...],
    held_out: Path | None,
    model: str,
    seconds: float,
    fit_seconds: float,
    checkpoint: Path,
    seed: int,
    id_: int | None,
    force: bool,
) -> None:
    """Learn a prior from IMAGES and put it into the package."""
    names = held_out.read_text().split() if held_out else []
    paths = sorted(path for path in images if path.name not in names)
    assessed = sorted(path for path in images if path.name in names) or paths[:4]
    id_ = id_ or prior.DEFAULT_PRIORS[model]
    if prior.path_of(id_).exists() and not force:
        raise click.ClickException(f"{prior.path_of(id_)} exists; files may depend on it (--force)")
    learned = Learned(_network(model), seed)
    of_fits = checkpoint.with_suffix(".fits.npz")
    if model == "grid" and not of_fits.exists():
        ranks = len(os.sched_getaffinity(0))
        Path(f"{checkpoint}.meeting").unlink(missing_ok=True)
        meeting = f"file://{checkpoint.resolve()}.meeting"
        arguments = (ranks, paths, assessed, seconds, checkpoint, seed, meeting)
        spawn(learn, arguments, nprocs=ranks)  # type: ignore[no-untyped-call]
        with np.load(checkpoint, allow_pickle=False) as file:
            learned.restore(dict(file))
    polish(learned, paths, id_, fit_seconds, of_fits)


if __name__ == "__main__":
    main()
