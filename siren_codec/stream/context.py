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
_UNITS = np.array([float(FRACTIONS), 4.0])
"""Steps of the mean, and of the binary logarithm of the scale."""
_LEAST = np.array([-_MEAN_LIMIT, -_UNIT_SCALE], np.float64)
_MOST = np.array([_MEAN_LIMIT, RESIDUAL_SCALES - 1 - _UNIT_SCALE], np.float64)
_ORIGINS = np.array([FRACTIONS // 2, _UNIT_SCALE], np.intp)
"""What makes their indices of them."""


def is_exact(context: Sequence[Layer]) -> bool:
    """Return whether float64 evaluates a context network without rounding, in any order.

    All terms of a layer are multiples of one power of two, the quantum. Where no sum of them, all
    taken positive, can reach 2**53 quanta, every product and every partial sum is exact. Columns
    of a weight beyond the layer before it are those of the bypass.
    """
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
    """The context network, ready to be evaluated; its last layer in sixteenths and quarters.

    Where all that an integer is predicted from is 0, as in most of a smooth picture, the grid
    alone decides; these predictions are made once.
    """

    def __init__(
        self, context: Sequence[Layer], inputs: int, error: type[FormatError] | type[UsageError]
    ) -> None:
        """Take the layers; `inputs` are what `predict` is given, more than they use if padded.

        Raises `error` for layers that are not exact.
        """
        if not is_exact(context):
            raise error("context network: expected weights that float64 adds exactly, found others")
        first, second, last = (layer.weight.dequantise().T for layer in context)
        last = last * _UNITS
        self._width = first.shape[1]
        # The bypass is evaluated together with the first layer.
        self._first = np.zeros((inputs, self._width + 2))
        self._first[: len(first)] = np.concatenate([first, last[self._width :]], axis=1)
        self._second, self._last = second.copy(), last[: self._width].copy()
        biases = [layer.bias.dequantise() for layer in context]
        self._biases = biases[0], biases[1], biases[2] * _UNITS
        grids = np.arange(len(biases[0]))
        self._flat = self._predict(np.zeros((len(grids), inputs), np.int16), grids)

    def predict(self, contexts: npt.NDArray[np.int16], grids: Indices) -> tuple[Indices, Indices]:
        """Return the (symbols,) integer means and table rows, given (symbols, inputs) contexts.

        The inputs are a multiple of 4 and contiguous; `grids` is the grid of each symbol.
        """
        busy = np.bitwise_or.reduce(contexts.view(np.uint64), axis=1).nonzero()[0]
        if 8 * len(busy) > 7 * len(contexts):
            return self._predict(contexts, grids)
        means, rows = (values.take(grids) for values in self._flat)
        if len(busy):
            means[busy], rows[busy] = self._predict(
                contexts.take(busy, axis=0), grids.take(busy)
            )
        return means, rows

    def _predict(self, contexts: npt.NDArray[np.int16], grids: Indices) -> tuple[Indices, Indices]:
        inputs = contexts.astype(np.float64)
        np.maximum(inputs, -CLIP, out=inputs)
        np.minimum(inputs, CLIP, out=inputs)
        both = _product(inputs, self._first)
        hidden = self._biases[0].take(grids, axis=0)
        hidden += both[:, : self._width]
        np.maximum(hidden, 0, out=hidden)
        hidden = _product(hidden, self._second)
        hidden += self._biases[1]
        np.maximum(hidden, 0, out=hidden)
        outputs = _product(hidden, self._last)
        outputs += both[:, self._width :]
        outputs += self._biases[2]
        np.rint(outputs, out=outputs)
        np.maximum(outputs, _LEAST, out=outputs)
        np.minimum(outputs, _MOST, out=outputs)
        indices = outputs.astype(np.intp)
        indices += _ORIGINS
        mean, scale = indices.T
        return mean >> 4, scale * FRACTIONS + (mean & FRACTIONS - 1)
