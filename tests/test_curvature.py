"""The curvature of the loss by the rows of a model's matrices."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd.functional import hessian

from siren_codec.field import Architecture
from siren_codec.fit import context, start
from siren_codec.fit.curvature import curvatures
from siren_codec.fit.latents import Latents
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Model, siren
from siren_codec.fit.samples import averaged

GRID = Architecture(3, 2, 6, 3.0, 10.0, (1, 0, 2), neighbours=5, context_features=4)
PRICE = 0.01


def _state() -> tuple[Model, Lattice, Latents]:
    """Return a random model and grids, and the lattice of the picture that they make."""
    model = start.siren(GRID, seed=0, device="cpu")
    generator = torch.Generator().manual_seed(0)
    for matrix in model.matrices[model.depth :]:
        matrix.data += 0.3 * torch.randn(matrix.shape, generator=generator)
    latents = Latents.of_picture(GRID, 9, 7, "cpu")
    latents.flat.copy_(2 * torch.randn(latents.flat.shape, generator=generator)).round_()
    lattice = averaged(torch.zeros(3, 7, 9), 0, levels=3)
    assert lattice.target is not None
    lattice.target.copy_(_picture(model.state(), lattice, latents))
    return model, lattice, latents


def _picture(matrices: list[Tensor], lattice: Lattice, latents: Latents) -> Tensor:
    (tile,) = lattice.tiles()
    return siren(GRID, matrices[:3], tile.inputs(latents.levels())).view(3, 7, 9)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_error_has_its_own_curvature_where_there_is_none(weighted: bool) -> None:
    """At a minimum of 0, Gauss and Newton leave nothing out but what units do together."""
    model, lattice, latents = _state()
    target = lattice.target
    assert target is not None
    if weighted:
        lattice.weights = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(1))
    found = curvatures(model, lattice, latents, 0.0)
    for index, unit in [(0, 0), (0, 5), (1, 2), (2, 1)]:
        matrices = model.state()

        def error(row: Tensor, index: int = index, unit: int = unit) -> Tensor:
            moved = list(matrices)  # noqa: B023
            moved[index] = torch.cat([moved[index][:unit], row[None], moved[index][unit + 1 :]])
            squares = (_picture(moved, lattice, latents) - target).square()
            return (squares if lattice.weights is None else squares * lattice.weights).mean()

        exact = hessian(error, matrices[index][unit])  # type: ignore[no-untyped-call]
        assert torch.allclose(found[index][unit], exact, rtol=1e-3, atol=1e-5)


def test_the_bits_have_their_fisher_information() -> None:
    model, lattice, latents = _state()
    found = curvatures(model, lattice, latents, PRICE)[model.depth :]
    expected = [torch.zeros_like(x) for x in found]
    matrices = model.matrices[model.depth :]
    grids = [grid for level in latents.levels() for grid in level]
    for number, grid in enumerate(grids):
        near = context.contexts(context.pad(grid), 0, len(grid), GRID.neighbours)
        sources = GRID.context_sources[number]
        far = context.seen_elsewhere(grids, sources, 0, len(grid), grid.shape[1])
        inputs = torch.cat([near, far])
        for x, symbol in zip(inputs.T[:, :, None], grid.reshape(-1, 1), strict=True):
            first = matrices[0][:, [*range(len(inputs)), len(inputs) + number]]
            hidden = torch.relu(first[:, :-1] @ x + first[:, -1:])
            hidden = torch.relu(matrices[1][:, :-1] @ hidden + matrices[1][:, -1:])
            outputs = matrices[2][:, :-1] @ torch.cat([hidden, x]) + matrices[2][:, -1:]
            for output, slope in zip(outputs, context.slopes(outputs, symbol), strict=True):
                by = torch.autograd.grad(output, matrices, slope, retain_graph=True)
                for total, rows in zip(expected, by, strict=True):
                    total += PRICE * math.log(2) * torch.einsum("ui,uj->uij", rows, rows)
    for mine, exact in zip(found, expected, strict=True):
        assert torch.allclose(mine, exact, rtol=1e-3, atol=1e-6)
        assert np.linalg.eigvalsh(mine.double().numpy()).min() > -1e-5


def test_a_sample_stands_for_a_large_picture() -> None:
    model, _, _ = _state()
    traces = []
    for scale in (1, 4):
        width, height = 100 * scale, 80 * scale
        latents = Latents.of_picture(GRID, width, height, "cpu")
        lattice = averaged(torch.zeros(3, height, width), 0, levels=3)
        found = curvatures(model, lattice, latents, PRICE / scale**2)
        traces.append([float(x.diagonal(dim1=1, dim2=2).sum()) for x in found])
    small, large = traces
    assert np.allclose(small, large, rtol=0.1)
