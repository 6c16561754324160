"""The order in which the integers of latent grids are coded: a wavefront over all grids at once.

The integers of one step do not depend on each other; they depend on those of earlier steps.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from siren_codec.field import Architecture
from siren_codec.field.kernel import level_shape

__all__ = ["MARGIN", "NEIGHBOURS", "Block", "Wavefront", "shapes"]

Indices = npt.NDArray[np.intp]
Int16 = npt.NDArray[np.int16]

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
    """(cells, sources): where in the plane the other grids' integers are that they see."""
    grids: Indices
    """The grid of each cell."""
    bounds: list[list[int]]
    """For each step where its cells begin, and where those end of each part of the grids."""


class Wavefront:
    """The grids of the levels from `first_level` on, and the order of the cells of the coded ones.

    All lie in one flat plane; a row is `strides[grid]` cells long, and zeros are where neighbours
    may lie outside a grid. `coded` says for each grid of the architecture whether it is.
    """

    def __init__(
        self,
        architecture: Architecture,
        levels: Sequence[tuple[int, int, int]],
        coded: Sequence[bool],
        first_level: int = 0,
    ) -> None:
        self.shapes = [*levels]
        self.first_level = first_level
        level_of = np.repeat(np.arange(len(levels)), architecture.features)
        # From the coarsest level to the finest, the grids of a level in order.
        self.coded = np.lexsort((np.arange(len(level_of)), -level_of))
        self.coded = self.coded[np.array(coded)[self.coded]]
        self.rows = np.array([levels[level][1] for level in level_of], np.intp)
        self.columns = np.array([levels[level][2] for level in level_of], np.intp)
        self.strides = self.columns + MARGIN
        sizes = (self.rows + MARGIN) * self.strides * (level_of >= first_level)
        self.starts = np.cumsum(sizes) - sizes
        self.plane = np.zeros(int(sizes.sum()), np.int16)
        self._sources = architecture.context_sources
        self._neighbours = architecture.neighbours
        self.inputs = -(-architecture.context_inputs // 4) * 4
        self._offsets = np.zeros((len(level_of), self.inputs), np.intp)
        down, across = np.array(NEIGHBOURS[: architecture.neighbours], np.intp).T
        self._offsets[:, : architecture.neighbours] = down * self.strides[:, None] + across

    def levels(self) -> list[Int16]:
        """Return each level's (features, rows, columns): parts of the plane, or untouched zeros."""
        found, start = [], 0
        for level, (features, rows, columns) in enumerate(self.shapes):
            if level < self.first_level:
                found.append(np.zeros((features, rows, columns), np.int16))
                continue
            shape = features, rows + MARGIN, columns + MARGIN
            whole = self.plane[start : start + math.prod(shape)].reshape(shape)
            found.append(whole[:, MARGIN:, MARGIN:])
            start += whole.size
        return found

    def contexts(self, cells: Indices, sources: Indices, grids: Indices) -> Int16:
        """Return the (cells, inputs) integers that cells are predicted from: see Block.

        They are padded to a multiple of 4 with what the network has no weights for.
        """
        places = self._offsets.take(grids, axis=0)
        places += cells[:, None]
        places[:, self._neighbours : self._neighbours + sources.shape[1]] = sources
        contexts: Int16 = self.plane.take(places)
        return contexts

    def blocks(self, parts: Sequence[int]) -> Iterator[Block]:
        """Yield all cells: step t has, of the o-th coded grid, row i's column t - o - 3 i.

        `parts` are the numbers of coded grids in the parts that `Block.bounds` tells apart.
        """
        count = len(self.coded)
        if count == 0:
            return
        rows, columns = self.rows[self.coded], self.columns[self.coded]
        down = self.strides[self.coded] - _SLOPE
        corners = self.starts[self.coded] + MARGIN * (self.strides[self.coded] + 1)
        table, octaves = self._source_rows()
        firsts = np.cumsum(rows) - rows
        parted = np.cumsum([0, *parts])
        steps = int((np.arange(count) + columns + _SLOPE * (rows - 1)).max())
        span = max(1, _BLOCK // int(np.minimum(rows, -(-columns // _SLOPE)).sum()))
        for first in range(0, steps, span):
            t = np.arange(first, min(first + span, steps))[:, None] - np.arange(count)
            top = np.maximum(-((columns - 1 - t) // _SLOPE), 0)
            bottom = np.minimum(t // _SLOPE, rows - 1)
            counts = np.maximum(bottom - top + 1, 0)
            ends = np.cumsum(counts).reshape(counts.shape)
            which = np.repeat(np.tile(np.arange(count), len(t)), counts.ravel())
            row = np.repeat((top - ends + counts).ravel(), counts.ravel())
            row += np.arange(len(row))
            time = np.repeat(t.ravel(), counts.ravel())
            sources = table.take(firsts.take(which) + row, axis=0)
            sources += (time - _SLOPE * row)[:, None] >> octaves
            yield Block(
                cells=corners.take(which) + time + row * down.take(which),
                sources=sources,
                grids=self.coded.take(which),
                bounds=np.concatenate([ends[:, :1] - counts[:, :1], ends], axis=1)[
                    :, parted
                ].tolist(),
            )

    def _source_rows(self) -> tuple[Indices, Indices]:
        """Return where the rows begin that each row of the coded grids sees, and the octaves.

        (rows of all coded grids, sources), and (sources,). Where there is no source, or none that
        is coded, that is the margin above the grid itself.
        """
        coded = {*self.coded.tolist()}
        octaves = np.zeros(len(self._sources[0]), np.intp)
        tables = []
        for grid in self.coded.tolist():
            table = np.full((self.rows[grid], len(octaves)), self.starts[grid])
            for number, source in enumerate(self._sources[grid]):
                if source is not None and source[0] in coded:
                    other, octaves[number] = source
                    row = np.arange(self.rows[grid]) >> octaves[number]
                    table[:, number] = (
                        self.starts[other] + (row + MARGIN) * self.strides[other] + MARGIN
                    )
            tables.append(table)
        return np.concatenate(tables), octaves
