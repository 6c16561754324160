"""Steps of the fit, and their parts, to be timed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from benchmarks.timing import Actions, Row, all_timed
from siren_codec.field import Architecture
from siren_codec.fit import architecture_for, start
from siren_codec.fit.latents import Latents, Noise, Softener
from siren_codec.fit.lattice import Lattice, averaged
from siren_codec.fit.loss import Grids, Worker, worker
from siren_codec.fit.optimiser import SOAP, Adam
from siren_codec.fit.rate import quality_lambda
from siren_codec.image import Picture
from siren_codec.options import Options

__all__ = ["GridStep", "coordinate_step", "grid_step"]


def pixel_lattice(width: int, height: int, levels: int, device: str) -> Lattice:
    """Return the points of a picture of noise."""
    return averaged(torch.rand(3, height, width).to(device) * 2 - 1, 0, levels=levels)


def coordinate_step(
    architecture: Architecture, width: int, height: int, device: str, runs: int
) -> list[Row]:
    """Time a step of the fit over all points, and its parts."""
    network = start.siren(architecture, seed=0, device=device)
    points = pixel_lattice(width, height, 0, device)
    optimiser = SOAP(network.matrices)
    name = f"fit {architecture.hidden_layers}x{architecture.hidden_features}"
    with worker(device) as work:

        def step() -> None:
            work.backward(network, points)
            optimiser.step(1e-4)

        parts: Actions = {
            "step": step,
            "of it, loss and gradients": lambda: work.backward(network, points),
            "of it, SOAP": lambda: optimiser.step(1e-4),
            "loss alone": lambda: work.loss(network, points),
        }
        return all_timed(name, parts, runs, device)


def grid_step(width: int, height: int, device: str, runs: int) -> list[Row]:
    """Time a step of the grid model's fit on the picture itself, with all grids, and its parts."""
    with GridStep.begun(width, height, device) as step:
        architecture = step.network.architecture
        name = f"fit grid {architecture.hidden_layers}x{architecture.hidden_features}"
        return all_timed(name, step.actions(), runs, device)


class GridStep:
    """One step of the grid model's fit, whole and in parts."""

    def __init__(
        self, network: Any, grids: Latents, points: Lattice, work: Worker, device: str
    ) -> None:
        self.network, self.points, self.work = network, points, work
        self.soften = Softener(grids, Noise(seed=0, device=device))
        self.soften(work.map, 0.2, 1.5, 0)
        gradient = torch.zeros_like(grids.flat)
        levels, gradients = grids.levels(self.soften.soft), grids.levels(gradient)
        price = 4 * quality_lambda(50) / (points.width * points.height)
        self.grids = Grids(levels, 0, price, gradients)
        self.siren = SOAP(network.matrices[: network.depth])
        self.context = Adam(network.matrices[network.depth :])
        parts = [part for _, part in grids.chunks()]
        self.of_latents = Adam([grids.flat[part] for part in parts])
        self.gradients = [gradient[part] for part in parts]

    @classmethod
    @contextmanager
    def begun(cls, width: int, height: int, device: str) -> "Iterator[GridStep]":
        """Start a fit of noise with random grids, and end what works for it afterwards."""
        picture = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
        architecture = architecture_for(picture, Options(quality=50))
        network = start.siren(architecture, seed=0, device=device)
        grids = Latents(architecture, width, height, device)
        rng = np.random.default_rng(0)
        grids.flat.copy_(torch.from_numpy(rng.laplace(0, 0.7, grids.flat.shape).astype(np.float32)))
        with worker(device) as work:
            points = pixel_lattice(width, height, len(architecture.features), device)
            yield cls(network, grids, points, work, device)

    def actions(self) -> Actions:
        """Return what to time."""
        network, points, grids, work = self.network, self.points, self.grids, self.work
        coarse = Grids(grids.levels, 1, grids.price, grids.gradients)
        unpriced = replace(grids, price=0.0)
        return {
            "step": self.step,
            "of it, soft rounding and noise": lambda: self.soften(work.map, 0.2, 1.5, 0),
            "of it, loss and gradients": lambda: work.backward(network, points, grids),
            "the same without rate": lambda: work.backward(network, points, unpriced),
            "the same with the weights' gradients alone": lambda: work.backward(
                network, points, replace(grids, gradients=None)
            ),
            "the same without level 0": lambda: work.backward(network, points, coarse),
            "of it, SOAP and the context network's Adam": self.step_networks,
            "of it, the grids' Adam": self.step_latents,
            "loss alone": lambda: work.loss(network, points, grids),
        }

    def step(self) -> None:
        """Take a step."""
        self.soften(self.work.map, 0.2, 1.5, 0)
        self.work.backward(self.network, self.points, self.grids)
        self.step_networks()
        self.step_latents()

    def step_networks(self) -> None:
        """Move the weights, hardly."""
        self.siren.step(1e-6)
        matrices = self.network.matrices[self.network.depth :]
        self.context.step([matrix.grad for matrix in matrices], [1e-6] * len(matrices))

    def step_latents(self) -> None:
        """Move the grids, hardly."""
        rates = [1e-6] * len(self.gradients)
        self.of_latents.step(self.gradients, rates, self.work.map)
