"""The torch twin of Field: real weights while they are fitted, and the same function of them."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from siren_codec.errors import FitError
from siren_codec.field import BYPASS_SCALE, Architecture, Field, Layer, QuantisedTensor
from siren_codec.field.evaluate import Float64, Sampler, Samples
from siren_codec.fit.lattice import Lattice
from siren_codec.stream.prior import SPREAD_OF_ONE, Expected

__all__ = [
    "Exponents",
    "Model",
    "columns_of",
    "from_field",
    "grown",
    "quantise",
    "sampler",
    "siren",
]

_LEAST_SCALE = 0.3
"""Of a tensor's differences, in spreads: below it they cost next to nothing."""
_ROUNDNESS = 0.3
"""Where the slope of the bits bends, in scales."""

Exponents = Sequence[tuple[int, int]]
"""For each matrix the exponents of its weight's and of its bias's step."""


class Model:
    """A SIREN's and a context network's matrices, each [weight | bias] of (outputs, columns).

    Every bias is a column; the context network's first matrix has one for each grid. The first
    `len(architecture.shapes)` matrices are the SIREN's. With a prior, `expected` is what it says of
    all tensors in the order of the file, and what is rounded are the differences from it.
    """

    def __init__(
        self,
        architecture: Architecture,
        matrices: Sequence[Tensor],
        expected: Sequence[Expected] | None = None,
    ) -> None:
        self.architecture = architecture
        self.matrices = [matrix.detach().clone().requires_grad_() for matrix in matrices]
        self.expected = expected
        self._origins = [torch.zeros_like(matrix) for matrix in self.matrices]
        if expected:
            self.expect(expected)

    @classmethod
    def of_prior(
        cls, architecture: Architecture, expected: Sequence[Expected], device: str
    ) -> "Model":
        """Return the networks that a prior expects."""
        matrices = _joined([x.tensor.dequantise() for x in expected])
        return cls(architecture, [matrix.to(device) for matrix in matrices], expected)

    def expect(self, expected: Sequence[Expected]) -> None:
        """Let another prior say what is expected; the weights stay."""
        self.expected = expected
        found = _joined([x.tensor.dequantise() for x in expected])
        self._origins = [m.to(o) for m, o in zip(found, self._origins, strict=True)]
        spreads = [2.0 ** ((x.spreads.astype(float) - SPREAD_OF_ONE) / 4) for x in expected]
        self._spread = _flat(_joined(spreads)).to(self._origins[0])
        self._origin = _flat(self._origins)
        numbers = [torch.zeros(matrix.shape, dtype=torch.int64) for matrix in self._origins]
        for index, tensors in enumerate(numbers):
            for offset, part in enumerate(self.parts(index)):
                tensors[:, part] = 2 * index + offset
        self._tensor = _flat(numbers).to(self._origin.device)
        self._sizes = torch.bincount(self._tensor, minlength=2 * len(numbers)).to(self._origin)

    @torch.no_grad()
    def rebase(self, expected: Sequence[Expected], growth: float) -> None:
        """Keep the differences, from another prior whose grids' columns are so much larger."""
        before = self._origins
        self.expect(expected)
        for index, (matrix, old, new) in enumerate(
            zip(self.matrices, before, self._origins, strict=True)
        ):
            moved = (matrix - old) * grown(self.architecture, index, growth).to(old)
            matrix.copy_(new + moved)

    @property
    def depth(self) -> int:
        """The number of the SIREN's matrices."""
        return len(self.architecture.shapes)

    def state(self) -> list[Tensor]:
        """Return a copy of the weights."""
        return [matrix.detach().clone() for matrix in self.matrices]

    @torch.no_grad()
    def restore(self, state: Sequence[Tensor]) -> None:
        """Take back the weights that `state` returned."""
        for matrix, saved in zip(self.matrices, state, strict=True):
            matrix.copy_(saved)

    @torch.no_grad()
    def add_rate(self, price: float) -> None:
        """Add to the gradients what the differences from the prior cost at a price for a bit.

        A Laplace of scale b costs |d| / (b ln 2) bits for a difference d, and of that this is the
        slope, made smooth around 0. b is as much larger than the prior's spread as a tensor's
        differences are in the mean, for its shift in the file says so (`stream.weights`).
        """
        relative = (_flat(self.matrices) - self._origin) / self._spread
        means = torch.zeros_like(self._sizes).index_add_(0, self._tensor, relative.abs())
        scales = means.div_(self._sizes).clamp_min_(_LEAST_SCALE)[self._tensor]
        relative /= scales
        slope = relative / (relative.square() + _ROUNDNESS**2).sqrt_()
        slope.div_(self._spread * scales).mul_(price / math.log(2))
        parts = torch.split(slope, [matrix.numel() for matrix in self.matrices])
        for matrix, part in zip(self.matrices, parts, strict=True):
            assert matrix.grad is not None
            matrix.grad += part.view_as(matrix)

    @torch.no_grad()
    def effective(self, exponents: Exponents | None = None) -> list[Tensor]:
        """Return the matrices as they are used: rounded to their steps, with `exponents`.

        Gradients by these are taken for gradients by the real weights: straight through the
        rounding (Bengio et al. 2013, arXiv 1308.3432).
        """
        if exponents is None:
            return [matrix.detach().clone().requires_grad_() for matrix in self.matrices]
        rounded = []
        for index, (matrix, pair) in enumerate(zip(self.matrices, exponents, strict=True)):
            origin = self._origins[index]
            out = matrix.detach() - origin
            for part, exponent in zip(self.parts(index), pair, strict=True):
                step = 2.0**exponent
                out[:, part] = torch.round(out[:, part] / step) * step
            rounded.append(out.add_(origin).requires_grad_())
        return rounded

    def moved(self, index: int) -> Float64:
        """Return a matrix's differences from the prior, or from 0 without one."""
        moved = self.matrices[index].detach() - self._origins[index]
        found: Float64 = moved.cpu().double().numpy()
        return found

    def slope(self, index: int) -> Float64:
        """Return the gradient that a matrix holds."""
        gradient = self.matrices[index].grad
        assert gradient is not None
        slope: Float64 = gradient.cpu().double().numpy()
        return slope

    @torch.no_grad()
    def move(self, index: int, moved: Float64) -> None:
        """Let a matrix's differences from the prior be these."""
        matrix, origin = self.matrices[index], self._origins[index]
        matrix.copy_(origin + torch.from_numpy(moved).to(origin))

    def parts(self, index: int) -> tuple[slice, slice]:
        """Return the columns of a matrix that are its weight and those that are its bias."""
        width = columns_of(self.architecture)[index]
        return slice(0, width), slice(width, None)

    def quantised(self, exponents: Exponents) -> tuple[Layer, ...]:
        """Return the layers rounded to their steps, the SIREN's first."""
        return tuple(
            Layer(self._quantised(index, 0, pair[0]), self._quantised(index, 1, pair[1]))
            for index, pair in enumerate(exponents)
        )

    def _quantised(self, index: int, part: int, exponent: int) -> QuantisedTensor:
        integers = quantise(self.differences(index, part), exponent)
        if not self.expected:
            return integers
        expected = self.expected[2 * index + part].tensor
        moved = integers.values.astype(np.int64) << (exponent - expected.exponent)
        values = expected.values + moved
        if np.abs(values).max() > np.iinfo(np.int32).max:
            raise FitError("the weights grew beyond what a file can hold")
        return QuantisedTensor(values.astype(np.int32), expected.exponent)

    def differences(self, index: int, part: int) -> Float64:
        """Return a tensor's differences from the prior, or from 0 without one, in its shape.

        `part` is 0 for the weight of matrix `index`, 1 for its bias.
        """
        real = self.moved(index)[:, self.parts(index)[part]]
        if part == 0:
            return real
        return real.T if index == self.depth else real[:, 0]


def columns_of(architecture: Architecture) -> list[int]:
    """Return how many columns of each matrix are its weight; the others are biases."""
    return [n_in for _, n_in in architecture.shapes + architecture.context_shapes]


def grown(architecture: Architecture, index: int, growth: float) -> Tensor:
    """Return (columns,) factors of a matrix: the growth where it meets the grids, else 1."""
    found = torch.ones((*architecture.shapes, *architecture.context_shapes)[index][1] + 1)
    if index >= len(architecture.shapes):
        return found[:1]
    if index in (0, architecture.hidden_layers):
        found[-1 - architecture.grids : -1] = growth
    return found


def siren(architecture: Architecture, matrices: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Return (channels, points) samples in [-1, 1], not clipped, at (inputs, points)."""
    hidden = inputs
    omegas = (*architecture.omegas, None)
    for matrix, omega in zip(matrices, omegas, strict=False):
        if omega is None and architecture.grids:
            hidden = torch.cat([hidden, inputs * BYPASS_SCALE])
        scaled = matrix if omega is None else matrix * omega
        hidden = torch.addmm(scaled[:, -1:], scaled[:, :-1], hidden)
        if omega is not None:
            hidden = _sine(hidden)
    return hidden


def quantise(real: Float64, exponent: int) -> QuantisedTensor:
    """Return the nearest integers of a tensor at a step of 2**exponent."""
    return QuantisedTensor(np.rint(np.ldexp(real, -exponent)).astype(np.int32), exponent)


def from_field(field: Field, device: str) -> Model:
    """Return the Model of a Field's quantised weights."""
    matrices = _joined([tensor.dequantise() for tensor in field.tensors()])
    return Model(field.architecture, [matrix.to(device) for matrix in matrices])


def _flat(matrices: Sequence[Tensor]) -> Tensor:
    return torch.cat([matrix.detach().reshape(-1) for matrix in matrices])


def _joined(tensors: Sequence[Float64]) -> list[Tensor]:
    """Return matrices [weight | bias] of tensors in the order of the file."""
    return [
        torch.tensor(np.concatenate([weight, np.atleast_2d(bias).T], axis=1), dtype=torch.float32)
        for weight, bias in zip(tensors[::2], tensors[1::2], strict=True)
    ]


def sampler(field: Field, device: str) -> Sampler:
    """Return a sampler for `Field.render` that evaluates the picture with torch on a device."""
    model = from_field(field, device)
    latents = [torch.tensor(level, dtype=torch.float32, device=device) for level in field.latents]

    @torch.no_grad()
    def sample(xs: Float64, ys: Float64) -> Samples:
        lattice = Lattice(
            xs,
            ys,
            width=field.width,
            height=field.height,
            levels=len(latents),
            device=device,
        )
        out = torch.empty(field.architecture.channels, len(ys), len(xs))
        for tile in lattice.tiles():
            outputs = siren(field.architecture, model.matrices, tile.inputs(latents))
            planes = outputs.view(len(out), len(tile.y), len(tile.x))
            out[:, tile.rows, tile.columns] = planes.cpu()
        samples: Samples = ((out + 1) * (field.peak / 2)).numpy()
        return samples

    return sample


class _NumpySine(torch.autograd.Function):
    """sin on the CPU: numpy's is 2.6 times as fast as torch's, and takes most of a step."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, angle: Tensor) -> Tensor:
        ctx.save_for_backward(angle)
        out = torch.empty_like(angle)
        with np.errstate(invalid="ignore"):  # What is not finite is told by the loss.
            np.sin(angle.detach().numpy(), out=out.numpy())
        return out

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (angle,) = ctx.saved_tensors  # type: ignore[attr-defined]
        slope = torch.empty_like(angle)
        with np.errstate(invalid="ignore"):
            np.cos(angle.detach().numpy(), out=slope.numpy())
        return slope.mul_(gradients[0])


def _sine(angle: Tensor) -> Tensor:
    if angle.device.type == "cpu":
        return _NumpySine.apply(angle)  # type: ignore[no-any-return, no-untyped-call]
    return torch.sin(angle)
