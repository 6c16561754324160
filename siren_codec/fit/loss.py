"""Distortion, rate and their gradients, in parts that a core's cache holds."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from siren_codec.field.threads import available_cores, shared
from siren_codec.fit import context
from siren_codec.fit.lattice import Lattice, Tile
from siren_codec.fit.model import Exponents, Model, siren

__all__ = ["Grids", "Loss", "Worker", "worker"]

S = TypeVar("S")
T = TypeVar("T")

_CPU_SYMBOLS = 1 << 14
_GPU_SYMBOLS = 1 << 24
_AHEAD = 32
"""Parts whose results may wait for their turn: they take memory."""


@dataclass(frozen=True)
class Loss:
    """What a fit minimises: the mean squared error over [-1, 1], plus a price on the bits."""

    error: float
    bits: float
    """Of the latent grids; their weights come on top."""
    price: float = 0.0

    @property
    def objective(self) -> float:
        """Error + price * bits"""
        return self.error + self.price * self.bits


@dataclass(frozen=True)
class Grids:
    """The latent grids as the loss sees them, whether noisy or rounded."""

    levels: Sequence[Tensor] = ()
    """For each level (features, rows, columns)."""
    first_level: int = 0
    """Levels below it count as 0, and cost nothing."""
    price: float = 0.0
    """What a bit is worth, in mean squared error."""
    gradients: Sequence[Tensor] | None = None
    """Where the gradients go; None leaves the grids alone."""


@dataclass(frozen=True)
class _Band:
    """Rows of one grid."""

    index: int
    level: int
    feature: int
    start: int
    stop: int


@dataclass(frozen=True)
class _Patch:
    """What a part adds to the gradients of a level's grids, and where."""

    level: int
    place: tuple[int | slice, ...]
    gradient: Tensor


_Result = tuple[Tensor, Sequence[Tensor], list[_Patch]]
"""A part's loss, its gradients by the matrices, and what it adds to those by the grids."""


class Worker:
    """Computes the loss of a model, and its gradients, part by part.

    Parts are tiles of the picture and bands of the grids. On a CPU each core takes whole parts,
    single-threaded: that is faster than to split each small product between the cores, and,
    summed in the order of the parts, as repeatable.
    """

    def __init__(self, device: str, pool: ThreadPoolExecutor | None) -> None:
        self.device = device
        self._pool = pool

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Return the function of each item, in order."""
        return list(self._each(function, items))

    def _each(self, function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """Yield the function of each item, in order, with no more than _AHEAD of them waiting."""
        if not self._pool:
            yield from map(function, items)
            return
        items = iter(items)
        waiting = deque(self._pool.submit(function, item) for item in islice(items, _AHEAD))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(self._pool.submit(function, item) for item in islice(items, 1))
            yield result

    def backward(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids | None = None,
        exponents: Exponents | None = None,
    ) -> Loss:
        """Set the gradients of the model's matrices and of the grids, and return the loss.

        Its error is not a number where a gradient is not finite.
        """
        grids = grids or Grids()
        matrices = model.effective(exponents)
        padded = _padded(grids)
        moving = grids.gradients is not None
        of_siren, of_context = matrices[: model.depth], matrices[model.depth :]

        def tile(item: Tile) -> _Result:
            inputs = item.inputs(grids.levels, grids.first_level).requires_grad_(moving)
            loss = _squared_error(model, matrices, lattice, item, inputs)
            loss = loss / _target(lattice).numel()
            own, rest = _differentiate(loss, of_siren, [inputs])
            return loss.detach(), own, _tile_patches(item, grids, *rest) if moving else []

        def band(item: _Band) -> _Result:
            leaves = [x.requires_grad_(moving) for x in _band_inputs(model, grids, padded, item)]
            loss = context.bits(of_context, item.index, *leaves) * grids.price
            own, rest = _differentiate(loss, of_context, leaves)
            return loss.detach(), own, _band_patches(item, grids, *rest) if moving else []

        if grids.gradients is not None:
            for level in grids.gradients[grids.first_level :]:
                level.zero_()

        tiles, bands = lattice.tiles, self._bands(grids)
        parts: list[Tile | _Band] = [*tiles, *bands]
        results = self._each(
            lambda part: tile(part) if isinstance(part, Tile) else band(part), parts
        )
        error, of_siren_finite = _add_up(
            islice(results, len(tiles)), len(tiles), model.matrices[: model.depth], grids
        )
        cost, of_context_finite = _add_up(results, len(bands), model.matrices[model.depth :], grids)
        return Loss(
            error if of_siren_finite and of_context_finite else math.nan,
            cost / grids.price if grids.price else 0.0,
            grids.price,
        )

    def loss(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids | None = None,
        exponents: Exponents | None = None,
        *,
        clip: bool = False,
        stride: int = 1,
        distortion: bool = True,
        rate: bool = True,
    ) -> Loss:
        """Return the loss, if asked for with samples clipped to their range, or a part of it.

        With a `stride` only every so many parts are looked at, and stand for the others.
        """
        grids = grids or Grids()
        matrices = model.effective(exponents)
        padded = _padded(grids) if rate else []

        @torch.no_grad()  # For each thread anew.
        def task(item: Tile | _Band) -> float:
            if isinstance(item, Tile):
                inputs = item.inputs(grids.levels, grids.first_level)
                return float(_squared_error(model, matrices, lattice, item, inputs, clip))
            band = _band_inputs(model, grids, padded, item)
            return float(context.bits(matrices[model.depth :], item.index, *band))

        tiles = lattice.tiles[::stride] if distortion else []
        bands = self._bands(grids) if rate else []
        # Not of the coarse levels, whose few bands differ.
        bands = [b for i, b in enumerate(bands) if i % stride == 0 or b.level > 1]
        parts: list[Tile | _Band] = [*tiles, *bands]
        values = self.map(task, parts)
        samples = max(1, _target(lattice).shape[0] * sum(tile.points for tile in tiles))
        weight = [stride if band.level <= 1 else 1 for band in bands]
        bits = sum(w * v for w, v in zip(weight, values[len(tiles) :], strict=True))
        return Loss(sum(values[: len(tiles)]) / samples, bits, grids.price)

    def _bands(self, grids: Grids) -> list[_Band]:
        if grids.price == 0:
            return []
        symbols = _CPU_SYMBOLS if self._pool else _GPU_SYMBOLS
        found, index = [], 0
        for level, values in enumerate(grids.levels):
            for feature in range(len(values)):
                if level >= grids.first_level:
                    found += [
                        _Band(index, level, feature, start, stop)
                        for start, stop in context.bands(values.shape[1], values.shape[2], symbols)
                    ]
                index += 1
        return found


@contextmanager
def worker(device: str) -> Iterator[Worker]:
    """Yield the Worker of a device; its threads end with the context."""
    if device != "cpu":
        yield Worker(device, None)
        return
    pool = ThreadPoolExecutor(available_cores(), initializer=_prepare_thread)
    with _one_torch_thread(), pool:
        yield Worker(device, pool)


def _limit_torch() -> Callable[[], object]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(threads)


_one_torch_thread = contextmanager(shared(_limit_torch))


def _prepare_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _target(lattice: Lattice) -> Tensor:
    assert lattice.target is not None
    return lattice.target


def _squared_error(
    model: Model,
    matrices: Sequence[Tensor],
    lattice: Lattice,
    tile: Tile,
    inputs: Tensor,
    clip: bool = False,
) -> Tensor:
    outputs = siren(model.architecture, matrices[: model.depth], inputs)
    if clip:
        outputs = outputs.clamp(-1, 1)
    target = _target(lattice)[:, tile.rows, tile.columns]
    squares = (outputs.view_as(target) - target).square()
    if lattice.weights is not None:
        squares = squares * lattice.weights[:, tile.rows, tile.columns]
    return squares.sum()


def _padded(grids: Grids) -> list[list[Tensor]]:
    if grids.price == 0:
        return []
    return [
        [context.pad(grid) for grid in values] if level >= grids.first_level else []
        for level, values in enumerate(grids.levels)
    ]


def _band_inputs(
    model: Model, grids: Grids, padded: list[list[Tensor]], band: _Band
) -> tuple[Tensor, Tensor]:
    """Return a band's (neighbours, symbols) contexts and its (symbols,) symbols."""
    inputs = context.contexts(
        padded[band.level][band.feature], band.start, band.stop, model.architecture.neighbours
    )
    symbols = grids.levels[band.level][band.feature, band.start : band.stop]
    return inputs, symbols.detach().reshape(-1)


def _add_up(
    results: Iterable[_Result], count: int, matrices: Sequence[Tensor], grids: Grids
) -> tuple[float, bool]:
    """Set the gradients of matrices, and add to the grids', as the `count` results come.

    Return the parts' loss, and whether the gradients are finite.
    """
    total = 0.0
    # What lives on is copied into its place: left where threads made it, it keeps them from
    # giving back the memory around it.
    rows = [matrix.new_empty(count, *matrix.shape) for matrix in matrices]
    for index, (loss, own, patches) in enumerate(results):
        total += float(loss)
        for row, gradient in zip(rows, own, strict=True):
            row[index] = gradient
        for patch in patches:
            assert grids.gradients is not None
            grids.gradients[patch.level][patch.place] += patch.gradient
    finite = True
    for matrix, row in zip(matrices, rows, strict=True):
        if count:
            matrix.grad = row.sum(0)
            # Of their squares: SOAP takes the eigenvectors of G G^T, whose entries these bound.
            finite &= bool(torch.isfinite(matrix.grad.square().sum()))
    return total, finite


def _differentiate(
    loss: Tensor, matrices: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the gradients by the matrices, and by those of the inputs that want one."""
    wanted = [leaf for leaf in inputs if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, [*matrices, *wanted])
    return gradients[: len(matrices)], gradients[len(matrices) :]


def _tile_patches(tile: Tile, grids: Grids, by_inputs: Tensor) -> list[_Patch]:
    """Return what a tile adds to the gradients of the cells that it sees."""
    return [
        _Patch(level, (slice(None), rows, columns), gradient)
        for level, (rows, columns), gradient in tile.spread(
            by_inputs, grids.levels, grids.first_level
        )
    ]


def _band_patches(
    band: _Band, grids: Grids, by_contexts: Tensor, by_symbols: Tensor
) -> list[_Patch]:
    """Return what a band adds to the gradients of its symbols and of their neighbours."""
    columns = grids.levels[band.level].shape[2]
    around = context.spread(by_contexts, columns)
    top = max(0, band.start - context.MARGIN)
    skipped = context.MARGIN - (band.start - top)
    inside = slice(context.MARGIN, context.MARGIN + columns)
    return [
        _Patch(
            band.level,
            (band.feature, slice(band.start, band.stop)),
            by_symbols.view(-1, columns),
        ),
        _Patch(band.level, (band.feature, slice(top, band.stop)), around[skipped:, inside]),
    ]
