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
        units=(lattice.units[0][columns], lattice.units[1][rows]),
    )


def _by_siren(model: Model, inputs: Tensor, weights: Tensor | None) -> _Sensitive:
    """Return what each layer sees, and the squares of the outputs' derivatives, as they weigh."""
    seen, sums, hidden = [], [], inputs.requires_grad_()
    bypass = [inputs * BYPASS_SCALE] if model.architecture.grids else []
    for matrix, omega in zip(model.matrices, (*model.architecture.omegas, None), strict=False):
        seen.append(_with_one(hidden, *(bypass if omega is None else [])))
        sums.append(matrix.detach() @ seen[-1])
        hidden = sums[-1] if omega is None else torch.sin(omega * sums[-1])
    ones = torch.ones_like(hidden) if weights is None else weights.sqrt()
    return seen, _squares(sums, list(zip(hidden, ones, strict=True)))


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


def _by_context(model: Model, grid: int, inputs: Tensor, symbols: Tensor) -> _Sensitive:
    """Return what each layer sees, and the squares of the bits' derivatives."""
    first, *others = model.matrices[model.depth :]
    biases = inputs.new_zeros(model.architecture.grids, len(symbols))
    biases[grid] = 1
    seen = [torch.cat([inputs, biases]).requires_grad_()]
    sums = [first.detach() @ seen[0]]
    for matrix in others:
        bypass = [inputs] if matrix is others[-1] else []
        seen.append(_with_one(torch.relu(sums[-1]), *bypass))
        sums.append(matrix.detach() @ seen[-1])
    slopes = context.slopes(sums[-1].detach(), symbols)
    return seen, _squares(sums, list(zip(sums[-1], slopes, strict=True)))


def _with_one(*inputs: Tensor) -> Tensor:
    """Return what a layer sees: its inputs, one after the other, and a 1 for its bias."""
    return torch.cat([*inputs, torch.ones_like(inputs[0][:1])])


def _squares(sums: Sequence[Tensor], outputs: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """Return the squares of the derivatives of outputs, each times its slope, by the sums."""
    found = [torch.zeros_like(x) for x in sums]
    for output, slope in outputs:
        slopes = torch.autograd.grad(output, sums, slope, retain_graph=True)
        for total, by in zip(found, slopes, strict=True):
            total += by.square()
    return found
