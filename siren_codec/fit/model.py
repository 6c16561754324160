"""The torch twin of Field: real weights while they are fitted, and the same function of them."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from siren_codec.field import Architecture, Field, Layer, QuantisedTensor
from siren_codec.field.evaluate import Float64, Sampler, Samples
from siren_codec.fit.lattice import Lattice

__all__ = ["Exponents", "Model", "columns_of", "from_field", "sampler", "siren"]

Exponents = Sequence[tuple[int, int]]
"""For each matrix the exponents of its weight's and of its bias's step."""


class Model:
    """A SIREN's and a context network's matrices, each [weight | bias] of (outputs, columns).

    Every bias is a column; the context network's first matrix has one for each grid. The first
    `len(architecture.shapes)` matrices are the SIREN's.
    """

    def __init__(self, architecture: Architecture, matrices: Sequence[Tensor]) -> None:
        self.architecture = architecture
        self.matrices = [matrix.detach().clone().requires_grad_() for matrix in matrices]

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
    def effective(self, exponents: Exponents | None = None) -> list[Tensor]:
        """Return the matrices as they are used: rounded to their steps, with `exponents`.

        Gradients by these are taken for gradients by the real weights: straight through the
        rounding (Bengio et al. 2013, arXiv 1308.3432).
        """
        if exponents is None:
            return [matrix.detach().clone().requires_grad_() for matrix in self.matrices]
        rounded = []
        for index, (matrix, pair) in enumerate(zip(self.matrices, exponents, strict=True)):
            out = matrix.detach().clone()
            for part, exponent in zip(self.parts(index), pair, strict=True):
                step = 2.0**exponent
                out[:, part] = torch.round(out[:, part] / step) * step
            rounded.append(out.requires_grad_())
        return rounded

    def parts(self, index: int) -> tuple[slice, slice]:
        """Return the columns of a matrix that are its weight and those that are its bias."""
        width = columns_of(self.architecture)[index]
        return slice(0, width), slice(width, None)

    def quantised(self, exponents: Exponents) -> tuple[Layer, ...]:
        """Return the layers rounded to their steps, the SIREN's first."""
        layers = []
        for index, (matrix, (weight, bias)) in enumerate(
            zip(self.matrices, exponents, strict=True)
        ):
            real = matrix.detach().cpu().double().numpy()
            of_weight, of_bias = self.parts(index)
            biases = real[:, of_bias].T
            if index != self.depth:
                biases = biases[0]
            layers.append(Layer(quantise(real[:, of_weight], weight), quantise(biases, bias)))
        return tuple(layers)


def columns_of(architecture: Architecture) -> list[int]:
    """Return how many columns of each matrix are its weight; the others are biases."""
    return [n_in for _, n_in in architecture.shapes + architecture.context_shapes]


def siren(architecture: Architecture, matrices: Sequence[Tensor], inputs: Tensor) -> Tensor:
    """Return (channels, points) samples in [-1, 1], not clipped, at (inputs, points)."""
    hidden = inputs
    omegas = (*architecture.omegas, None)
    for matrix, omega in zip(matrices, omegas, strict=False):
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
    return Model(field.architecture, [*_matrices(field, device)])


def _matrices(field: Field, device: str) -> Iterator[Tensor]:
    for layer in field.layers + field.context:
        bias = np.atleast_2d(layer.bias.dequantise()).T
        matrix = np.concatenate([layer.weight.dequantise(), bias], axis=1)
        yield torch.tensor(matrix, dtype=torch.float32, device=device)


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
        out = torch.empty(field.channels, len(ys), len(xs))
        for tile in lattice.tiles:
            outputs = siren(field.architecture, model.matrices, tile.inputs(latents))
            planes = outputs.view(field.channels, len(tile.y), len(tile.x))
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
        np.sin(angle.detach().numpy(), out=out.numpy())
        return out

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *gradients: Tensor) -> Tensor:
        (angle,) = ctx.saved_tensors  # type: ignore[attr-defined]
        slope = torch.empty_like(angle)
        np.cos(angle.detach().numpy(), out=slope.numpy())
        return slope.mul_(gradients[0])


def _sine(angle: Tensor) -> Tensor:
    if angle.device.type == "cpu":
        return _NumpySine.apply(angle)  # type: ignore[no-any-return, no-untyped-call]
    return torch.sin(angle)
