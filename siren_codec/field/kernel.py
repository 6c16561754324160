"""Where samples lie: the one convention of pixel centres that the whole project uses.

Pixel coordinates are those of the original picture: integer x is the centre of column x, so the
picture of width W covers [-1/2, W - 1/2]. The network sees unit coordinates in [-1, 1]: column j
has its centre at (2j + 1)/W - 1, and the picture's edges lie at -1 and 1.
"""

from typing import overload

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

__all__ = ["cell_centres", "unit_coordinates", "unit_per_pixel"]


def cell_centres(start: float, length: float, cells: int) -> Float64:
    """Return the (cells,) pixel coordinates of the centres of `cells` equal parts of an interval.

    The interval covers `length` pixels and begins with the left (or upper) edge of pixel `start`:
    [start - 1/2, start - 1/2 + length]. `cell_centres(0, W, W)` is 0, 1, ..., W - 1.
    """
    return start - 0.5 + (np.arange(cells, dtype=np.float64) + 0.5) * (length / cells)


@overload
def unit_coordinates(pixels: float, length: int) -> float: ...
@overload
def unit_coordinates(pixels: Float64, length: int) -> Float64: ...
def unit_coordinates(pixels: float | Float64, length: int) -> float | Float64:
    """Map pixel coordinates on an axis of `length` pixels to the network's [-1, 1]."""
    return (2.0 * pixels + 1.0) / length - 1.0


def unit_per_pixel(length: int) -> float:
    """Return the derivative of `unit_coordinates` with respect to the pixel coordinate."""
    return 2.0 / length
