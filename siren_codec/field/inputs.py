"""What the SIREN sees: coordinates and latent grids, sampled on lattices and at points.

Grids of levels below the Field's `first_level` are left out, and so are their rows.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from siren_codec.field.spline import (
    TAPS,
    band_matrix,
    spline_taps,
    splines,
    unit_coordinates,
    unit_per_pixel,
)

if TYPE_CHECKING:
    from siren_codec.field.field import Field

__all__ = ["Orders", "lattice_inputs", "point_inputs", "seen_inputs"]

Float64 = npt.NDArray[np.float64]
Samples = npt.NDArray[Any]
Orders = tuple[int, int]
"""How many times to differentiate, by x and by y: (0, 0) is the value itself."""

_CELLS_PER_SAMPLE = TAPS**2
_PIECE = 32
"""Cells of a piece of a row: a banded matrix of more is mostly zeros."""


def seen_inputs(field: "Field") -> list[int]:
    """Return the numbers of the SIREN's inputs that are evaluated: x, y, and the grids read."""
    architecture = field.architecture
    unread = sum(architecture.features[: field.first_level])
    return [0, 1, *range(2 + unread, architecture.inputs)]


def lattice_inputs(
    field: "Field", dtype: Any
) -> Callable[[Float64, Float64, Orders, Samples], None]:
    """Return the function that puts a block's inputs of the SIREN, differentiated, into `out`.

    `out` is contiguous, (inputs seen, rows * columns). The matrices of a block's columns serve the
    blocks below it, those of its rows the blocks beside it.
    """
    grids = _grids_seen(field)
    levels = np.array([level for level, _ in grids], np.intp)[:, None]

    @lru_cache(16)
    def of_rows(pixels: bytes, derivative: int) -> list[tuple[slice, Samples]]:
        first, weights = splines(np.frombuffer(pixels), levels, derivative)
        return [
            band_matrix(first[place], weights[place], grid.shape[1], dtype)
            for place, (_, grid) in enumerate(grids)
        ]

    @lru_cache(256)
    def of_columns(pixels: bytes, derivative: int) -> list[list[_Piece]]:
        first, weights = splines(np.frombuffer(pixels), levels, derivative)
        return [
            _pieces(first[place], weights[place], grid.shape[2], dtype)
            for place, (_, grid) in enumerate(grids)
        ]

    def lattice(xs: Float64, ys: Float64, by: Orders, out: Samples) -> None:
        shaped = out.reshape(-1, len(ys), len(xs))
        shaped[0], shaped[1] = _unit_inputs(field, xs, ys[:, None], by)
        row = 2
        axes = zip(of_rows(ys.tobytes(), by[1]), of_columns(xs.tobytes(), by[0]), strict=True)
        for (_, grid), ((seen, rows), pieces) in zip(grids, axes, strict=True):
            cells = _across(grid[:, seen], pieces, len(xs))
            np.matmul(rows, cells, out=shaped[row : row + len(grid)])
            row += len(grid)

    return lattice


_Piece = tuple[slice, slice, Samples]
"""Points of a row, the cells that they see, and the (points, cells) matrix between them."""


def _pieces(first: npt.NDArray[np.intp], weights: Float64, cells: int, dtype: Any) -> list[_Piece]:
    """Return the pieces of a row of points, of what `splines` returns for a level."""
    count = max(1, round(int(first[-1] - first[0]) / _PIECE))
    length = -(-len(first) // count)
    parts = [slice(start, start + length) for start in range(0, len(first), length)]
    return [(part, *band_matrix(first[part], weights[part], cells, dtype)) for part in parts]


def _across(grids: npt.NDArray[Any], pieces: list[_Piece], points: int) -> Samples:
    """Return (features, rows, points): the rows of cells of a level, sampled along themselves."""
    features, rows, _ = grids.shape
    first, last, dtype = pieces[0][1].start, pieces[-1][1].stop, pieces[0][2].dtype
    cells = grids[:, :, first:last].astype(dtype, order="C").reshape(features * rows, -1)
    out = np.empty((features * rows, points), dtype)
    for part, seen, matrix in pieces:
        np.matmul(cells[:, seen.start - first : seen.stop - first], matrix.T, out=out[:, part])
    return out.reshape(features, rows, points)


def point_inputs(field: "Field", x: Float64, y: Float64, by: Orders) -> Float64:
    """Return the (inputs seen, points) inputs of the SIREN at scattered points, differentiated."""
    out = np.empty((len(seen_inputs(field)), len(x)))
    out[0], out[1] = _unit_inputs(field, x, y, by)
    first = 2
    for level, grids in _grids_seen(field):
        features, rows, columns = grids.shape
        taps_x, weights_x = spline_taps(x, level, columns, by[0])
        taps_y, weights_y = spline_taps(y, level, rows, by[1])
        taps = taps_y[:, :, None] * columns + taps_x[:, None, :]
        cells = grids.reshape(features, rows * columns).take(
            taps.reshape(-1, 1, _CELLS_PER_SAMPLE), axis=1
        )
        weights = weights_y[:, :, None] * weights_x[:, None, :]
        sampled = cells.astype(np.float64) @ weights.reshape(-1, _CELLS_PER_SAMPLE, 1)
        out[first : first + features] = sampled[:, :, 0, 0]
        first += features
    return out


def _grids_seen(field: "Field") -> list[tuple[int, npt.NDArray[Any]]]:
    """Return (level, grids) of each level that was read and has any."""
    levels = list(enumerate(field.latents))[field.first_level :]
    return [(level, grids) for level, grids in levels if len(grids)]


def _unit_inputs(
    field: "Field", x: Float64, y: Float64, by: Orders
) -> tuple[Float64 | float, Float64 | float]:
    """Return the first two inputs of the SIREN, differentiated; constants where they are."""
    if by == (0, 0):
        return unit_coordinates(x, field.width), unit_coordinates(y, field.height)
    return (
        unit_per_pixel(field.width) if by == (1, 0) else 0.0,
        unit_per_pixel(field.height) if by == (0, 1) else 0.0,
    )
