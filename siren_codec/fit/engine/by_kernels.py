"""The engine of the compiled kernels: a CPU's."""

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.field import BYPASS_SCALE, Architecture
from siren_codec.field.spline import spline_taps, unit_coordinates
from siren_codec.fit.engine.base import Engine, Grids, Loss
from siren_codec.fit.kernels.layout import (
    INS,
    LANES,
    OUTS,
    STRIDE,
    STRIP,
    TAPS,
    ContextPlace,
    Layer,
    Level,
    NetworkPlace,
    Seen,
    SirenPlace,
    Source,
)
from siren_codec.fit.kernels.native import Flat, Library
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice, Stripes, bands_of, cut
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.soap import Adam
from siren_codec.fit.step_settings import StepSettings
from siren_codec.stream.latents import MARGIN, NEIGHBOURS

__all__ = ["KernelEngine"]

Floats = npt.NDArray[np.float32]
Table = npt.NDArray[np.int64]
Array = npt.NDArray[Any]

_TILE = (64, 512)
"""Rows and columns of a tile, at most: what a core takes at a time."""
_SYMBOLS = 1 << 15
"""Symbols of the bands that a core takes at a time, about."""
_SHARES = 4
"""A small picture, and its grids, are cut into so many parts too, for other cores to help."""
_LEAST_ROWS, _LEAST_SYMBOLS = 16, 1 << 10
"""But not into smaller ones."""
_WORTH_A_THREAD = 1 << 16
"""Latents that are softened, or moved: fewer take less time than it takes to wake a thread."""
_LINE = 16
"""float32 numbers of a cache line: rows that begin with one are read fastest."""
_NO_FLOATS = Flat(np.zeros(0, np.float32))
_NO_SAMPLES: Floats = np.zeros((0, 0, 0), np.float32)


class KernelEngine(Engine):
    """Computes by compiled kernels, of every shape of network and picture."""

    def __init__(self, kernels: Library, pool: ThreadPoolExecutor, threads: int) -> None:
        super().__init__("cpu", pool, threads)
        self._kernels = kernels
        self._of_thread = threading.local()
        self._tilings: WeakKeyDictionary[Lattice, dict[int, _Tiling]] = WeakKeyDictionary()
        self._bandings: WeakKeyDictionary[Latents, dict[tuple[int, Stripes], _Banding]] = (
            WeakKeyDictionary()
        )
        self._patches: list[Flat] = []

    def prepared(self, settings: StepSettings) -> StepSettings:
        """Return settings as they are: numbers."""
        return settings

    def soften(
        self,
        latents: Latents,
        noise: Noise,
        settings: StepSettings,
        first: int,
        soft: Tensor,
        slope: Tensor,
    ) -> None:
        """Set what the loss sees of the latents from level `first` on, and its derivative."""
        chunks = [part for _, part in latents.chunks(first)]
        places = noise.places.tolist()
        values, out, slopes, pool = (
            tensor.numpy() for tensor in (latents.flat, soft, slope, noise.pool)
        )
        temperature = float(settings.temperature)
        gain = 0.5 / math.tanh(0.5 / temperature)

        def chunk(index: int) -> None:
            part, place = chunks[index], places[index]
            added = pool[place : place + part.stop - part.start]
            arrays = values[part], added, out[part], slopes[part]
            self._kernels["soften"](*arrays, temperature, gain, settings.noise)

        self._over(chunk, len(chunks), sum(part.stop - part.start for part in chunks))

    def move(
        self,
        adam: Adam,
        gradients: Sequence[Tensor],
        slopes: Sequence[Tensor],
        settings: StepSettings,
    ) -> None:
        """Take a step of Adam on the grids, along gradients times slopes."""
        first = len(adam.parameters) - len(gradients)
        beta1, beta2 = adam.betas

        def chunk(index: int) -> None:
            of_mean, of_square = adam.advance(first + index)
            mean, square = adam.moments(first + index)
            tensors = adam.parameters[first + index], gradients[index], slopes[index], mean, square
            numbers = beta1, beta2, float(settings.latent_rate) / of_mean, 1 / of_square
            self._kernels["adam"](*(t.numpy() for t in tensors), *numbers)

        self._over(chunk, len(gradients), sum(map(len, gradients)))

    def backward(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None = None,
    ) -> Tensor:
        """Set the gradients of the model's matrices and of the grids; return error and bits."""
        scale = 1 / lattice.samples
        job = _Job(self, self._kernels, model, lattice, grids, exponents)
        of_siren, of_context = job.siren.rows(job.tiling.count), job.context.rows(job.banding.count)
        gradient = None if grids.gradient is None else Flat(grids.gradient.numpy())
        if gradient:
            gradient.array[grids.latents.starts[grids.first_level] :] = 0

        tiles = job.tiling.count
        values: list[float] = []

        def part(index: int) -> tuple[float, Flat, Flat]:
            if index < tiles:
                patch = self._patch(job.tiling.patches[index])
                value = job.tile(index, scale, of_siren[index], patch)
                return value, patch, job.tiling.pieces[index]
            index -= tiles
            patch = self._patch(job.banding.patches[index])
            value = job.bands(index, of_context[index], patch)
            return value, patch, job.banding.pieces[index]

        def take(result: tuple[float, Flat, Flat]) -> None:
            value, patch, pieces = result
            values.append(value)
            if gradient:
                self._kernels["add_patch"](gradient, patch, pieces)
            self._patches.append(patch)

        self.run(part, range(job.count), take)
        error, bits = sum(values[:tiles]), sum(values[tiles:]) / lattice.share
        fine = job.siren.set_gradients(model.matrices[: model.depth], of_siren)
        if job.banding.count:
            fine &= job.context.set_gradients(model.matrices[model.depth :], of_context)
        if not fine:
            for matrix in model.matrices:
                matrix.grad = torch.zeros_like(matrix)
        return torch.tensor([error * scale if fine else math.nan, bits], dtype=torch.float64)

    def loss(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None = None,
        *,
        clip: bool = False,
        tiles: int | None = None,
        distortion: bool = True,
        rate: bool = True,
    ) -> Loss:
        """Return the loss, if asked for with samples clipped to their range, or a part of it."""
        job = _Job(self, self._kernels, model, lattice, grids, exponents)
        stride = max(1, job.tiling.count // tiles) if tiles else 1
        chosen = range(0, job.tiling.count, stride) if distortion else range(0)
        # The last jobs are those of the coarse levels, whose few bands differ.
        weights = job.banding.weights(stride) if rate else {}
        places = [*chosen, *(job.tiling.count + index for index in weights)]

        def part(index: int) -> float:
            if index < job.tiling.count:
                return job.tile(index, 0.0, None, _NO_FLOATS, clip=clip)
            return job.bands(index - job.tiling.count, None, _NO_FLOATS)

        values = self.map(part, places)
        points = sum(job.tiling.points(index) for index in chosen)
        bits = sum(
            weight * value
            for weight, value in zip(weights.values(), values[len(chosen) :], strict=True)
        )
        error = sum(values[: len(chosen)]) / max(1, lattice.channels * points)
        return Loss(error, bits, grids.price)

    def _over(self, chunk: Callable[[int], None], count: int, latents: int) -> None:
        """Call a function of the numbers of chunks, in threads if that is worth waking them."""
        if latents >= _WORTH_A_THREAD:
            self.map(chunk, range(count))
            return
        for index in range(count):
            chunk(index)

    def tiling(self, lattice: Lattice, latents: Latents, first_level: int) -> "_Tiling":
        """Return the tiles of a lattice, made when they are first asked for."""
        known = self._tilings.setdefault(lattice, {})
        if first_level not in known:
            known[first_level] = _Tiling(lattice, latents, first_level)
        return known[first_level]

    def banding(self, latents: Latents, first_level: int, stripes: Stripes) -> "_Banding":
        """Return the bands of grids, made when they are first asked for."""
        known = self._bandings.setdefault(latents, {})
        which = first_level, stripes
        if which not in known:
            known[which] = _Banding(latents, *which)
        return known[which]

    def scratch(self, size: int) -> Flat:
        """Return an array of this thread's own, of at least so many numbers, whatever these are."""
        found: Flat | None = getattr(self._of_thread, "scratch", None)
        if found is None or len(found.array) < size:
            found = self._of_thread.scratch = Flat(aligned(size))
        return found

    def _patch(self, size: int) -> Flat:
        """Return an array of at least so many numbers: one that was given back, or a new one."""
        try:
            found = self._patches.pop()
        except IndexError:
            return Flat(aligned(size))
        return found if len(found.array) >= size else Flat(aligned(size))


def aligned(size: int) -> Floats:
    """Return zeros that begin with a cache line."""
    found = np.zeros(size + _LINE, np.float32)
    start = -found.ctypes.data // 4 % _LINE
    return found[start : start + size]


class _Job:
    """What all parts of one evaluation have in common."""

    def __init__(
        self,
        engine: KernelEngine,
        kernels: Library,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None,
    ) -> None:
        self._engine = engine
        self._kernels = kernels
        self._grids = Flat(grids.values.detach().numpy())
        self._price = grids.price / lattice.share
        architecture = model.architecture
        matrices = [matrix.detach().numpy() for matrix in model.effective(exponents)]
        self.tiling = engine.tiling(lattice, grids.latents, grids.first_level)
        self.siren = _Network.of_siren(architecture, matrices[: model.depth])
        self.context = _Network.of_context(architecture, matrices[model.depth :])
        priced = grids.first_level if grids.price else len(grids.latents.shapes)
        self.banding = engine.banding(grids.latents, priced, lattice.stripes)
        self._neighbours = _neighbours(architecture.neighbours)
        self._sources = _sources(architecture, grids.latents)
        self._of_siren, self._siren_size = self.siren.flat(SirenPlace, self.tiling.cells)
        if self.banding.count:
            self._of_context, self._context_size = self.context.flat(ContextPlace, {})

    @property
    def count(self) -> int:
        """The number of parts: tiles, then jobs of bands."""
        return self.tiling.count + self.banding.count

    def tile(
        self,
        index: int,
        scale: float,
        gradient: Floats | None,
        patch: Flat,
        *,
        clip: bool = False,
    ) -> float:
        """Return a tile's sum of squared errors; see the kernel."""
        tiling = self.tiling
        return self._kernels["siren_tile"](
            *(tiling.areas[index], *tiling.picture, self._grids),
            *(tiling.flat_levels, tiling.seen[index], *tiling.taps),
            *(*self._of_siren, self._engine.scratch(self._siren_size)),
            *(_NO_FLOATS if gradient is None else gradient, patch),
            scale,
            clip,
            gradient is not None,
        )

    def bands(self, index: int, gradient: Floats | None, patch: Flat) -> float:
        """Return the bits of a job's bands; see the kernel."""
        return self._kernels["context_bands"](
            *(self.banding.jobs[index], self._neighbours, self._sources, self._grids),
            *(*self._of_context, self._engine.scratch(self._context_size)),
            *(_NO_FLOATS if gradient is None else gradient, patch),
            self._price,
            gradient is not None,
        )


@lru_cache(maxsize=16)
def _neighbours(count: int) -> Flat:
    """Return (row, column) offsets."""
    return Flat(np.array(NEIGHBOURS[:count], np.int64).reshape(-1, 2))


def _sources(architecture: Architecture, latents: Latents) -> Flat:
    """Return the (grids, sources, 3) that `layout.Source` names."""
    places = [
        (start + feature * rows * columns, columns)
        for start, (features, rows, columns) in zip(latents.starts, latents.shapes, strict=False)
        for feature in range(features)
    ]
    count = architecture.context_inputs - architecture.neighbours
    found = np.full((architecture.grids, count, len(Source)), -1, np.int64)
    for row, of_grid in zip(found, architecture.context_sources, strict=True):
        for place, source in zip(row, of_grid, strict=True):
            if source is not None:
                place[:] = *places[source[0]], source[1]
    return Flat(found)


class _Layout:
    """Where kernels find the parts of a network: in its parameters, and in a thread's scratch."""

    def __init__(
        self,
        shapes: tuple[tuple[int, int], ...],
        biases: tuple[int, ...],
        omegas: tuple[float, ...],
        bypass: float | None,
    ) -> None:
        """Lay out layers of (outputs, inputs), so many biases and a factor of their parameters.

        With a `bypass` the last layer's inputs are the hidden features and, times this factor, the
        network's inputs.
        """
        self._shapes = shapes
        self._biases = biases
        self._factors = [
            np.full(n_in, omega, np.float32)
            for (_, n_in), omega in zip(shapes, omegas, strict=True)
        ]
        self._columns = [np.arange(n_in) for _, n_in in shapes]
        self.omegas = omegas
        inputs = shapes[0][1] if shapes else 0
        if bypass is not None:
            hidden = shapes[-1][1] - inputs
            self._factors[-1][hidden:] *= np.float32(bypass)
            self._columns[-1][hidden:] += _padded(hidden) - hidden
        self.table = np.zeros((len(shapes), len(Layer)), np.int64)
        self.size, self._used = 0, _LINE
        self._x = 0
        for index, (row, (n_out, _), count) in enumerate(
            zip(self.table, shapes, biases, strict=True)
        ):
            outs, ins = _padded(n_out), _padded(int(self._columns[index][-1]) + 1)
            row[: Layer.SUMS] = outs, ins, self.size, self.size + outs * ins
            self.size += outs * (ins + count)
            row[Layer.SUMS] = self._take(outs * ins // (OUTS * INS) * LANES)
            row[Layer.SLOPE] = self._take(outs * STRIDE)
            row[Layer.OUT] = self._take(outs * STRIDE)
            if index == max(len(shapes) - 2, 0):
                self._x = self._take(_padded(inputs) * STRIDE)

    def views(self, parameters: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Yield each layer's weight, its rows and columns made up, and (biases, outputs) biases."""
        for row, (n_out, _), count in zip(
            self.table.tolist(), self._shapes, self._biases, strict=True
        ):
            outs, ins, weight, bias = row[: Layer.SUMS]
            yield (
                parameters[weight : weight + outs * ins].reshape(outs, ins)[:n_out],
                parameters[bias : bias + outs * count].reshape(count, outs)[:, :n_out],
            )

    def pack(self, matrices: Sequence[Floats]) -> Floats:
        """Return the parameters of matrices [weight | biases]."""
        parameters = np.zeros(self.size, np.float32)
        for matrix, (weight, bias), columns, factors, omega in zip(
            *(matrices, self.views(parameters), self._columns, self._factors, self.omegas),
            strict=True,
        ):
            weight[:, columns] = matrix[:, : len(columns)] * factors
            np.multiply(matrix[:, len(columns) :].T, np.float32(omega), out=bias)
        return parameters

    def unpack(self, gradient: Floats) -> list[Floats]:
        """Return the gradients by matrices, given that by the parameters."""
        return [
            np.concatenate([weight[:, columns] * factors, bias.T * np.float32(omega)], axis=1)
            for (weight, bias), columns, factors, omega in zip(
                self.views(gradient), self._columns, self._factors, self.omegas, strict=True
            )
        ]

    def places(self, things: Iterable[IntEnum], sizes: Mapping[IntEnum, int]) -> tuple[Table, int]:
        """Return where the network's and other things lie in a scratch, and its size.

        A thing is a row if its size is not said.
        """
        widest = int(self.table[:, : Layer.WEIGHT].max(initial=0))
        places, at = [self._x], self._used
        for size in [widest * STRIDE] * (len(NetworkPlace) - 1) + [
            sizes.get(thing, STRIDE) for thing in things
        ]:
            places.append(at)
            at += -(-size // _LINE) * _LINE
        return np.array(places, np.int64), at

    def _take(self, size: int) -> int:
        place = self._used
        self._used += -(-size // _LINE) * _LINE
        return place


_laid_out = lru_cache(maxsize=16)(_Layout)


class _Network:
    """A network as kernels see it: flat parameters and their layout."""

    def __init__(self, matrices: Sequence[Floats], layout: _Layout) -> None:
        """Pack matrices [weight | biases]."""
        self.layout = layout
        self.parameters = layout.pack(matrices)

    @classmethod
    def of_siren(cls, architecture: Architecture, matrices: Sequence[Floats]) -> "_Network":
        """Pack a SIREN."""
        shapes, omegas = architecture.shapes, (*architecture.omegas, 1.0)
        bypass = BYPASS_SCALE if architecture.grids else None
        return cls(matrices, _laid_out(shapes, (1,) * len(shapes), omegas, bypass))

    @classmethod
    def of_context(cls, architecture: Architecture, matrices: Sequence[Floats]) -> "_Network":
        """Pack a context network; without grids there is none."""
        shapes = architecture.context_shapes
        biases = (architecture.grids, 1, 1)[: len(shapes)]
        bypass = 1.0 if shapes else None
        return cls(matrices, _laid_out(shapes, biases, (1.0,) * len(shapes), bypass))

    def flat(
        self, things: Iterable[IntEnum], sizes: Mapping[IntEnum, int]
    ) -> tuple[tuple[Flat, Flat, Flat], int]:
        """Return parameters, table and places as kernels take them, and the scratch's size."""
        places, size = self.layout.places(things, sizes)
        return (Flat(self.parameters), Flat(self.layout.table), Flat(places)), size

    def rows(self, count: int) -> Floats:
        """Return room for the gradients of so many parts."""
        return np.empty((count, len(self.parameters)), np.float32)

    def set_gradients(self, matrices: Sequence[Tensor], rows: Floats) -> bool:
        """Set the gradients of matrices to the sum of the parts' rows.

        Tell whether they, the sum of their squares (of which SOAP takes eigenvectors), and the
        parameters are finite: the kernels may lose a parameter that is not.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            total = rows.sum(axis=0, dtype=np.float64).astype(np.float32)
            if not math.isfinite(float(np.dot(total, total)) + float(self.parameters.sum())):
                return False
        for matrix, found in zip(matrices, self.layout.unpack(total), strict=True):
            matrix.grad = torch.from_numpy(found)
        return True


def _padded(size: int) -> int:
    return -(-size // OUTS) * OUTS


class _Tiling:
    """A lattice as kernels see it: samples, taps and tiles."""

    def __init__(self, lattice: Lattice, latents: Latents, first_level: int) -> None:
        assert lattice.target is not None
        weights = _NO_SAMPLES if lattice.weights is None else lattice.weights.numpy()
        xs = unit_coordinates(lattice.xs, lattice.width).astype(np.float32)
        ys = unit_coordinates(lattice.ys, lattice.height).astype(np.float32)
        self.picture = Flat(xs), Flat(ys), Flat(lattice.target.numpy()), Flat(weights)
        taking_part = [
            level
            for level, shape in enumerate(latents.shapes)
            if level >= first_level and shape[0] > 0
        ]
        shapes = [latents.shapes[level] for level in taking_part]
        inputs = [2 + sum(n for n, _, _ in latents.shapes[:level]) for level in taking_part]
        self.levels: Table = np.array(
            [
                (latents.starts[level], *shape, row)
                for level, shape, row in zip(taking_part, shapes, inputs, strict=True)
            ],
            np.int64,
        ).reshape(-1, len(Level))
        rows = [shape[1] for shape in shapes]
        columns = [shape[2] for shape in shapes]
        down_taps, down_weights = _taps(lattice.ys, taking_part, rows)
        across_taps, across_weights = _taps(lattice.xs, taking_part, columns)
        self.flat_levels = Flat(self.levels)
        taps: tuple[Array, ...] = across_taps, across_weights, down_taps, down_weights
        self.taps = tuple(map(Flat, taps))
        areas = [
            np.array([down.start, down.stop, across.start, across.stop], np.int64)
            for down in lattice.cut_rows(_most(_TILE[0], len(lattice.ys), _LEAST_ROWS))
            for across in cut(len(lattice.xs), _TILE[1])
        ]
        self.count = len(areas)
        seen = [self._seen(area, down_taps, across_taps) for area in areas]
        self.patches: list[int] = [int(self._sizes(part).sum()) for part in seen]
        self.areas, self.seen = list(map(Flat, areas)), list(map(Flat, seen))
        self.pieces = [Flat(self._pieces(part)) for part in seen]
        self.cells = self._cells(seen)

    def _cells(self, seen: Sequence[Table]) -> dict[IntEnum, int]:
        """Return what a thread needs for the cells of a strip, at most."""
        features = self.levels[:, Level.FEATURES]
        wide = [part[:, Seen.HIGH_COLUMN] - part[:, Seen.LOW_COLUMN] for part in seen]
        strip = -(-STRIP // LANES) * LANES
        all_cells = max((int((features * cells).sum()) for cells in wide), default=0) * strip
        line = max((int(cells.max(initial=0)) for cells in wide), default=0)
        return {
            SirenPlace.NARROW: all_cells,
            SirenPlace.SLOPES: all_cells,
            SirenPlace.LINE: line,
        }

    def points(self, index: int) -> int:
        """Return the points of a tile."""
        top, bottom, left, right = map(int, self.areas[index].array)
        return (bottom - top) * (right - left)

    def _seen(self, area: Table, down_taps: Table, across_taps: Table) -> Table:
        """Return what a tile sees of each level, its columns as the kernel names them."""
        top, bottom, left, right = area
        rows, columns = down_taps[:, top:bottom], across_taps[:, left:right]
        found = np.zeros((len(self.levels), len(Seen)), np.int64)
        found[:, Seen.LOW_ROW] = rows.min(axis=(1, 2), initial=1 << 40)
        found[:, Seen.HIGH_ROW] = rows.max(axis=(1, 2), initial=-1) + 1
        found[:, Seen.LOW_COLUMN] = columns.min(axis=(1, 2), initial=1 << 40)
        found[:, Seen.HIGH_COLUMN] = columns.max(axis=(1, 2), initial=-1) + 1
        cells = found[:, Seen.HIGH_COLUMN] - found[:, Seen.LOW_COLUMN]
        of_level = cells * self.levels[:, Level.FEATURES]
        found[:, Seen.CELLS] = np.cumsum(of_level) - of_level
        sizes = self._sizes(found)
        found[:, Seen.PATCH] = np.cumsum(sizes) - sizes
        return found

    def _sizes(self, seen: Table) -> Table:
        """Return how many cells of each level's grids a tile sees."""
        rows = seen[:, Seen.HIGH_ROW] - seen[:, Seen.LOW_ROW]
        columns = seen[:, Seen.HIGH_COLUMN] - seen[:, Seen.LOW_COLUMN]
        return rows * columns * self.levels[:, Level.FEATURES]

    def _pieces(self, seen: Table) -> Table:
        """Return where a tile's patch goes: see `add_patch`."""
        found = []
        for (start, features, rows, columns, _), (low, high, left, right, patch, _) in zip(
            self.levels.tolist(), seen.tolist(), strict=True
        ):
            size = (high - low) * (right - left)
            found += [
                (
                    *(start + (feature * rows + low) * columns + left, columns),
                    *(high - low, right - left, patch + feature * size),
                )
                for feature in range(features)
            ]
        return np.array(found, np.int64).reshape(-1, 5)


def _most(usual: int, whole: int, least: int) -> int:
    """Return how much a part may be of a whole: the usual, or less for a small whole."""
    return min(usual, max(least, -(-whole // _SHARES)))


def _taps(
    pixels: npt.NDArray[np.float64], levels: Sequence[int], cells: Sequence[int]
) -> tuple[Table, Floats]:
    """Return the (levels, points, 6) cells of an axis that points see, and their weights."""
    found = [spline_taps(pixels, level, n) for level, n in zip(levels, cells, strict=True)]
    shape = (len(levels), len(pixels), TAPS)
    return (
        np.array([taps for taps, _ in found], np.int64).reshape(shape),
        np.array([weights for _, weights in found], np.float32).reshape(shape),
    )


@dataclass(frozen=True)
class _Range:
    """Rows of a grid, of a level."""

    level: int
    symbols: int
    row: tuple[int, ...]
    """As the kernel's columns say, without the patch's place."""


class _Banding:
    """The bands of all grids from a level on, several to a job where they are small."""

    def __init__(self, latents: Latents, first_level: int, stripes: Stripes) -> None:
        symbols = latents.starts[-1] - latents.starts[first_level]
        most = _most(_SYMBOLS, symbols, _LEAST_SYMBOLS)
        jobs: list[list[_Range]] = []
        for one in self._ranges(latents, first_level, most, stripes):
            if jobs and sum(r.symbols for r in jobs[-1]) + one.symbols <= most:
                jobs[-1].append(one)
            else:
                jobs.append([one])
        self.count = len(jobs)
        self._coarse = [any(r.level > 1 for r in job) for job in jobs]
        self.jobs: list[Flat] = []
        self.pieces: list[Flat] = []
        self.patches: list[int] = []
        for job in jobs:
            rows, pieces, at = [], [], 0
            for one in job:
                _, start, columns, top, _, stop = one.row
                rows.append((*one.row, at))
                pieces.append((start + top * columns, columns, stop - top, columns, at))
                at += (stop - top) * columns
            self.jobs.append(Flat(np.array(rows, np.int64)))
            self.pieces.append(Flat(np.array(pieces, np.int64)))
            self.patches.append(at)

    def weights(self, stride: int) -> dict[int, int]:
        """Return the jobs that stand for all if every so many of the fine levels' are looked at,
        and for how many each stands.
        """
        return {
            index: 1 if coarse else stride
            for index, coarse in enumerate(self._coarse)
            if coarse or index % stride == 0
        }

    @staticmethod
    def _ranges(latents: Latents, first_level: int, most: int, stripes: Stripes) -> "list[_Range]":
        found, index = [], 0
        for level, (features, rows, columns) in enumerate(latents.shapes):
            for feature in range(features):
                if level >= first_level:
                    start = latents.starts[level] + feature * rows * columns
                    for band, stop in bands_of(level, rows, columns, most, stripes):
                        top = max(0, band - MARGIN)
                        row = (index, start, columns, top, band, stop)
                        found.append(_Range(level, (stop - band) * columns, row))
                index += 1
        return found
