"""The latents themselves: soft rounding with noise, Adam, and gradients that are put in place."""

from typing import Any

import numpy as np

from siren_codec.fit.kernels.compiler import entry, inner
from siren_codec.fit.kernels.elementary import tanh

__all__ = ["adam", "add_patch", "soften"]

_HALF = np.float32(0.5)
_1 = np.float32(1)


@entry
def soften(
    values: Any, noise: Any, soft: Any, slope: Any, temperature: Any, gain: Any, deviation: Any
) -> None:
    """Round values softly, add noise, round again; set the derivative too (`fit.latents`).

    `noise` is standard normal, and is multiplied by its `deviation`.
    """
    per_temperature = _1 / temperature
    steepness = gain * per_temperature
    for i in range(len(values)):
        once, first = _soft_round(values[i], per_temperature, gain, steepness)
        twice, second = _soft_round(once + deviation * noise[i], per_temperature, gain, steepness)
        soft[i] = twice
        slope[i] = first * second


@inner
def _soft_round(value: Any, per_temperature: Any, gain: Any, steepness: Any) -> Any:
    base = np.floor(value)
    curve = tanh((value - base - _HALF) * per_temperature)
    return curve * gain + base + _HALF, (_1 - curve * curve) * steepness


@entry
def adam(
    values: Any,
    gradient: Any,
    slope: Any,
    mean: Any,
    square: Any,
    beta1: Any,
    beta2: Any,
    rate: Any,
    correction: Any,
) -> None:
    """Take a step of Adam along `gradient` times `slope` (`fit.soap`).

    `rate` takes the correction of the mean in; `correction` is that of the squares.
    """
    for i in range(len(values)):
        g = gradient[i] * slope[i]
        m = mean[i] + (_1 - beta1) * (g - mean[i])
        v = beta2 * square[i] + (_1 - beta2) * g * g
        mean[i] = m
        square[i] = v
        values[i] -= rate * m / (np.sqrt(v * correction) + np.float32(1e-15))


@entry
def add_patch(out: Any, patch: Any, pieces: Any) -> None:
    """Add pieces of a patch to an array: (place, columns between rows, rows, columns, from)."""
    for index in range(len(pieces)):
        place, stride, rows, columns, source = pieces[index]
        for row in range(rows):
            into = out[place + row * stride : place + row * stride + columns]
            piece = patch[source + row * columns : source + (row + 1) * columns]
            for p in range(columns):
                into[p] += piece[p]
