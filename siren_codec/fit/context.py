"""The rate of the latent grids: the context network and its Laplace, differentiable."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from siren_codec.stream.latents import MARGIN, NEIGHBOURS

__all__ = ["bits", "contexts", "pad", "seen_elsewhere", "slopes", "spread"]

Sources = Sequence[tuple[int, int] | None]
"""As `Architecture.context_sources` has them."""

_LOG2_SCALES = (-5.0, 4.0)
_LEAST_PROBABILITY = 2.0**-24


def pad(grid: Tensor) -> Tensor:
    """Return a (rows, columns) grid among the zeros that its first neighbours see."""
    return torch.nn.functional.pad(grid, (MARGIN, MARGIN, MARGIN, 0))


def contexts(padded: Tensor, start: int, stop: int, neighbours: int) -> Tensor:
    """Return the (neighbours, symbols) of rows start..stop - 1 of a padded grid."""
    columns = padded.shape[1] - 2 * MARGIN
    out = padded.new_empty(neighbours, stop - start, columns)
    for plane, window in zip(out, _windows(padded, start, stop, neighbours), strict=True):
        plane.copy_(window)
    return out.view(neighbours, -1)


def seen_elsewhere(
    grids: Sequence[Tensor], sources: Sources, start: int, stop: int, columns: int
) -> Tensor:
    """Return the (sources, symbols) of other grids that rows start..stop - 1 are predicted from.

    They are seen as they are: no gradient goes back to them.
    """
    out = grids[0].new_zeros(len(sources), stop - start, columns)
    for plane, source in zip(out, sources, strict=True):
        if source is not None:
            index, octaves = source
            rows = torch.arange(start, stop, device=out.device) >> octaves
            places = torch.arange(columns, device=out.device) >> octaves
            plane.copy_(grids[index].detach()[rows[:, None], places])
    return out.view(len(sources), -1)


def spread(gradient: Tensor, columns: int) -> Tensor:
    """Return the gradient of the padded rows that a band saw, given that of its `contexts`."""
    planes = gradient.view(len(gradient), -1, columns)
    rows = planes.shape[1]
    out = gradient.new_zeros(rows + MARGIN, columns + 2 * MARGIN)
    for plane, window in zip(planes, _windows(out, 0, rows, len(planes)), strict=True):
        window.add_(plane)
    return out


def _windows(padded: Tensor, start: int, stop: int, neighbours: int) -> Iterator[Tensor]:
    columns = padded.shape[1] - 2 * MARGIN
    for row, column in NEIGHBOURS[:neighbours]:
        left = MARGIN + column
        yield padded[MARGIN + row + start : MARGIN + row + stop, left : left + columns]


def bits(context: Sequence[Tensor], grid: int, inputs: Tensor, symbols: Tensor) -> Tensor:
    """Return the bits of all `symbols` (symbols,) together, given their (inputs, symbols).

    The context network's first matrix is [weight | a bias for each grid]; its last one sees the
    hidden features and then the inputs.
    """
    count = len(inputs)
    first, second, last = context
    bias = first[:, count + grid, None]
    hidden = torch.relu(torch.addmm(bias, first[:, :count], inputs))
    hidden = torch.relu(torch.addmm(second[:, -1:], second[:, :-1], hidden))
    hidden = torch.cat([hidden, inputs])
    mean, log2_scale = torch.addmm(last[:, -1:], last[:, :-1], hidden)
    return _LaplaceBits.apply(symbols, mean, log2_scale)  # type: ignore[no-any-return, no-untyped-call]


@torch.enable_grad()
def slopes(outputs: Tensor, symbols: Tensor) -> Tensor:
    """Return the derivatives of each symbol's bits by its (2, symbols) mean and log2 scale."""
    mean, log2_scale = outputs.detach().clone().requires_grad_()
    bits = _LaplaceBits.apply(symbols, mean, log2_scale)  # type: ignore[no-untyped-call]
    return torch.stack(torch.autograd.grad(bits, [mean, log2_scale]))


class _LaplaceBits(torch.autograd.Function):
    """-log2 of the mass that a Laplace of a mean and a scale has within 1/2 of each symbol.

    With a = |z - m|, e1 = exp(-|a - 1/2| / b), e2 = exp(-(a + 1/2) / b) and s = -1 for a < 1/2,
    else 1, the mass is (s e1 - e2) / 2, and 1 more for a < 1/2.
    """

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx, symbols: Tensor, mean: Tensor, log2_scale: Tensor
    ) -> Tensor:
        low, high = _LOG2_SCALES
        clamped = log2_scale.clamp(low, high)
        inverse = torch.exp2(-clamped)
        offset = symbols - mean
        a = offset.abs()
        near, far = (a - 0.5).abs_(), a + 0.5
        e1, e2 = torch.exp(near.mul(inverse).neg_()), torch.exp(far.mul(inverse).neg_())
        inside = (a < 0.5).to(a.dtype)
        sign = 1 - 2 * inside
        signed = e1 * sign
        mass = (signed - e2).mul_(0.5).add_(inside).clamp_min_(_LEAST_PROBABILITY)
        # d bits / d mass, then d mass / d a and d mass / d log2 b.
        outer = (-0.5 / math.log(2)) / mass
        by_symbol = (e2 - e1).mul_(inverse).mul_(outer).mul_(offset.sign())
        by_scale = (signed * near).sub_(e2 * far).mul_(inverse).mul_(outer).mul_(math.log(2))
        # Beyond the range of scales, follow only what leads back into it.
        outwards = (log2_scale - clamped) * by_scale < 0
        by_scale.masked_fill_(outwards, 0)
        ctx.save_for_backward(by_symbol, by_scale)
        return -torch.log2(mass).sum()

    @staticmethod
    def backward(
        ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        by_symbol, by_scale = ctx.saved_tensors  # type: ignore[attr-defined]
        (gradient,) = gradients
        by_symbol = by_symbol * gradient
        return by_symbol, -by_symbol, by_scale * gradient
