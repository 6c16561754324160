"""The engine that torch computes: on a GPU, and on a CPU without kernels.

It reads nothing back from a GPU before the loss is asked for, so that a graph can be captured of a
step; its settings are tensors.
"""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from siren_codec.fit import context
from siren_codec.fit.engine.base import Engine, Grids, Loss
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice, Stripes, Tile, bands_of
from siren_codec.fit.model import Exponents, Model, siren
from siren_codec.fit.soap import Adam
from siren_codec.fit.step_settings import StepSettings
from siren_codec.stream.latents import MARGIN

__all__ = ["TorchEngine"]

_CPU_SYMBOLS = 1 << 14
_GPU_SYMBOLS = 1 << 24
_LEAST_TILE = 256
"""Points: where memory runs out with fewer, halving them is no help."""


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


class TorchEngine(Engine):
    """Computes by torch. Where memory runs out, tiles are halved."""

    def __init__(
        self,
        device: str,
        pool: ThreadPoolExecutor | None = None,
        threads: int = 1,
        tile: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(device, pool, threads)
        self._tile = tile

    def prepared(self, settings: StepSettings) -> StepSettings:
        """Return settings that are tensors on the device."""
        return StepSettings(
            *torch.tensor(settings, dtype=torch.float32).to(self.device, non_blocking=True)
        )

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

        @torch.no_grad()
        def chunk(index: int) -> None:
            part = chunks[index]
            added = noise.take(index, part.stop - part.start) * settings.noise
            once, slope_once = soft_round(latents.flat[part], settings.temperature)
            twice, slope_twice = soft_round(once.add_(added), settings.temperature)
            soft[part] = twice
            torch.mul(slope_once, slope_twice, out=slope[part])

        self.map(chunk, range(len(chunks)))

    def move(
        self,
        adam: Adam,
        gradients: Sequence[Tensor],
        slopes: Sequence[Tensor],
        settings: StepSettings,
    ) -> None:
        """Take a step of Adam on the grids, along gradients times slopes."""
        first = len(adam.parameters) - len(gradients)

        @torch.no_grad()
        def chunk(index: int) -> None:
            adam.move(first + index, gradients[index] * slopes[index], settings.latent_rate)

        self.map(chunk, range(len(gradients)))

    def backward(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None = None,
    ) -> Tensor:
        """Set the gradients of the model's matrices and of the grids; return error and bits."""
        while True:
            try:
                return self._backward(model, lattice, grids, exponents)
            except (MemoryError, RuntimeError) as error:
                if not is_of_memory(error):
                    raise
                rows, columns = lattice.tile_shape(self._tile)
                if rows * columns <= _LEAST_TILE:
                    raise
            self._tile = (rows // 2, columns) if rows > 1 else (1, columns // 2)
            if self.device != "cpu":
                torch.cuda.empty_cache()

    def _backward(
        self, model: Model, lattice: Lattice, grids: Grids, exponents: Exponents | None
    ) -> Tensor:
        matrices = model.effective(exponents)
        levels = grids.latents.levels(grids.values)
        padded = _padded(grids, levels)
        moving = grids.gradient is not None
        of_siren, of_context = matrices[: model.depth], matrices[model.depth :]
        targets = None if grids.gradient is None else grids.latents.levels(grids.gradient)

        def tile(item: Tile) -> _Result:
            inputs = item.inputs(levels, grids.first_level).requires_grad_(moving)
            loss = _squared_error(model, matrices, lattice, item, inputs) / lattice.samples
            own, rest = _differentiate(loss, of_siren, [inputs])
            return loss.detach(), own, _tile_patches(item, levels, grids, *rest) if moving else []

        def band(item: _Band) -> _Result:
            found = _band_inputs(model, levels, padded, item)
            leaves = [leaf.requires_grad_(moving) for leaf in found]
            loss = context.bits(of_context, item.index, *leaves) * (grids.price / lattice.share)
            own, rest = _differentiate(loss, of_context, leaves)
            if not moving:
                return loss.detach(), own, []
            by_contexts, by_symbols = rest
            by_contexts = by_contexts[: model.architecture.neighbours]
            columns = levels[item.level].shape[2]
            return loss.detach(), own, _band_patches(item, columns, by_contexts, by_symbols)

        for level in (targets or [])[grids.first_level :]:
            level.zero_()
        tiles = lattice.tiles(self._tile)
        bands = self._bands(grids, levels, lattice.stripes)
        of_tiles = _Sum(model.matrices[: model.depth], len(tiles), targets)
        of_bands = _Sum(model.matrices[model.depth :], len(bands), targets)
        self.run(tile, tiles, of_tiles.add)
        self.run(band, bands, of_bands.add)
        error, cost = of_tiles.finish(), of_bands.finish()
        fine = _finite(model.matrices)
        error = torch.where(fine, error, torch.full_like(error, math.nan))
        return torch.stack([error, cost / grids.price if grids.price else cost])

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
        matrices = model.effective(exponents)
        levels = grids.latents.levels(grids.values)
        padded = _padded(grids, levels) if rate else []

        @torch.no_grad()  # For each thread anew.
        def task(item: Tile | _Band) -> float:
            if isinstance(item, Tile):
                inputs = item.inputs(levels, grids.first_level)
                return float(_squared_error(model, matrices, lattice, item, inputs, clip))
            band = _band_inputs(model, levels, padded, item)
            return float(context.bits(matrices[model.depth :], item.index, *band))

        all_tiles = lattice.tiles(self._tile)
        stride = max(1, len(all_tiles) // tiles) if tiles else 1
        chosen = all_tiles[::stride] if distortion else []
        bands = self._bands(grids, levels, lattice.stripes) if rate else []
        # Not of the coarse levels, whose few bands differ.
        bands = [b for i, b in enumerate(bands) if i % stride == 0 or b.level > 1]
        parts: list[Tile | _Band] = [*chosen, *bands]
        values = self.map(task, parts)
        samples = max(1, lattice.channels * sum(tile.points for tile in chosen))
        weight = [stride if band.level <= 1 else 1 for band in bands]
        bits = sum(w * v for w, v in zip(weight, values[len(chosen) :], strict=True))
        return Loss(sum(values[: len(chosen)]) / samples, bits, grids.price)

    def _bands(self, grids: Grids, levels: Sequence[Tensor], stripes: Stripes) -> list[_Band]:
        if grids.price == 0:
            return []
        symbols = _CPU_SYMBOLS if self._pool else _GPU_SYMBOLS
        found, index = [], 0
        for level, values in enumerate(levels):
            for feature in range(len(values)):
                if level >= grids.first_level:
                    found += [
                        _Band(index, level, feature, start, stop)
                        for start, stop in bands_of(
                            level, values.shape[1], values.shape[2], symbols, stripes
                        )
                    ]
                index += 1
        return found


def is_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory from other errors: torch's on the CPU is a plain RuntimeError."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "allocate" in str(error)


def soft_round(values: Tensor, temperature: float | Tensor) -> tuple[Tensor, Tensor]:
    """Return the softly rounded values and the derivative (see `fit.latents`)."""
    temperature = torch.as_tensor(temperature)
    gain = 0.5 / torch.tanh(0.5 / temperature)
    base = values.floor()
    curve = (values - base).sub_(0.5).mul_(1 / temperature).tanh_()
    slope = curve.square().neg_().add_(1).mul_(gain / temperature)
    return curve.mul_(gain).add_(base).add_(0.5), slope


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
    assert lattice.target is not None
    target = lattice.target[:, tile.rows, tile.columns]
    squares = (outputs.view_as(target) - target).square()
    if lattice.weights is not None:
        squares = squares * lattice.weights[:, tile.rows, tile.columns]
    return squares.sum()


def _padded(grids: Grids, levels: Sequence[Tensor]) -> list[list[Tensor]]:
    if grids.price == 0:
        return []
    return [
        [context.pad(grid) for grid in values] if level >= grids.first_level else []
        for level, values in enumerate(levels)
    ]


def _band_inputs(
    model: Model, levels: Sequence[Tensor], padded: list[list[Tensor]], band: _Band
) -> tuple[Tensor, Tensor]:
    """Return a band's (inputs, symbols) contexts and its (symbols,) symbols."""
    architecture, rows = model.architecture, (band.start, band.stop)
    near = context.contexts(padded[band.level][band.feature], *rows, architecture.neighbours)
    flat = [grid for values in levels for grid in values]
    sources = architecture.context_sources[band.index]
    far = context.seen_elsewhere(flat, sources, *rows, levels[band.level].shape[2])
    inputs = torch.cat([near, far])
    symbols = levels[band.level][band.feature, band.start : band.stop]
    return inputs, symbols.detach().reshape(-1)


class _Sum:
    """Adds up what parts found, in their order."""

    def __init__(
        self, matrices: Sequence[Tensor], count: int, targets: Sequence[Tensor] | None
    ) -> None:
        self._matrices = matrices
        self._targets = targets
        device = matrices[0].device if matrices else torch.device("cpu")
        self._loss = torch.zeros((), dtype=torch.float64, device=device)
        # What lives on is copied into its place: left where threads made it, it keeps them from
        # giving back the memory around it.
        self._rows = [matrix.new_empty(count, *matrix.shape) for matrix in matrices]
        self._index = 0

    @torch.no_grad()
    def add(self, result: _Result) -> None:
        """Take a part's result."""
        loss, own, patches = result
        self._loss += loss
        for row, gradient in zip(self._rows, own, strict=True):
            row[self._index] = gradient
        self._index += 1
        for patch in patches:
            assert self._targets is not None
            self._targets[patch.level][patch.place] += patch.gradient

    def finish(self) -> Tensor:
        """Set the gradients of the matrices, if there were parts, and return their loss."""
        for matrix, row in zip(self._matrices, self._rows, strict=True):
            if self._index:
                matrix.grad = row.sum(0)
        return self._loss


def _finite(matrices: Sequence[Tensor]) -> Tensor:
    """Tell, on the device, whether the gradients of matrices are; set them to 0 if not.

    Of their squares: SOAP takes the eigenvectors of G G^T, whose entries these bound.
    """
    gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
    total = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    fine = torch.isfinite(total)
    for gradient in gradients:
        gradient.copy_(torch.where(fine, gradient, torch.zeros_like(gradient)))
    return fine


def _differentiate(
    loss: Tensor, matrices: Sequence[Tensor], inputs: Sequence[Tensor]
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Return the gradients by the matrices, and by those of the inputs that want one."""
    wanted = [leaf for leaf in inputs if leaf.requires_grad]
    gradients = torch.autograd.grad(loss, [*matrices, *wanted])
    return gradients[: len(matrices)], gradients[len(matrices) :]


def _tile_patches(
    tile: Tile, levels: Sequence[Tensor], grids: Grids, by_inputs: Tensor
) -> list[_Patch]:
    """Return what a tile adds to the gradients of the cells that it sees."""
    return [
        _Patch(level, (slice(None), rows, columns), gradient)
        for level, (rows, columns), gradient in tile.spread(by_inputs, levels, grids.first_level)
    ]


def _band_patches(
    band: _Band, columns: int, by_contexts: Tensor, by_symbols: Tensor
) -> list[_Patch]:
    """Return what a band adds to the gradients of its symbols and of their neighbours."""
    around = context.spread(by_contexts, columns)
    top = max(0, band.start - MARGIN)
    skipped = MARGIN - (band.start - top)
    inside = slice(MARGIN, MARGIN + columns)
    return [
        _Patch(
            band.level,
            (band.feature, slice(band.start, band.stop)),
            by_symbols.view(-1, columns),
        ),
        _Patch(band.level, (band.feature, slice(top, band.stop)), around[skipped:, inside]),
    ]
