"""The SIREN itself: its real weights, sines in float32, and its derivatives by the chain rule."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from siren_codec.field.inputs import Orders, seen_inputs

if TYPE_CHECKING:
    from siren_codec.field.field import Field

__all__ = ["BYPASS_SCALE", "network", "network_jet"]

BYPASS_SCALE = 0.125
"""What the SIREN's inputs are multiplied by on their way past the hidden layers: latents are larger
than sines, and with this their weights may have the same quantisation step."""

Float64 = npt.NDArray[np.float64]
Samples = npt.NDArray[Any]


@dataclass(frozen=True)
class _Sine:
    """A way to find sines: sin(a) = offset + amplitude * y(per_radian * a + phase).

    `apply` puts y(x) into the place of x, and takes an array of the same shape to work in. The
    rest is left to the layers before and after it.
    """

    apply: Callable[[Samples, Samples], object]
    per_radian: float = 1.0
    phase: float = 0.0
    amplitude: float = 1.0
    offset: float = 0.0


_COSINE = (0.9999992, -19.73897818, 64.92858784, -85.27084363, 58.78694076, -21.06542941)
"""cos(2 pi v) as a polynomial in v**2, for v from -1/2 to 1/2: right within 1e-6, and a little more
in float32 (interpolated at Chebyshev's nodes)."""
_STEPS = tuple(np.float32(c / _COSINE[-1]) for c in _COSINE[-2:0:-1])


def _cosines_of_turns(turns: Samples, spare: Samples) -> None:
    """Put (cos(2 pi turns) - _COSINE[0]) / _COSINE[-1] in the place of float32 turns."""
    np.rint(turns, out=spare)
    turns -= spare
    turns *= turns
    np.add(turns, _STEPS[0], out=spare)
    for step in _STEPS[1:]:
        spare *= turns
        spare += step
    turns *= spare


_EXACT = _Sine(lambda x, _: np.sin(x, out=x))
_QUICK = _Sine(_cosines_of_turns, 0.5 / np.pi, -0.25, _COSINE[-1], _COSINE[0])
"""Less than half of numpy's time, which would be most of a decode's."""


def network(field: "Field") -> Callable[[int, Callable[[Samples], object]], Samples]:
    """Return a function from inputs to samples, in float32; of 8 bits with quick sines.

    It takes a number of points and what fills (inputs seen, points), and returns the (channels,
    points) samples, in units of the stored picture.
    """
    sine = _QUICK if field.depth == 8 else _EXACT
    first, *middle, last = _matrices(field, sine)
    width, channels = field.architecture.hidden_features, field.architecture.channels
    bypass = len(first) - width
    scratch = _Scratch()

    def evaluate(points: int, fill: Callable[[Samples], object]) -> Samples:
        inputs = scratch.with_ones(0, first.shape[1], points)
        fill(inputs[:-1])
        both = scratch.with_ones(1, len(first) + 1, points)
        np.matmul(first, inputs, out=both[:-1])
        hidden, other = both[bypass:], scratch.with_ones(2, width + 1, points)
        sine.apply(hidden[:-1], other[:-1])
        for matrix in middle:
            np.matmul(matrix, hidden, out=other[:-1])
            hidden, other = other, hidden
            sine.apply(hidden[:-1], other[:-1])
        samples: Samples = np.matmul(last, hidden)[:channels]
        if bypass:
            samples += both[:bypass]
        return samples

    return evaluate


class _Scratch(threading.local):
    """Memory of each thread's own: to get it anew for each block would cost as much as a layer."""

    def __init__(self) -> None:
        self._memory: dict[int, Samples] = {}

    def with_ones(self, place: int, rows: int, columns: int) -> Samples:
        """Return a (rows, columns) float32 array; its last row is ones, the others are anything."""
        size = rows * columns
        if place not in self._memory or self._memory[place].size < size:
            self._memory[place] = np.empty(size, np.float32)
        out = self._memory[place][:size].reshape(rows, columns)
        out[-1] = 1
        return out


def _matrices(field: "Field", sine: _Sine) -> list[Samples]:
    """Return a float32 matrix for each layer, [weight | bias], whose outputs are samples.

    A bias meets a row of ones. The first matrix begins with the rows of the bypass. The last one
    ends with rows of zeros: with 4 rows BLAS is twice as quick as with 3.
    """
    layers, bypass = _real_layers(field)
    half = field.peak / 2
    scales = [omega * sine.per_radian for omega in field.architecture.omegas]
    shifts = [sine.phase] * len(scales)
    matrices = []
    for index, ((weight, bias), scale, shift) in enumerate(
        zip(layers, [*scales, half], [*shifts, half], strict=True)
    ):
        bias = bias + (sine.offset * weight.sum(axis=1) if index else 0.0)
        weight = weight * (sine.amplitude if index else 1.0)
        matrices.append(np.column_stack([scale * weight, scale * bias + shift]))
    if bypass is not None:
        rows = np.column_stack([half * bypass, np.zeros(len(bypass))])
        matrices[0] = np.concatenate([rows, matrices[0]])
    matrices[-1] = np.pad(matrices[-1], ((0, -len(matrices[-1]) % 4), (0, 0)))
    return [matrix.astype(np.float32) for matrix in matrices]


@np.errstate(over="ignore", invalid="ignore")
def network_jet(
    field: "Field", inputs: Callable[[Orders], Samples], order: int, dtype: Any
) -> list[Samples]:
    """Return [value, d/dx, d/dy, Laplacian] up to `order`, each (channels, points).

    `inputs` returns the (inputs seen, points) inputs, differentiated. The wildest of weights that
    a file can hold may give infinities, but no warnings.
    """
    jet = [inputs((0, 0))]
    if order >= 1:
        jet += [inputs((1, 0)), inputs((0, 1))]
    if order == 2:
        jet.append(inputs((2, 0)) + inputs((0, 2)))
    layers, bypass = _real_layers(field)
    passed = [0 if bypass is None else bypass.astype(dtype) @ part for part in jet]
    for (weight, bias), omega in zip(layers, (*field.architecture.omegas, None), strict=True):
        jet = [weight.astype(dtype) @ part for part in jet]
        jet[0] += bias.astype(dtype)[:, None]
        if omega is not None:
            jet = _sine_jet(jet, dtype(omega))
    jet = [part + past for part, past in zip(jet, passed, strict=True)]
    jet[0] += dtype(1)
    return [part * dtype(field.peak / 2) for part in jet]


def _sine_jet(jet: list[Samples], omega: Any) -> list[Samples]:
    """Return the jet of h = sin(omega a), given that of a: forward differentiation.

    dh = omega cos(omega a) da, lap h = omega cos(omega a) lap a - omega^2 sin(omega a) |da|^2.
    """
    angle = omega * jet[0]
    value, slope = np.sin(angle), omega * np.cos(angle)
    out = [value, *(slope * first for first in jet[1:3])]
    if len(jet) == 4:
        out.append(slope * jet[3] - omega**2 * value * (jet[1] ** 2 + jet[2] ** 2))
    return out


def _real_layers(field: "Field") -> tuple[list[tuple[Float64, Float64]], Float64 | None]:
    """Return the real (weight, bias) of every layer, as far as inputs are seen, and the bypass.

    The bypass is (channels, inputs seen), what the last layer makes of the inputs; None without
    grids.
    """
    layers = [(layer.weight.dequantise(), layer.bias.dequantise()) for layer in field.layers]
    seen = seen_inputs(field)
    layers[0] = layers[0][0][:, seen], layers[0][1]
    if not field.architecture.grids:
        return layers, None
    weight, bias = layers[-1]
    hidden = field.architecture.hidden_features
    layers[-1] = weight[:, :hidden], bias
    return layers, BYPASS_SCALE * weight[:, hidden:][:, seen]
