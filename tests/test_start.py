"""Where a fit begins: random networks."""

import math

import numpy as np
from small_fits import GRID

from siren_codec.field import Architecture
from siren_codec.fit import start


def test_siren_starts_as_its_paper_says() -> None:
    architecture = Architecture(3, 3, 64, first_omega_0=30.0, omega_0=20.0)
    matrices = start.siren(architecture, seed=1, device="cpu").matrices
    layers = [matrix.detach().numpy() for matrix in matrices]
    bounds = [1 / 2, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20]
    for layer, bound in zip(layers, bounds, strict=True):
        assert 0.9 * bound < np.abs(layer[:, :-1]).max() <= bound
    assert [layer.shape for layer in layers] == [(64, 3), (64, 65), (64, 65), (3, 65)]


def test_a_context_network_starts_as_a_laplace_of_scale_1() -> None:
    """Its biases are 0, one for each grid in the first matrix, and its outputs nearly so."""
    found = start.siren(GRID, seed=1, device="cpu")
    first, second, last = (matrix.detach() for matrix in found.matrices[found.depth :])
    assert [tuple(matrix.shape) for matrix in (first, second, last)] == [(8, 21), (8, 9), (2, 25)]
    for matrix, n_in, share in ((first, 16, 1), (second, 8, 1), (last, 8, 0.1)):
        bound = share * math.sqrt(6 / n_in)
        assert 0.8 * bound < matrix[:, :n_in].abs().max() <= bound
        assert matrix[:, n_in:].abs().max() == 0
