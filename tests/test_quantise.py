"""Real weights -> integers: the search for steps."""

import math

import torch
from small_fits import SMALL, smooth

from siren_codec.fit import start
from siren_codec.fit.engine import Grids, engine
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.samples import averaged
from siren_codec.stream.weights_by_range import cost


def _points() -> Lattice:
    """Return a smooth picture of 24 x 16 samples."""
    return averaged(torch.from_numpy(smooth(24, 16)), 0, levels=0)


def test_steps_trade_rate_for_distortion() -> None:
    """A higher price of a bit gives coarser steps, and the search leaves the weights alone."""
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points()

    def choose(lambda_: float) -> list[tuple[int, int]]:
        return choose_exponents(
            network,
            lambda: computing.loss(network, points, Grids.of([])).objective,
            lambda *_: lambda_,
        )

    with engine("cpu") as computing:
        before = network.state()
        free, dear = choose(1e-12), choose(1e3)
    assert all(
        fine <= coarse
        for layers in zip(free, dear, strict=True)
        for fine, coarse in zip(*layers, strict=True)
    )
    assert sum(map(sum, dear)) > sum(map(sum, free)) + 3
    for matrix, saved in zip(network.matrices, before, strict=True):
        assert torch.equal(matrix, saved)


def test_steps_keep_within_the_bits_allowed() -> None:
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points()

    def spend(most_bits: float) -> float:
        with engine("cpu") as computing:
            exponents = choose_exponents(
                network,
                lambda: computing.loss(network, points, Grids.of([])).objective,
                lambda *_: 1e-12,
                most_bits,
            )
        layers = network.quantised(exponents)
        return sum(cost(layer.weight.values) + cost(layer.bias.values) for layer in layers)

    free = spend(math.inf)
    for share in (0.97, 0.92):
        assert 0.6 * share * free < spend(share * free) <= share * free
