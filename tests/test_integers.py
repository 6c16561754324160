"""The weights of a fit as integers."""

from collections.abc import Iterator

import pytest
import torch
from small_fits import smooth

from siren_codec.field import Architecture
from siren_codec.fit import start
from siren_codec.fit.engine import Engine, Grids, engine
from siren_codec.fit.integers import Integers
from siren_codec.fit.latents import Latents
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Model
from siren_codec.fit.samples import averaged
from siren_codec.stream.weights_by_range import cost

GRID = Architecture(3, 2, 12, 3.0, 10.0, (1, 1, 0, 3), neighbours=12, context_features=8)
PRICE = 1e-6


@pytest.fixture(scope="module")
def computing() -> Iterator[Engine]:
    with engine("cpu", compiled=False) as found:
        yield found


def _state() -> tuple[Model, Lattice, Grids]:
    """Return a random model and a smooth picture of 40 x 32 samples."""
    model = start.siren(GRID, seed=0, device="cpu")
    lattice = averaged(torch.from_numpy(smooth(40, 32)), 0, levels=4)
    latents = Latents.of_picture(GRID, 40, 32, "cpu")
    latents.flat.normal_(std=2, generator=torch.Generator().manual_seed(1)).round_()
    return model, lattice, Grids(latents, latents.flat, 0, PRICE)


def _whole(model: Model, lattice: Lattice, grids: Grids, found: Integers, by: Engine) -> float:
    """Return the loss of what a file would hold, and the price of all bits."""
    layers = model.quantised(found.exponents)
    bits = sum(cost(x.values) for layer in layers for x in (layer.weight, layer.bias))
    return by.loss(model, lattice, grids, found.exponents).objective + PRICE * bits


def test_weights_are_multiples_of_their_steps(computing: Engine) -> None:
    model, lattice, grids = _state()
    found = Integers(model, lattice, grids, computing)
    found.refine(2)
    for matrix, rounded in zip(model.matrices, model.effective(found.exponents), strict=True):
        assert torch.equal(matrix, rounded)


def test_steps_down_the_slope_help_and_repeat(computing: Engine) -> None:
    losses, states = [], []
    for count in (0, 3, 3, 12):
        model, lattice, grids = _state()
        found = Integers(model, lattice, grids, computing)
        found.refine(count)
        losses.append(_whole(model, lattice, grids, found, computing))
        states.append(model.state())
    assert losses[3] < losses[1] == losses[2] < losses[0]
    assert all(map(torch.equal, states[1], states[2]))
