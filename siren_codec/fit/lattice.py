"""Where a picture is sampled while it is fitted: rows and columns, cut into tiles."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.field.evaluate import Float64
from siren_codec.field.spline import level_shape, spline_matrix, unit_coordinates

__all__ = [
    "STRIPE",
    "Lattice",
    "Stripes",
    "Tile",
    "bands_of",
    "cut",
    "tile_shape",
]

_CPU_TILE = (64, 256)
"""Rows and columns of a tile: activations of a layer stay in a core's cache, and so do the
matrices that sample the grids, of which most is zeros."""
_GPU_TILE = (1024, 4096)
_COPIES = 8
"""Of a hidden layer's activations that a step holds at once, about: for two layers angles, sines,
slopes and gradients."""


STRIPE = 64
"""Rows of pixels that are looked at together, or not at all."""

Stripes = tuple[int, ...] | None
"""Which stripes of a picture are looked at: None is all of them."""


@dataclass(frozen=True)
class Tile:
    """A part of a lattice, and of each level's grids the part that it sees."""

    x: Tensor
    """(columns,) unit coordinates."""
    y: Tensor
    """(rows,) unit coordinates."""
    rows: slice
    columns: slice
    seen: tuple[tuple[slice, slice], ...]
    """For each level the rows and columns of its grids."""
    across: tuple[Tensor, ...]
    """For each level the (cells seen, columns) weights of its cells' columns."""
    down: tuple[Tensor, ...]
    """For each level the (rows, cells seen) weights of its cells' rows."""

    @property
    def points(self) -> int:
        """The number of points."""
        return len(self.x) * len(self.y)

    def inputs(self, latents: Sequence[Tensor], first_level: int = 0) -> Tensor:
        """Return the SIREN's (inputs, points): x, y and each grid's value there.

        Levels below `first_level` count as 0.
        """
        grids = sum(len(level) for level in latents)
        inputs = self.x.new_empty(2 + grids, len(self.y), len(self.x))
        inputs[0] = self.x
        inputs[1] = self.y[:, None]
        start = 2
        for level, values in enumerate(latents):
            out = inputs[start : start + len(values)]
            start += len(values)
            if level < first_level:
                out.zero_()
            elif len(values):
                rows, columns = self.seen[level]
                narrow = torch.matmul(self.down[level], values[:, rows, columns])
                torch.matmul(narrow, self.across[level], out=out)
        return inputs.view(len(inputs), -1)

    def spread(
        self, gradient: Tensor, latents: Sequence[Tensor], first_level: int = 0
    ) -> Iterator[tuple[int, tuple[slice, slice], Tensor]]:
        """Yield the gradient of each level's seen cells, given that of `inputs`."""
        planes = gradient.view(len(gradient), len(self.y), len(self.x))
        start = 2
        for level, values in enumerate(latents):
            part = planes[start : start + len(values)]
            start += len(values)
            if level >= first_level and len(values):
                narrow = torch.matmul(part, self.across[level].T)
                yield level, self.seen[level], torch.matmul(self.down[level].T, narrow)


class Lattice:
    """Points at the crossings of columns and rows, given in pixel coordinates, and their samples.

    `target` is (channels, rows, columns) in [-1, 1], or None where a picture is only evaluated;
    `weights`, of the same shape, say how much each sample's error counts. A lattice of some
    `stripes` stands for the whole picture; it is one of so many that take `turns`.
    """

    def __init__(
        self,
        xs: Float64,
        ys: Float64,
        *,
        width: int,
        height: int,
        levels: int,
        device: str,
        target: Tensor | None = None,
        weights: Tensor | None = None,
        stripes: Stripes = None,
        turns: int = 1,
    ) -> None:
        self.xs, self.ys = xs, ys
        self.width, self.height = width, height
        self.levels = levels
        self.device = device
        self.target = target
        self.weights = weights
        self.stripes = stripes
        self.turns = turns
        self._tiles: dict[tuple[int, int], list[Tile]] = {}

    @property
    def points(self) -> int:
        """The number of points."""
        return len(self.xs) * len(self.ys)

    @property
    def share(self) -> float:
        """What it is of what it stands for."""
        return 1.0 if self.stripes is None else len(self.ys) / self.height

    @property
    def channels(self) -> int:
        """The channels of its samples."""
        return 0 if self.target is None else len(self.target)

    @property
    def samples(self) -> int:
        """The number of its samples, at least 1."""
        return max(1, self.channels * self.points)

    def in_turn(self, count: int) -> list["Lattice"]:
        """Return lattices that together are this one, a picture's: every `count`-th stripe each.

        They are fewer where there are fewer stripes.
        """
        assert self.target is not None
        assert len(self.ys) == self.height
        stripes = -(-self.height // STRIPE)
        if min(count, stripes) <= 1:
            return [self]
        found = []
        for first in range(min(count, stripes)):
            chosen = tuple(range(first, stripes, count))
            rows = np.concatenate([np.arange(*_rows_of(s, 0, self.height)) for s in chosen])
            found.append(
                Lattice(
                    self.xs,
                    self.ys[rows],
                    width=self.width,
                    height=self.height,
                    levels=self.levels,
                    device=self.device,
                    target=self.target[:, rows],
                    weights=None if self.weights is None else self.weights[:, rows],
                    stripes=chosen,
                    turns=min(count, stripes),
                )
            )
        return found

    def tile_shape(self, tile: tuple[int, int] | None = None) -> tuple[int, int]:
        """Return the most rows and columns of a tile: those asked for, or the device's."""
        return tile or (_CPU_TILE if self.device == "cpu" else _GPU_TILE)

    def tiles(self, tile: tuple[int, int] | None = None) -> list[Tile]:
        """Return the tiles that the lattice is cut into, row by row: see `tile_shape`."""
        shape = self.tile_shape(tile)
        if shape not in self._tiles:
            self._tiles = {shape: self._cut(*shape)}
        return self._tiles[shape]

    def cut_rows(self, most: int) -> list[slice]:
        """Cut the rows into nearly equal parts of at most so many, none across a gap."""
        gaps = () if self.stripes is None else np.flatnonzero(np.diff(self.ys) > 1) + 1
        edges = [0, *gaps, len(self.ys)]
        return [
            slice(first + part.start, first + part.stop)
            for first, last in pairwise(edges)
            for part in cut(last - first, most)
        ]

    def _cut(self, most_rows: int, most_columns: int) -> list[Tile]:
        shapes = [level_shape(self.width, self.height, level) for level in range(self.levels)]
        rows = self.cut_rows(most_rows)
        columns = cut(len(self.xs), most_columns)
        down = [
            [self._matrix(self.ys[part], level, shapes[level][0]) for level in range(self.levels)]
            for part in rows
        ]
        across = [
            [
                (seen, matrix.T.contiguous())
                for seen, matrix in (
                    self._matrix(self.xs[part], level, shapes[level][1])
                    for level in range(self.levels)
                )
            ]
            for part in columns
        ]
        x = self._tensor(unit_coordinates(self.xs, self.width))
        y = self._tensor(unit_coordinates(self.ys, self.height))
        return [
            Tile(
                x[column],
                y[row],
                row,
                column,
                tuple(
                    (seen_rows, seen_columns)
                    for (seen_rows, _), (seen_columns, _) in zip(down[i], across[j], strict=True)
                ),
                tuple(matrix for _, matrix in across[j]),
                tuple(matrix for _, matrix in down[i]),
            )
            for i, row in enumerate(rows)
            for j, column in enumerate(columns)
        ]

    def _matrix(self, pixels: Float64, level: int, cells: int) -> tuple[slice, Tensor]:
        seen, matrix = spline_matrix(pixels, level, cells)
        return seen, self._tensor(matrix)

    def _tensor(self, values: Float64) -> Tensor:
        return torch.tensor(values.astype(np.float32), device=self.device)


def tile_shape(
    architecture: Architecture, device: str, memory: int | None = None
) -> tuple[int, int]:
    """Return the most rows and columns of a tile, whose activations take no more than `memory`."""
    rows, columns = _CPU_TILE if device == "cpu" else _GPU_TILE
    each = 4 * (architecture.inputs + _COPIES * architecture.hidden_features)
    while memory and rows > 1 and rows * columns * each > memory:
        rows //= 2
    return rows, columns


def cut(length: int, most: int) -> list[slice]:
    """Cut a length into as few nearly equal parts as keep to `most`."""
    count = -(-length // most)
    edges = [length * index // count for index in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def bands_of(
    level: int, rows: int, columns: int, symbols: int, stripes: Stripes = None
) -> Iterator[tuple[int, int]]:
    """Yield (start, stop) rows of a level's grid, of about so many symbols, all or of stripes."""
    step = max(1, symbols // columns)
    wholes = [(0, rows)] if stripes is None else [_rows_of(one, level, rows) for one in stripes]
    for first, last in wholes:
        for start in range(first, last, step):
            yield start, min(last, start + step)


def _rows_of(stripe: int, level: int, rows: int) -> tuple[int, int]:
    """Return the rows of a level's grid that begin in a stripe: (start, stop)."""
    start, stop = (-(-STRIPE * edge >> level) for edge in (stripe, stripe + 1))
    return min(start, rows), min(stop, rows)
