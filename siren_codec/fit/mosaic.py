"""A mosaic of a large picture: networks learn from it, for they need only a part of the pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.field.evaluate import Float64
from siren_codec.field.kernel import unit_coordinates

__all__ = ["Mosaic", "is_large"]

_LARGE = 1 << 21
"""Pixels: a larger picture has a mosaic."""
_BANDS, _BAND = 4, 256
"""So many bands of rows, and of columns, each so many pixels wide."""
_CELL = 64
"""Bands begin at multiples of this, with the cells of all levels."""


@dataclass(frozen=True, eq=False)
class Mosaic:
    """What bands of a picture's rows and of its columns have in common.

    They lie side by side, but the network sees each pixel where it is in the picture.
    """

    rows: npt.NDArray[np.intp]
    columns: npt.NDArray[np.intp]
    units: tuple[Float64, Float64]
    """The unit coordinates of the columns and of the rows."""

    @classmethod
    def of_picture(cls, width: int, height: int) -> "Mosaic":
        """Return the mosaic of a picture's size."""
        rows, columns = _bands(height), _bands(width)
        x = unit_coordinates(columns.astype(np.float64), width)
        y = unit_coordinates(rows.astype(np.float64), height)
        return cls(rows, columns, (x, y))

    @property
    def pixels(self) -> int:
        """The number of its pixels."""
        return len(self.rows) * len(self.columns)

    def take(self, plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return its part of (height, width, ...) samples."""
        return np.ascontiguousarray(plane[self.rows[:, None], self.columns])


def is_large(width: int, height: int) -> bool:
    """Tell whether a picture has so many pixels that networks need not see all of them."""
    return width * height > _LARGE


def _bands(length: int) -> npt.NDArray[np.intp]:
    """Return the indices of bands that lie evenly over an axis, or of all of a short one."""
    if length <= _BANDS * _BAND:
        return np.arange(length)
    starts = np.rint(np.linspace(0, length - _BAND, _BANDS) / _CELL).astype(np.intp) * _CELL
    starts = np.minimum(starts, (length - _BAND) // _CELL * _CELL)
    return np.concatenate([np.arange(start, start + _BAND) for start in starts])
