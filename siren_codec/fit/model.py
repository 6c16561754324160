"""The torch twin of Field: real weights while they are fitted, and the same function of them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from siren_codec.field import Architecture, Field, Layer, QuantisedTensor
from siren_codec.field.evaluate import Float64, Sampler, Samples
from siren_codec.field.kernel import cell_centres, unit_coordinates

__all__ = ["Exponents", "Model", "coordinates", "from_field", "sampler"]

Exponents = Sequence[tuple[int, int]]
"""For each layer the exponents of its weight's and of its bias's step."""


class Model:
    """A SIREN whose layers are matrices [weight | bias] of (outputs, inputs + 1).

    Activations are laid out as (features, points): on a CPU a plain matrix product then reads and
    writes memory in order.
    """

    def __init__(self, architecture: Architecture, layers: Sequence[Tensor]) -> None:
        self.architecture = architecture
        self.layers = [layer.detach().clone().requires_grad_() for layer in layers]

    def __call__(self, inputs: Tensor, exponents: Exponents | None = None) -> Tensor:
        """Return (channels, points) samples in [-1, 1], not clipped, at (inputs, points).

        With `exponents` the weights are rounded to their steps, gradients passing straight
        through the rounding (Bengio et al. 2013, arXiv 1308.3432).
        """
        hidden = inputs
        layers = self.layers if exponents is None else self._rounded(exponents)
        omegas = (*self.architecture.omegas, None)
        for layer, omega in zip(layers, omegas, strict=True):
            scaled = layer if omega is None else layer * omega
            hidden = torch.addmm(scaled[:, -1:], scaled[:, :-1], hidden)
            if omega is not None:
                hidden = _sine(hidden)
        return hidden

    def state(self) -> list[Tensor]:
        """Return a copy of the weights."""
        return [layer.detach().clone() for layer in self.layers]

    @torch.no_grad()
    def restore(self, state: Sequence[Tensor]) -> None:
        """Take back the weights that `state` returned."""
        for layer, saved in zip(self.layers, state, strict=True):
            layer.copy_(saved)

    def quantised(self, exponents: Exponents) -> tuple[Layer, ...]:
        """Return the layers rounded to their steps."""
        layers = []
        for layer, (weight, bias) in zip(self.layers, exponents, strict=True):
            real = layer.detach().cpu().double().numpy()
            layers.append(Layer(quantise(real[:, :-1], weight), quantise(real[:, -1], bias)))
        return tuple(layers)

    def _rounded(self, exponents: Exponents) -> list[Tensor]:
        rounded = []
        for layer, (weight, bias) in zip(self.layers, exponents, strict=True):
            steps = layer.new_full((layer.shape[1],), 2.0**weight)
            steps[-1] = 2.0**bias
            error = (torch.round(layer / steps) * steps - layer).detach()
            rounded.append(layer + error)
        return rounded


def quantise(real: Float64, exponent: int) -> QuantisedTensor:
    """Return the nearest integers of a tensor at a step of 2**exponent."""
    return QuantisedTensor(np.rint(np.ldexp(real, -exponent)).astype(np.int32), exponent)


def coordinates(width: int, height: int, columns: int, rows: int, device: str) -> Tensor:
    """Return (2, rows * columns) unit coordinates of the centres of a picture's equal cells."""
    x = unit_coordinates(cell_centres(0, width, columns), width)
    y = unit_coordinates(cell_centres(0, height, rows), height)
    grid = np.stack(np.meshgrid(x, y)).reshape(2, -1)
    return torch.tensor(grid, dtype=torch.float32, device=device)


def from_field(field: Field, device: str) -> Model:
    """Return the Model of a Field's quantised weights."""
    layers = [
        np.column_stack([layer.weight.dequantise(), layer.bias.dequantise()])
        for layer in field.layers
    ]
    return Model(
        field.architecture,
        [torch.tensor(layer, dtype=torch.float32, device=device) for layer in layers],
    )


def sampler(field: Field, device: str) -> Sampler:
    """Return a sampler for `Field.render` that evaluates the picture with torch on a device."""
    model = from_field(field, device)

    @torch.no_grad()
    def sample(xs: Float64, ys: Float64) -> Samples:
        x, y = unit_coordinates(xs, field.width), unit_coordinates(ys, field.height)
        grid = np.stack(np.meshgrid(x, y)).reshape(2, -1)
        outputs = model(torch.tensor(grid, dtype=torch.float32, device=device))
        samples = (outputs + 1) * (field.peak / 2)
        return samples.cpu().numpy().reshape(-1, len(ys), len(xs))

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
