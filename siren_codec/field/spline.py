"""Where samples lie: the one convention of pixel centres that the whole project uses.

Pixel coordinates are those of the original picture: integer x is the centre of column x, so the
picture of width W covers [-1/2, W - 1/2]. The network sees unit coordinates in [-1, 1]: column j
has its centre at (2j + 1)/W - 1, and the picture's edges lie at -1 and 1.

Latent grids are sampled by sharpened cubic splines: uniform cubic B-splines B (Unser 1999,
"Splines: a perfect fit for signal and image processing"), less a share of their neighbours,
(1 + 2 s) B(p) - s B(p - 1) - s B(p + 1). Cell k of a grid on level l covers the pixels k 2**l to
(k + 1) 2**l - 1 of an axis, and its spline has its centre in theirs; outside the grid, its
outermost cell goes on.
"""

from typing import Any, overload

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]

__all__ = [
    "TAPS",
    "band_matrix",
    "cell_centres",
    "level_shape",
    "spline_matrix",
    "spline_taps",
    "splines",
    "unit_coordinates",
    "unit_per_pixel",
]


TAPS = 6
"""The cells of an axis that a point sees."""
_TAPS = np.arange(TAPS)
_SHARPNESS = 0.3125
"""s above. A B-spline alone (s = 0) passes a third of the finest detail that a grid can hold, and
makes it dear; with this s it is three quarters (docs/EXPERIMENTS.md)."""
_CUBIC = np.array([[1, 4, 1, 0], [-3, 0, 3, 0], [3, -6, 3, 0], [-1, 3, -3, 1]]) / 6
"""The B-spline's weights of 4 cells, a column each, as polynomials in the place between two."""
_SHARP = (1 + 2 * _SHARPNESS) * np.pad(_CUBIC, ((0, 0), (1, 1)))
_SHARP -= _SHARPNESS * (np.pad(_CUBIC, ((0, 0), (0, 2))) + np.pad(_CUBIC, ((0, 0), (2, 0))))
"""The same of the sharpened spline and 6 cells."""


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


def level_shape(width: int, height: int, level: int) -> tuple[int, int]:
    """Return the (rows, columns) of a picture's grids on a level: as many as cover the picture."""
    return -(-height >> level), -(-width >> level)


def spline_taps(
    pixels: Float64, level: int, cells: int, derivative: int = 0
) -> tuple[npt.NDArray[np.intp], Float64]:
    """Return the cells that points on an axis see, and their weights: (points, 6) and (points, 6).

    `derivative` 1 or 2 gives the weights of d/dx or d2/dx2, per pixel or per pixel squared. Cells
    beyond the axis's are replaced by its outermost, so one may come up more than once.
    """
    first, weights = splines(pixels, level, derivative)
    return np.clip(first[:, None] + _TAPS, 0, cells - 1), weights


def spline_matrix(
    pixels: Float64, level: int, cells: int, derivative: int = 0
) -> tuple[slice, Float64]:
    """Return the slice of an axis's cells that points see, and the (points, cells seen) matrix.

    With it, sampling a grid at a lattice of points is the product rows @ grid @ columns.T.
    """
    return band_matrix(*splines(pixels, level, derivative), cells, np.float64)


def splines(
    pixels: Float64, levels: int | npt.NDArray[np.intp], derivative: int
) -> tuple[npt.NDArray[np.intp], Float64]:
    """Return the first of the 6 cells that points on an axis see, and their weights.

    The cell may lie before the axis's first. With `levels` (levels, 1) the results are (levels,
    points) and (levels, points, 6), with one level (points,) and (points, 6).
    """
    size = 2.0**levels
    position = (pixels + 0.5) / size - 0.5
    base = np.floor(position)
    t = position - base
    powers = np.zeros((*t.shape, 4))
    if derivative == 0:
        powers[..., 0], powers[..., 1] = 1, t
        powers[..., 2] = t * t
        powers[..., 3] = powers[..., 2] * t
    elif derivative == 1:
        powers[..., 1], powers[..., 2], powers[..., 3] = 1 / size, 2 * t / size, 3 * t * t / size
    else:
        powers[..., 2], powers[..., 3] = 2 / size**2, 6 * t / size**2
    return base.astype(np.intp) - 2, powers @ _SHARP


def band_matrix(
    first: npt.NDArray[np.intp], weights: Float64, cells: int, dtype: Any
) -> tuple[slice, npt.NDArray[Any]]:
    """Return what `spline_matrix` does, of what `splines` returns for one level."""
    start, stop = int(first.min()), int(first.max()) + TAPS
    matrix = np.zeros((len(first), stop - start), dtype)
    places = first + np.arange(-start, matrix.size - start, stop - start)
    matrix.reshape(-1)[places[:, None] + _TAPS] = weights
    # What lies beyond the axis is as its outermost cell.
    if stop > cells:
        last = cells - 1 - start
        matrix[:, last] += matrix[:, last + 1 :].sum(axis=1)
        matrix, stop = matrix[:, : last + 1], cells
    if start < 0:
        matrix[:, -start] += matrix[:, :-start].sum(axis=1)
        matrix, start = matrix[:, -start:], 0
    return slice(start, stop), matrix
