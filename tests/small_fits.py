"""Small networks, and a smooth picture, for the tests of siren_codec.fit."""

import numpy as np
import numpy.typing as npt

from siren_codec.field import Architecture

__all__ = ["GRID", "SMALL", "Pixels", "smooth", "smooth_pixels"]

Pixels = npt.NDArray[np.uint8]

SMALL = Architecture(channels=3, hidden_layers=2, hidden_features=16)
"""Of the coordinate model."""
GRID = Architecture(3, 2, 16, 3.0, 30.0, (1, 1, 0, 3), neighbours=12, context_features=8)
"""Of the grid model; level 2 has no grid."""


def smooth(width: int, height: int) -> npt.NDArray[np.float32]:
    """Return the (3, height, width) samples in [-1, 1] of a smooth colour picture."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 5), np.cos(y / 4), np.sin((x + y) / 6)]
    return np.stack(waves).astype(np.float32)


def smooth_pixels() -> Pixels:
    """Return the (16, 24, 3) pixels of such a picture."""
    return np.asarray(np.rint(127.5 + 100 * smooth(24, 16).transpose(1, 2, 0)), np.uint8)
