"""Rounding by rate-distortion: the integers of a matrix by coordinate descent.

A rounding error of one weight can be made good by its neighbours, whose inputs are much the same
as its own. So the integers q of a matrix are those for which the loss, to the second order, and the
price of their bits together are least, not those that are nearest: as in optimal brain surgeon and
GPTQ (Frantar and Alistarh 2022, arXiv 2210.17323), with the rate in the objective. What a bit can
save then decides the quantisation step too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FitError
from siren_codec.field.evaluate import Float64
from siren_codec.stream.prior import Expected
from siren_codec.stream.tables import MAX_MAGNITUDE
from siren_codec.stream.weights import EXPONENTS, scales
from siren_codec.stream.weights_by_range import information

__all__ = ["Descent", "Rounding"]

Whole = npt.NDArray[np.int32]

_SWEEPS = 3
"""Through the columns, at most, until the tables are chosen anew."""
_TABLES = 2
"""Times that they are."""
_HEADROOM = 4
"""How far a magnitude may grow beyond the largest one, until the tables are chosen anew."""
_OF_TABLE = 8.0
"""Bits that say which table a tensor has, unless all its integers are 0."""
_LEAST_GAIN = 1e-6
"""In bits: less may be a matter of rounding errors."""
_MOST_BITS = 14
"""Of the largest magnitude, at the finest step that is looked at."""


@dataclass(frozen=True, eq=False)
class Rounding:
    """The integers of a matrix, and what they do."""

    exponents: tuple[int, int]
    """Of the weight's and of the bias's step."""
    values: Whole
    """(units, columns)"""
    distortion: float
    """What the loss has more than at the real weights."""
    bits: float
    """Infinite where no tables code the integers."""


class Descent:
    """The descent for one matrix."""

    def __init__(
        self,
        curvature: Float64,
        parts: tuple[slice, slice],
        expected: Sequence[Expected] | None,
        price: float,
    ) -> None:
        """Take (units, columns, columns) curvatures, and what a bit is worth.

        `parts` are the columns of the weight and those of the biases, `expected` is what a prior
        says of either.
        """
        self._curvature = curvature
        self._parts = parts
        self._price = price
        self._spreads = [x.spreads for x in expected or ()]
        if self._spreads:
            self._spreads[1] = np.atleast_2d(self._spreads[1]).T
        least = [x.tensor.exponent for x in expected or ()] or [EXPONENTS.start] * 2
        self._allowed = [range(exponent, EXPONENTS.stop) for exponent in least]

    def choose(self, real: Float64) -> Rounding:
        """Return the rounding of (units, columns) real weights at the best steps.

        Both steps of the matrix are made larger or smaller, then each of them, as long as it helps.
        """
        found: dict[tuple[int, int], Rounding] = {}

        def harm(steps: tuple[int, int]) -> float:
            if any(step not in allowed for step, allowed in zip(steps, self._allowed, strict=True)):
                return math.inf
            if steps not in found:
                found[steps] = self.round(real, steps)
            return found[steps].distortion + self._price * found[steps].bits

        best = self._first(real)
        for weight, bias in ((1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)):
            while harm(further := (best[0] + weight, best[1] + bias)) < harm(best):
                best = further
        return found[best]

    def round(self, real: Float64, exponents: tuple[int, int]) -> Rounding:
        """Return the rounding of real weights at given steps, from the nearest integers on."""
        steps = self._steps(exponents, real.shape[1])
        nearest = np.rint(real / steps)
        values = np.clip(nearest, -MAX_MAGNITUDE, MAX_MAGNITUDE).astype(np.int32)
        if (values != nearest).any():
            return Rounding(exponents, values, 0.0, math.inf)
        return self._descend(values, values - real / steps, exponents)

    def move(self, rounding: Rounding, slope: Float64, damping: float) -> Rounding:
        """Return a rounding moved along the loss's slope by the weights.

        The curvature is multiplied by `damping`, which keeps the moves small.
        """
        still = np.zeros(slope.shape)
        return self._descend(rounding.values, still, rounding.exponents, slope, damping)

    def real(self, rounding: Rounding) -> Float64:
        """Return the real weights that integers stand for."""
        return rounding.values * self._steps(rounding.exponents, rounding.values.shape[1])

    def _descend(
        self,
        values: Whole,
        moved: Float64,
        exponents: tuple[int, int],
        slope: Float64 | float = 0.0,
        damping: float = 1.0,
    ) -> Rounding:
        """Go down from integers that lie so many steps from the real weights."""
        steps = self._steps(exponents, values.shape[1])
        curvature = self._curvature * (damping * steps[:, None] * steps)
        start = slope * steps
        current = _Current(values.copy(), start + _product(curvature, moved), curvature)
        for _ in range(_TABLES):
            prices = self._prices(current.values, exponents)
            if prices.bits == math.inf or not current.sweep(prices):
                break
        else:
            prices = self._prices(current.values, exponents)
        moved = moved + (current.values - values)
        distortion = float((moved * (start + _product(curvature, moved) / 2)).sum())
        return Rounding(exponents, current.values, distortion, prices.bits)

    def _first(self, real: Float64) -> tuple[int, int]:
        """Return steps to begin with: those that are best where rounding errors are uniform.

        A step of D then costs the curvature times D^2 / 24, and -log2 D bits.
        """
        largest = float(np.abs(real).max())
        if not np.isfinite(largest):
            raise FitError("expected finite weights, found others")
        finest = math.frexp(largest)[1] - _MOST_BITS if largest else EXPONENTS.start
        found = []
        for part, allowed in zip(self._parts, self._allowed, strict=True):
            minds = float(np.einsum("uii->ui", self._curvature)[:, part].mean())
            square = 12 * self._price / math.log(2) / max(minds, 1e-30)
            best = max(round(math.log2(square) / 2), finest)
            found.append(min(max(best, allowed.start), allowed.stop - 1))
        return found[0], found[1]

    def _steps(self, exponents: tuple[int, int], columns: int) -> Float64:
        """Return each column's step."""
        steps = np.empty(columns)
        for part, exponent in zip(self._parts, exponents, strict=True):
            steps[part] = 2.0**exponent
        return steps

    def _prices(self, values: Whole, exponents: tuple[int, int]) -> "_Prices":
        """Return what integers cost by the tables that are best for these."""
        most = min(int(np.abs(values).max()) + _HEADROOM, MAX_MAGNITUDE)
        tables: list[Float64] = []
        which, total = [], 0.0
        for number, (part, exponent) in enumerate(zip(self._parts, exponents, strict=True)):
            base = scales(exponent, self._spreads[number]) if self._spreads else None
            table, rows, bits = information(values[:, part], base, most)
            which.append(rows + sum(len(table) for table in tables))
            tables.append(table)
            total += bits + _OF_TABLE if values[:, part].any() else 0.0
        return _Prices(
            self._price * np.concatenate(tables),
            np.concatenate(which, axis=1),
            self._price * _LEAST_GAIN,
            total,
        )


@dataclass(frozen=True, eq=False)
class _Prices:
    """What integers cost, in the loss's terms."""

    table: Float64
    """(tables, magnitudes), infinite where a table has none."""
    which: npt.NDArray[np.intp]
    """(units, columns): the table of each weight."""
    least_gain: float
    """Less may be a matter of rounding errors."""
    bits: float
    """What the integers cost that the tables were chosen for."""

    def of(self, values: Whole, columns: int | slice) -> Float64:
        """Return the price of integers in these columns; infinite beyond the last magnitude."""
        last = self.table.shape[1] - 1
        magnitudes = np.abs(values)
        found: Float64 = self.table[self.which[:, columns], np.minimum(magnitudes, last)]
        return np.where(magnitudes > last, math.inf, found)


class _Current:
    """Integers on their way down, in units of their steps."""

    def __init__(self, values: Whole, slope: Float64, curvature: Float64) -> None:
        self.values = values
        self._slope = slope
        self._curvature = curvature
        self._half = np.einsum("uii->ui", curvature) / 2

    def sweep(self, prices: _Prices) -> bool:
        """Go through the columns until nothing moves, or often enough; tell if anything moved."""
        moved = False
        for _ in range(_SWEEPS):
            columns = np.flatnonzero(self._moves(prices, slice(None)).any(axis=0))
            for column in columns.tolist():
                by = self._moves(prices, column)
                self.values[:, column] += by
                self._slope += self._curvature[:, column] * by[:, None]
            if not len(columns):
                break
            moved = True
        return moved

    def _moves(self, prices: _Prices, columns: int | slice) -> Whole:
        """Return by how much each integer of some columns is best moved, if it alone is.

        To either neighbour, or to 0.
        """
        values, slope = self.values[:, columns], self._slope[:, columns]
        half = self._half[:, columns]
        # A little less than it is, so that nothing moves for a rounding error.
        now = prices.of(values, columns) - prices.least_gain
        best, moves = np.zeros(values.shape), np.zeros_like(values)
        for by in (np.int32(-1), np.int32(1), -values):
            harm = by * (slope + half * by) + prices.of(values + by, columns) - now
            better = harm < best
            best, moves = np.where(better, harm, best), np.where(better, by, moves)
        return moves


def _product(curvature: Float64, moved: Float64) -> Float64:
    found: Float64 = np.matmul(curvature, moved[:, :, None])[:, :, 0]
    return found
