"""How much the loss minds a change of the weights: its curvature by each unit's row of a matrix.

A unit's inputs x, a 1 for its bias among them, reach the loss through one number, u = w x. By
Gauss and Newton the curvature by w is the mean of s x x^T over a sample of points, where s is what
the loss minds a change of u there: for the squared error the squares of the outputs' derivatives by
u; for the bits, whose curvature is their Fisher information, the squares of the bits' own, taken
through the mean and through the scale. What two units do together is left out.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from siren_codec.field import BYPASS_SCALE
from siren_codec.fit import context
from siren_codec.fit.latents import Latents
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Model

__all__ = ["curvatures"]

_POINTS = 1 << 13
"""Of the picture, about, which stand for all."""
_SYMBOLS = 1 << 14
"""Of the grids, the same."""
_LEAST_ROWS = 4
"""Of a grid, if it has as many."""


def curvatures(model: Model, lattice: Lattice, latents: Latents, price: float) -> list[Tensor]:
    """Return the (units, columns, columns) curvatures of the loss by each matrix's rows.

    The loss is the mean squared error and, where there are grids, a price times their bits.
    """
    sums = [matrix.new_zeros(*matrix.shape, matrix.shape[1]) for matrix in model.matrices]
    sample = _thinned(lattice)
    for tile in sample.tiles():
        weights = None
        if sample.weights is not None:
            weights = sample.weights[:, tile.rows, tile.columns].reshape(sample.channels, -1)
        _add(
            sums[: model.depth],
            *_by_siren(model, tile.inputs(latents.levels()), weights),
            scale=2 / sample.samples,
        )
    if price:
        for grid, inputs, symbols, count in _symbols(model, latents):
            _add(
                sums[model.depth :],
                *_by_context(model, grid, inputs, symbols),
                scale=price * math.log(2) * count / len(symbols),
            )
    return sums


_Sensitive = tuple[Sequence[Tensor], Sequence[Tensor]]
"""For each layer its (columns, points) inputs, and by its (units, points) sums the s of above."""


@torch.no_grad()
def _add(
    sums: Sequence[Tensor], inputs: Sequence[Tensor], minds: Sequence[Tensor], scale: float
) -> None:
    """Add up what the points of a part say."""
    for total, x, of_units in zip(sums, inputs, minds, strict=True):
        for unit, weights in zip(total, of_units, strict=True):
            unit.addmm_(x * weights, x.T, alpha=scale)


def _thinned(lattice: Lattice) -> Lattice:
    """Return the lattice of every n-th row and column."""
    stride = max(1, round(math.sqrt(lattice.points / _POINTS)))
    assert lattice.target is not None
    rows = slice(min(stride // 2, len(lattice.ys) - 1), None, stride)
    columns = slice(min(stride // 2, len(lattice.xs) - 1), None, stride)
    return Lattice(
        lattice.xs[columns],
        lattice.ys[rows],
        width=lattice.width,
        height=lattice.height,
        levels=lattice.levels,
        device=lattice.device,
        target=lattice.target[:, rows, columns],
        weights=None if lattice.weights is None else lattice.weights[:, rows, columns],
    )


@torch.no_grad()
def _by_siren(model: Model, inputs: Tensor, weights: Tensor | None) -> _Sensitive:
    """Return what each layer sees, and the squares of the outputs' derivatives, as they weigh."""
    matrices = model.matrices[: model.depth]
    seen, slopes, hidden = [], [], inputs
    for matrix, omega in zip(matrices, model.architecture.omegas, strict=False):
        seen.append(_with_one(hidden))
        angle = omega * (matrix @ seen[-1])
        hidden = torch.sin(angle)
        slopes.append(torch.cos(angle).mul_(omega))
    bypass = [inputs * BYPASS_SCALE] if model.architecture.grids else []
    seen.append(_with_one(hidden, *bypass))
    channels = len(matrices[-1])
    each = torch.eye(channels)[:, :, None].to(inputs).expand(-1, -1, inputs.shape[1])
    if weights is not None:
        each = each * weights.sqrt()
    return seen, _squares(matrices, slopes, list(each))


def _symbols(model: Model, latents: Latents) -> Iterator[tuple[int, Tensor, Tensor, int]]:
    """Yield each grid's number, some symbols' contexts, these symbols, and how many there are."""
    stride = max(1, round(len(latents.flat) / _SYMBOLS))
    grids = [grid for level in latents.levels() for grid in level]
    for number, grid in enumerate(grids):
        every = max(1, min(stride, len(grid) // _LEAST_ROWS))
        rows = range(every // 2, len(grid), every)
        padded, neighbours = context.pad(grid), model.architecture.neighbours
        sources = model.architecture.context_sources[number]
        near = [context.contexts(padded, row, row + 1, neighbours) for row in rows]
        far = [context.seen_elsewhere(grids, sources, row, row + 1, grid.shape[1]) for row in rows]
        inputs = torch.cat([torch.cat(near, 1), torch.cat(far, 1)])
        yield number, inputs, grid[rows.start :: every].reshape(-1), grid.numel()


@torch.no_grad()
def _by_context(model: Model, grid: int, inputs: Tensor, symbols: Tensor) -> _Sensitive:
    """Return what each layer sees, and the squares of the bits' derivatives."""
    matrices = model.matrices[model.depth :]
    biases = inputs.new_zeros(model.architecture.grids, len(symbols))
    biases[grid] = 1
    seen, slopes = [torch.cat([inputs, biases])], []
    for matrix in matrices[:-1]:
        hidden = torch.relu(matrix @ seen[-1])
        slopes.append((hidden > 0).to(hidden))
        bypass = [inputs] if len(slopes) == len(matrices) - 1 else []
        seen.append(_with_one(hidden, *bypass))
    of_mean, of_scale = context.slopes(matrices[-1] @ seen[-1], symbols)
    nothing = torch.zeros_like(of_mean)
    each = [torch.stack([of_mean, nothing]), torch.stack([nothing, of_scale])]
    return seen, _squares(matrices, slopes, each)


def _with_one(*inputs: Tensor) -> Tensor:
    """Return what a layer sees: its inputs, one after the other, and a 1 for its bias."""
    return torch.cat([*inputs, torch.ones_like(inputs[0][:1])])


def _squares(
    matrices: Sequence[Tensor], slopes: Sequence[Tensor], outputs: Sequence[Tensor]
) -> list[Tensor]:
    """Return for each layer the sum of the squares of derivatives by its (units, points) sums.

    `outputs` are the derivatives by the last layer's, `slopes` those of the hidden units.
    """
    found = [torch.zeros_like(x) for x in (*slopes, outputs[0])]
    for by in outputs:
        found[-1] += by.square()
        for layer in reversed(range(len(slopes))):
            units = len(slopes[layer])
            by = (matrices[layer + 1][:, :units].T @ by).mul_(slopes[layer])
            found[layer] += by.square()
    return found
