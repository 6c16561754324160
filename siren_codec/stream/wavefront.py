"""The order in which the integers of latent grids are coded: a wavefront over all grids at once.

The integers of one step do not depend on each other; they depend on those of earlier steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siren_codec.field import Architecture
from siren_codec.field.spline import level_shape
from siren_codec.stream.context import CLIP

__all__ = ["MARGIN", "NEIGHBOURS", "Block", "Wavefront", "shapes"]

Indices = npt.NDArray[np.intp]

NEIGHBOURS = (
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2)),
    *((-2, -1), (-2, 1), (-2, -2), (-2, 2), (0, -3), (-3, 0), (-1, -3), (-3, -1)),
    *((-3, 1), (-2, -3), (-2, 3), (-3, -2), (-3, 2), (0, -4), (-1, -4), (-4, 0)),
)
"""The (row, column) offsets of an integer's neighbours; a context is the first ones of these."""
_SLOPE = 3
"""Columns by which each row of the wavefront is behind the one above: all neighbours are before."""
MARGIN = 4
"""Zeros above the grids and beside them, as far as a neighbour may lie."""
_BLOCK = 1 << 14
"""About how many symbols are ordered at a time."""


def shapes(architecture: Architecture, width: int, height: int) -> list[tuple[int, int, int]]:
    """Return the (features, rows, columns) of each level's grids."""
    return [
        (features, *level_shape(width, height, level))
        for level, features in enumerate(architecture.features)
    ]


@dataclass(frozen=True)
class Block:
    """Some steps of a wavefront."""

    cells: Indices
    """Where the cells lie in the plane, in their order."""
    sources: Indices
    """(sources, cells): where in the plane the integers of other grids are that they see."""
    grids: Indices
    """The grid of each cell."""
    places: Indices
    """Where the cells lie in the levels, one after the other."""
    bounds: list[list[int]]
    """For each step where its cells begin, and where those end of each part of the grids."""


class Wavefront:
    """The coded ones of the grids from `first_level` on, and the order of their cells.

    `seen` is one flat plane of what the context network sees of them, clipped integers, with zeros
    where neighbours may lie outside a grid. `levels` are all levels' (features, rows, columns)
    grids; below `first_level` they are zeros, which take no memory until they are touched, and
    from there on parts of `values`. `coded` says of each grid whether it is coded.
    """

    def __init__(
        self,
        architecture: Architecture,
        levels: Sequence[tuple[int, int, int]],
        coded: Sequence[bool] | npt.NDArray[np.bool_],
        first_level: int = 0,
    ) -> None:
        level_of = np.repeat(np.arange(len(levels)), architecture.features)
        # From the coarsest level to the finest, the grids of a level in order.
        order = np.lexsort((np.arange(len(level_of)), -level_of))
        self.coded = order[np.array(coded, bool)[order]]
        self.rows, self.columns = np.array([shape[1:] for shape in levels], np.intp)[level_of].T
        read = [math.prod(shape) * (level >= first_level) for level, shape in enumerate(levels)]
        self.values = np.zeros(sum(read), np.int16)
        ends = np.cumsum(read)
        self.levels = [
            (
                self.values[end - size : end] if size else np.zeros(math.prod(shape), np.int16)
            ).reshape(shape)
            for end, size, shape in zip(ends.tolist(), read, levels, strict=True)
        ]
        cells = self.rows * self.columns * (level_of >= first_level)
        self.places = np.cumsum(cells) - cells
        # Wide enough for two grids of a level beside each other below one of the level before.
        self.stride = 2 * MARGIN + int(self.columns[self.coded].max(initial=0))
        self.corners = np.zeros(len(level_of), np.intp)
        self.seen = np.zeros(self._arrange() * self.stride, np.int8)
        self.sources = architecture.context_sources
        down, across = np.array(NEIGHBOURS[: architecture.neighbours], np.intp).T
        self.offsets = down * self.stride + across
        """(neighbours,) From a cell to its neighbours in the plane."""

    def _arrange(self) -> int:
        """Find each coded grid a place in the plane, on shelves; return the rows of all shelves."""
        top, height, left = 0, 0, 0
        for grid in reversed(self.coded.tolist()):
            width = MARGIN + int(self.columns[grid])
            if left + width > self.stride:
                top, height, left = top + height, 0, 0
            self.corners[grid] = (top + MARGIN) * self.stride + left + MARGIN
            left += width
            height = max(height, MARGIN + int(self.rows[grid]))
        return top + height

    def fill(self, levels: Sequence[npt.NDArray[np.int16 | np.int32]]) -> None:
        """Take in the integers of all levels' grids."""
        for view, level in zip(self.levels, levels, strict=True):
            view[...] = level
        grids = [grid for level in self.levels for grid in level]
        for grid in self.coded.tolist():
            top, left = divmod(int(self.corners[grid]), self.stride)
            place = self.seen.reshape(-1, self.stride)[top:, left:]
            rows, columns = grids[grid].shape
            np.clip(grids[grid], -CLIP, CLIP, out=place[:rows, :columns])

    def contexts(self, cells: Indices, sources: Indices) -> npt.NDArray[np.int8]:
        """Return the (inputs, cells) integers that cells are predicted from: see Block."""
        neighbours = len(self.offsets)
        where = np.empty((neighbours + len(sources), len(cells)), np.intp)
        np.add(self.offsets[:, None], cells, out=where[:neighbours])
        where[neighbours:] = sources
        contexts: npt.NDArray[np.int8] = self.seen.take(where)
        return contexts

    def spans(self, symbols: int) -> Iterator[tuple[int, int]]:
        """Yield ranges of steps that follow each other and have about `symbols` cells at most."""
        rows, columns = self.rows[self.coded], self.columns[self.coded]
        steps = int((np.arange(len(rows)) + columns + _SLOPE * (rows - 1)).max(initial=0))
        span = max(1, symbols // max(1, int(np.minimum(rows, -(-columns // _SLOPE)).sum())))
        for first in range(0, steps, span):
            yield first, min(first + span, steps)

    def blocks(self, parts: Sequence[int]) -> Iterator[Block]:
        """Yield all cells: step t has, of the o-th coded grid, row i's column t - o - 3 i.

        `parts` are the numbers of coded grids in the parts that `Block.bounds` tells apart.
        """
        count = len(self.coded)
        if count == 0:
            return
        rows, columns = self.rows[self.coded], self.columns[self.coded]
        table, octaves = self._source_rows()
        firsts = np.cumsum(rows) - rows
        parted = np.cumsum([0, *parts])
        for first, last in self.spans(_BLOCK):
            t = np.arange(first, last)[:, None] - np.arange(count)
            top = np.maximum(-((columns - 1 - t) // _SLOPE), 0)
            bottom = np.minimum(t // _SLOPE, rows - 1)
            counts = np.maximum(bottom - top + 1, 0)
            ends = np.cumsum(counts).reshape(counts.shape)
            which = np.repeat(np.tile(np.arange(count), len(t)), counts.ravel())
            row = np.repeat((top - ends + counts).ravel(), counts.ravel())
            row += np.arange(len(row))
            column = np.repeat(t.ravel(), counts.ravel()) - _SLOPE * row
            sources = table.take(firsts.take(which) + row, axis=1)
            sources += column >> octaves
            yield Block(
                cells=self.corners[self.coded].take(which) + row * self.stride + column,
                sources=sources,
                grids=self.coded.take(which),
                places=self.places[self.coded].take(which) + row * columns.take(which) + column,
                bounds=np.concatenate([ends[:, :1] - counts[:, :1], ends], axis=1)[
                    :, parted
                ].tolist(),
            )

    def _source_rows(self) -> tuple[Indices, Indices]:
        """Return where the rows begin that each row of the coded grids sees, and the octaves.

        (sources, rows of all coded grids), and (sources, 1). Where there is no source, or none
        that is coded, that is the margin above the first grid.
        """
        coded = {*self.coded.tolist()}
        octaves = np.zeros((len(self.sources[0]), 1), np.intp)
        tables = []
        for grid in self.coded.tolist():
            table = np.zeros((len(octaves), self.rows[grid]), np.intp)
            for number, source in enumerate(self.sources[grid]):
                if source is not None and source[0] in coded:
                    other, octaves[number] = source
                    row = np.arange(self.rows[grid]) >> source[1]
                    table[number] = self.corners[other] + row * self.stride
            tables.append(table)
        return np.concatenate(tables, axis=1), octaves
