"""The context network: what comes before an integer of a latent grid -> its distribution.

It predicts each integer from those before it, as learned image codecs do (Minnen et al. 2018,
arXiv 1809.02736; Cool-chic, Ladune et al. 2023, arXiv 2212.05458). Its weights are dyadic rationals
so few and so small that float64 evaluates it without rounding, in any order: every machine codes
with the same probabilities.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, UsageError
from siren_codec.field import Layer
from siren_codec.stream.tables import FRACTIONS, RESIDUAL_SCALES

__all__ = ["CLIP", "ContextNetwork", "is_exact"]

Float64 = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

CLIP = 127
"""The magnitude to which the network's inputs are clipped."""
_MEAN_LIMIT = 32767
"""The magnitude to which means are clipped, in sixteenths."""
_UNIT_SCALE = 20
"""The index of the scale 1."""
_UNITS = np.array([[FRACTIONS], [4]], np.float64)
"""Steps of the mean, and of the binary logarithm of the scale."""


def is_exact(context: Sequence[Layer]) -> bool:
    """Return whether float64 evaluates a context network without rounding, in any order.

    All terms of a layer are multiples of one power of two, the quantum. Where no sum of them, all
    taken positive, can reach 2**53 quanta, every product and every partial sum is exact. Columns
    of a weight beyond the layer before it are those of the bypass.
    """
    if not context:
        return True
    bound, exponent, width = CLIP, 0, context[0].weight.values.shape[1]
    for layer in context:
        weights, step = np.abs(layer.weight.values.astype(np.int64)), layer.weight.exponent
        products = exponent + step
        exponent = min(0, products, layer.bias.exponent)
        hidden = weights[:, :width].sum(axis=1).tolist()
        bypassed = weights[:, width:].sum(axis=1).tolist()
        width = len(hidden)
        biases = np.abs(layer.bias.values.astype(np.int64)).reshape(-1, width).max(axis=0).tolist()
        bound = max(
            (total * bound << products - exponent)
            + (inputs * CLIP << step - exponent)
            + (most << layer.bias.exponent - exponent)
            for total, inputs, most in zip(hidden, bypassed, biases, strict=True)
        )
        if bound >= 1 << 53:
            return False
    return True


def _product(left: Float64, right: Float64) -> Float64:
    """Return the matrix product; a test puts another library's in its place."""
    product: Float64 = left @ right
    return product


class ContextNetwork:
    """The context network, ready to be evaluated; its last layer in sixteenths and quarters."""

    def __init__(
        self, context: Sequence[Layer], error: type[FormatError] | type[UsageError]
    ) -> None:
        """Take the layers. Raises `error` for those that are not exact."""
        if not is_exact(context):
            raise error("context network: expected weights that float64 adds exactly, found others")
        first, second, last = (layer.weight.dequantise() for layer in context)
        biases = [layer.bias.dequantise() for layer in context]
        last, biases[2] = last * _UNITS, biases[2] * _UNITS[:, 0]
        width, inputs = first.shape
        # After the hidden features goes a 1, which brings the next layer's bias; then the bypass.
        self._first = np.concatenate([first, np.zeros((1, inputs)), last[:, width:]])
        self._biases = np.concatenate([biases[0].T, np.ones((1, len(biases[0])))])
        self._second = np.zeros((width + 1, width + 1))
        self._second[:width] = np.column_stack([second, biases[1]])
        self._second[width, width] = 1
        self._last = np.column_stack([last[:, :width], biases[2]])

    def transposed(self, lanes: int) -> tuple[Float64, Float64, Float64, Float64]:
        """Return the matrices for an evaluation of one symbol after another.

        (inputs, width), (grids, width), (features, width) and (features, 2): `features` are the
        hidden ones and a 1, `width` is these and the bypass, with zeros up to a multiple of
        `lanes`.
        """
        width = -(-len(self._first) // lanes) * lanes
        padded = []
        for matrix in (self._first, self._biases, self._second):
            padded.append(np.zeros((matrix.shape[1], width)))
            padded[-1][:, : len(matrix)] = matrix.T
        first, biases, second = padded
        return first, biases, second, np.ascontiguousarray(self._last.T)

    def predict(self, contexts: npt.NDArray[np.int8], grids: Indices) -> tuple[Indices, Indices]:
        """Return the (symbols,) integer means and table rows, given (inputs, symbols) contexts.

        `grids` is the grid of each symbol.
        """
        both = _product(self._first, contexts.astype(np.float64))
        hidden, bypassed = both[:-2], both[-2:]
        hidden += self._biases.take(grids, axis=1)
        # fmax, for numpy's maximum with a number is slow in place.
        np.fmax(hidden, 0, out=hidden)
        hidden = _product(self._second, hidden)
        np.fmax(hidden, 0, out=hidden)
        outputs = _product(self._last, hidden)
        outputs += bypassed
        np.rint(outputs, out=outputs)
        mean, scale = outputs.astype(np.int64)
        np.maximum(mean, -_MEAN_LIMIT, out=mean)
        np.minimum(mean, _MEAN_LIMIT, out=mean)
        mean += FRACTIONS // 2
        scale += _UNIT_SCALE
        np.maximum(scale, 0, out=scale)
        np.minimum(scale, RESIDUAL_SCALES - 1, out=scale)
        scale *= FRACTIONS
        scale += mean & FRACTIONS - 1
        mean >>= 4
        return mean, scale
