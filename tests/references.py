"""What the fit computes in parts, by plain formulas over the whole."""

from collections.abc import Sequence

import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.stream.latents import NEIGHBOURS

__all__ = ["reference_bits"]


def reference_bits(
    grids: Sequence[Tensor], index: int, matrices: Sequence[Tensor], architecture: Architecture
) -> Tensor:
    """Return the bits of one of all (rows, columns) grids, by the formulas of `docs/FORMAT.md`.

    In float64, and for autograd: cumulative distributions, without the fit's shortcuts. No gradient
    goes to other grids.
    """
    grid, neighbours = grids[index], architecture.neighbours
    rows, columns = grid.shape
    padded = torch.nn.functional.pad(grid.double(), (8, 8, 8, 8))
    seen = torch.stack(
        [
            padded[8 + row : 8 + row + rows, 8 + column : 8 + column + columns]
            for row, column in NEIGHBOURS[:neighbours]
        ],
        dim=-1,
    )
    seen = torch.cat([seen, _elsewhere(grids, index, architecture)], dim=-1)
    first, second, last = (matrix.double() for matrix in matrices)
    count = seen.shape[-1]
    hidden = torch.relu(seen @ first[:, :count].T + first[:, count + index])
    hidden = torch.relu(hidden @ second[:, :-1].T + second[:, -1])
    hidden = torch.cat([hidden, seen], dim=-1)
    mean, log2_scale = (hidden @ last[:, :-1].T + last[:, -1]).unbind(-1)
    scale = 2 ** log2_scale.clamp(-5, 4)
    below, above = (_cumulative((grid + half - mean) / scale) for half in (-0.5, 0.5))
    return -torch.log2((above - below).clamp_min(2.0**-24)).sum()


def _elsewhere(grids: Sequence[Tensor], index: int, architecture: Architecture) -> Tensor:
    """Return the (rows, columns, 4) of other grids that a grid is predicted from."""
    out = torch.zeros(*grids[index].shape, 4, dtype=torch.float64)
    for plane, source in zip(out.unbind(-1), architecture.context_sources[index], strict=True):
        if source is None:
            continue
        other, octaves = source
        for row in range(plane.shape[0]):
            for column in range(plane.shape[1]):
                plane[row, column] = grids[other].detach()[row >> octaves, column >> octaves]
    return out


def _cumulative(z: Tensor) -> Tensor:
    """Return the cumulative distribution of a Laplace of mean 0 and scale 1."""
    tail = torch.exp(-z.abs()) / 2
    return torch.where(z < 0, tail, 1 - tail)
