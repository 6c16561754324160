"""Integer latent grids <-> packed bytes: each integer is coded given its neighbours.

A context network predicts each integer's distribution from those before it, as learned image
codecs do (Minnen et al. 2018, arXiv 1809.02736; Cool-chic, Ladune et al. 2023, arXiv 2212.05458).
Its weights are dyadic rationals so few and so small that float64 evaluates it without rounding,
in any order: every machine codes with the same probabilities. All grids are decoded side by side
as a wavefront, whose symbols of one step do not depend on each other.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import Architecture, Layer
from siren_codec.field.kernel import level_shape
from siren_codec.field.threads import one_blas_thread
from siren_codec.stream.cursor import Cursor, pack_varint
from siren_codec.stream.tables import (
    ESCAPE,
    FRACTIONS,
    MAX_MAGNITUDE,
    PRECISION,
    RESIDUAL_SCALES,
    residual_frequencies,
)
from siren_codec.stream.weights import constriction_errors

__all__ = ["MARGIN", "NEIGHBOURS", "cost", "is_exact", "pack", "shapes", "unpack"]

Float64 = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int16 | np.int32]
Indices = npt.NDArray[np.intp]
Grids = Sequence[Integers]
Shape = tuple[int, ...]

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
_CLIP = 127
"""The magnitude to which neighbours are clipped."""
_MEAN_LIMIT = 32767
"""The magnitude to which means are clipped, in sixteenths."""
_UNITS = np.array([float(FRACTIONS), 4.0])
"""Steps of the mean, and of the binary logarithm of the scale."""
_UNIT_SCALE = 20
"""The index of the scale 1."""
_BLOCK = 1 << 14
"""About how many symbols are ordered, or encoded, at a time."""


def shapes(architecture: Architecture, width: int, height: int) -> list[tuple[int, int, int]]:
    """Return the (features, rows, columns) of each level's grids."""
    return [
        (features, *level_shape(width, height, level))
        for level, features in enumerate(architecture.features)
    ]


def is_exact(context: Sequence[Layer]) -> bool:
    """Return whether float64 evaluates a context network without rounding, in any order.

    All terms of a layer are multiples of one power of two, the quantum. Where no sum of them, all
    taken positive, can reach 2**53 quanta, every product and every partial sum is exact.
    """
    bound, exponent = _CLIP, 0
    for layer in context:
        weight, bias = layer.weight, layer.bias
        products = exponent + weight.exponent
        exponent = min(products, bias.exponent)
        sums = np.abs(weight.values.astype(np.int64)).sum(axis=1).tolist()
        biases = np.abs(bias.values.astype(np.int64)).reshape(-1, len(sums)).max(axis=0).tolist()
        bound = max(
            (total * bound << products - exponent) + (most << bias.exponent - exponent)
            for total, most in zip(sums, biases, strict=True)
        )
        if bound >= 1 << 53:
            return False
    return True


def pack(latents: Grids, context: Sequence[Layer], architecture: Architecture) -> bytes:
    """Return the latents section. Raises UsageError or LimitError for what no reader accepts."""
    model = _model(context, UsageError)
    wavefront, coded = _filled(latents, architecture)
    flags = np.packbits(coded, bitorder="little").tobytes()
    if wavefront is None:
        return flags
    encoder = constriction.stream.queue.RangeEncoder()
    escapes = b""
    with one_blas_thread():
        for _, rows, residuals in _predictions(wavefront, model):
            encoder.encode(_symbols(residuals), _FAMILY, _probabilities().take(rows, axis=0))
            escapes += _pack_escapes(residuals)
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return flags + pack_varint(len(escapes)) + escapes + words


def cost(latents: Grids, context: Sequence[Layer], architecture: Architecture) -> Float64:
    """Return the (grids,) bits that the range coder spends on each grid, escapes included."""
    model = _model(context, UsageError)
    wavefront, _ = _filled(latents, architecture)
    bits = np.zeros(architecture.grids)
    if wavefront is None:
        return bits
    information = PRECISION - np.log2(residual_frequencies())
    with one_blas_thread():
        for grids, rows, residuals in _predictions(wavefront, model):
            symbols = _symbols(residuals)
            spent = information[rows, symbols] + 8 * _escape_lengths(residuals)
            bits += np.bincount(grids, spent, len(bits))
    return bits


def unpack(
    data: bytes, context: Sequence[Layer], architecture: Architecture, width: int, height: int
) -> tuple[Integers, ...]:
    """Return each level's (features, rows, columns) grids. Raises FormatError."""
    model = _model(context, FormatError)
    cursor = Cursor(data)
    coded = _unpack_flags(cursor, architecture.grids)
    wavefront = _Wavefront(shapes(architecture, width, height), coded, architecture.neighbours)
    levels = tuple(wavefront.levels())
    if not any(coded):
        if cursor.left:
            raise FormatError(f"latents: expected no byte, for no grid, found {cursor.left}")
        return levels
    escapes = Cursor(cursor.take(cursor.varint()))
    if cursor.left % 4:
        raise FormatError(f"latents: expected words of 4 bytes, found {cursor.left} bytes")
    words = np.frombuffer(data, "<u4", offset=cursor.position).astype(np.uint32, copy=False)
    with one_blas_thread():
        _decode(wavefront, model, words, escapes)
    if escapes.left:
        raise FormatError(f"latents: expected no more escapes, found {escapes.left} bytes")
    for index, grid in enumerate(grid for level in levels for grid in level):
        if coded[index] and not grid.any():
            raise FormatError(f"latents: expected grid {index} to hold anything but 0")
    return levels


def _unpack_flags(cursor: Cursor, count: int) -> list[bool]:
    """Read which grids are coded: a bit for each, the lowest first; the others are all 0."""
    flags = np.frombuffer(cursor.take(-(-count // 8)), np.uint8)
    bits: list[bool] = np.unpackbits(flags, bitorder="little").astype(bool).tolist()
    if any(bits[count:]):
        raise FormatError(f"latents: expected flags of {count} grids, found more")
    return bits[:count]


def _filled(latents: Grids, architecture: Architecture) -> tuple["_Wavefront | None", list[bool]]:
    """Return the wavefront of the grids that are not all 0, if there are any, and which are not."""
    grids = [grid for level in latents for grid in level]
    magnitude = max(int(np.abs(grid.astype(np.int64)).max()) for grid in grids)
    if magnitude > MAX_MAGNITUDE:
        raise LimitError(f"latents: expected magnitudes to {MAX_MAGNITUDE}, found {magnitude}")
    coded = [bool(grid.any()) for grid in grids]
    if not any(coded):
        return None, coded
    wavefront = _Wavefront([level.shape for level in latents], coded, architecture.neighbours)
    for view, level in zip(wavefront.levels(), latents, strict=True):
        view[...] = level
    return wavefront, coded


# The model: context -> distribution


def _product(left: Float64, right: Float64) -> Float64:
    """Return the matrix product; a test puts another library's in its place."""
    product: Float64 = left @ right
    return product


@dataclass(frozen=True)
class _Model:
    """The context network, ready to be evaluated; its last layer in sixteenths and quarters."""

    weights: tuple[Float64, Float64, Float64]
    biases: tuple[Float64, Float64, Float64]

    def predict(self, contexts: npt.NDArray[np.int16], which: Indices) -> tuple[Indices, Indices]:
        """Return the (symbols,) integer means and table rows, given (symbols, neighbours).

        `which` is the grid of each symbol.
        """
        first, second, last = self.weights
        hidden = _product(contexts.astype(np.float64), first)
        hidden += self.biases[0].take(which, axis=0)
        np.maximum(hidden, 0, out=hidden)
        hidden = _product(hidden, second)
        hidden += self.biases[1]
        np.maximum(hidden, 0, out=hidden)
        outputs = _product(hidden, last)
        outputs += self.biases[2]
        np.rint(outputs, out=outputs)
        mean, scale = outputs.T
        mean = np.clip(mean, -_MEAN_LIMIT, _MEAN_LIMIT).astype(np.intp)
        mean += FRACTIONS // 2
        scale = np.clip(scale, -_UNIT_SCALE, RESIDUAL_SCALES - 1 - _UNIT_SCALE).astype(np.intp)
        scale += _UNIT_SCALE
        return mean >> 4, scale * FRACTIONS + (mean & FRACTIONS - 1)


def _model(context: Sequence[Layer], error: type[FormatError] | type[UsageError]) -> _Model:
    if not is_exact(context):
        raise error("context network: expected weights that float64 adds exactly, found others")
    first, second, last = (layer.weight.dequantise().T.copy() for layer in context)
    biases = [layer.bias.dequantise() for layer in context]
    return _Model((first, second, last * _UNITS), (biases[0], biases[1], biases[2] * _UNITS))


# The words: symbols and tables -> one message of the range coder

_FAMILY = constriction.stream.model.Categorical(perfect=False)


@lru_cache(maxsize=1)
def _probabilities() -> npt.NDArray[np.float32]:
    """Return what gives constriction exactly our frequencies, row by row.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing. float32
    holds these, and all their partial sums.
    """
    return (residual_frequencies() - 1).astype(np.float32)


def _symbols(residuals: Indices) -> npt.NDArray[np.int32]:
    """Return the symbols of residuals: 0, -1, 1, -2, ... are 0, 1, 2, 3, ... up to the escape."""
    return np.minimum(_zigzag(residuals), ESCAPE).astype(np.int32)


def _zigzag(residuals: Indices) -> Indices:
    return np.where(residuals < 0, -2 * residuals - 1, 2 * residuals)


def _pack_escapes(residuals: Indices) -> bytes:
    """Return what follows the escape of each residual that has one: its zigzag, less 63."""
    beyond = _zigzag(residuals) - ESCAPE
    return b"".join(map(pack_varint, beyond[beyond >= 0].tolist()))


def _escape_lengths(residuals: Indices) -> Indices:
    """Return how many bytes each residual has in the escapes, 0 to 3."""
    beyond = _zigzag(residuals) - ESCAPE
    return np.digitize(beyond, [0, 1 << 7, 1 << 14])


def _predictions(
    wavefront: "_Wavefront", model: _Model
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield (grids, table rows, residuals) of a filled wavefront's cells, block by block."""
    for block in wavefront.blocks():
        means, rows = model.predict(wavefront.contexts(block.cells, block.grids), block.grids)
        yield block.grids, rows, wavefront.plane[block.cells] - means


def _decode(
    wavefront: "_Wavefront", model: _Model, words: npt.NDArray[np.uint32], escapes: Cursor
) -> None:
    """Fill the wavefront, step by step. Raises FormatError for words that are not canonical."""
    decoder = constriction.stream.queue.RangeDecoder(words)
    encoder = constriction.stream.queue.RangeEncoder()
    table = _probabilities()
    for block in wavefront.blocks():
        for start, stop in pairwise(block.steps):
            if start == stop:
                continue
            cells, grids = block.cells[start:stop], block.grids[start:stop]
            means, rows = model.predict(wavefront.contexts(cells, grids), grids)
            probabilities = table.take(rows, axis=0)
            with constriction_errors():
                symbols = decoder.decode(_FAMILY, probabilities)
                # The decoder pads with zeros and cannot tell one word too many: the encoder can.
                encoder.encode(symbols, _FAMILY, probabilities)
            values = means + (symbols >> 1 ^ -(symbols & 1))
            if symbols.max() == ESCAPE:
                _take_escapes(values, means, symbols, escapes)
            wavefront.plane[cells] = values
        # Sealed, the message of a part may be a word longer than that of the whole.
        if encoder.num_words() > len(words) + 1:
            break
    if not np.array_equal(encoder.get_compressed(), words):
        raise FormatError("latents: expected the words of the range coder, found others")


def _take_escapes(
    values: Indices, means: Indices, symbols: npt.NDArray[np.int32], escapes: Cursor
) -> None:
    """Replace the values of escape symbols by what the escapes say."""
    for at in np.flatnonzero(symbols == ESCAPE).tolist():
        zigzag = escapes.varint() + ESCAPE
        value = int(means[at]) + (zigzag >> 1 ^ -(zigzag & 1))
        if abs(value) > MAX_MAGNITUDE:
            raise FormatError(
                f"latents: expected magnitudes to {MAX_MAGNITUDE}, found {abs(value)}"
            )
        values[at] = value


# The wavefront: which cells come when, and where their neighbours are


@dataclass(frozen=True)
class _Block:
    """Some steps of a wavefront: cells in order, their grids, and where each step ends."""

    cells: Indices
    grids: Indices
    steps: list[int]


class _Wavefront:
    """All grids' cells in one flat plane, and the order in which those of the coded ones come.

    A row is `strides[grid]` cells long; zeros are where neighbours may lie outside a grid.
    """

    def __init__(self, shapes: Sequence[Shape], coded: Sequence[bool], neighbours: int) -> None:
        self.shapes = [*shapes]
        self.coded = np.flatnonzero(coded)
        grids = [shape for features, *shape in shapes for _ in range(features)]
        self.rows, self.columns = np.array(grids, np.intp).T
        self.strides = self.columns + MARGIN
        sizes = (self.rows + MARGIN) * self.strides
        self.starts = np.cumsum(sizes) - sizes
        self.plane = np.zeros(int(sizes.sum()), np.int16)
        down, across = np.array(NEIGHBOURS[:neighbours], np.intp).T
        self.offsets = down * self.strides[:, None] + across

    def levels(self) -> list[npt.NDArray[np.int16]]:
        """Return the part of the plane that each level's grids have: (features, rows, columns)."""
        found, start = [], 0
        for features, rows, columns in self.shapes:
            shape = features, rows + MARGIN, columns + MARGIN
            whole = self.plane[start : start + math.prod(shape)].reshape(shape)
            found.append(whole[:, MARGIN:, MARGIN:])
            start += whole.size
        return found

    def contexts(self, cells: Indices, grids: Indices) -> npt.NDArray[np.int16]:
        """Return the (cells, neighbours) clipped integers that cells are predicted from."""
        places = self.offsets.take(grids, axis=0)
        places += cells[:, None]
        neighbours: npt.NDArray[np.int16] = self.plane.take(places)
        np.clip(neighbours, -_CLIP, _CLIP, out=neighbours)
        return neighbours

    def blocks(self) -> Iterator[_Block]:
        """Yield all cells: step t has those of row i, column t - 3 i, grid by grid, i ascending."""
        rows, columns = self.rows[self.coded], self.columns[self.coded]
        strides = self.strides[self.coded]
        down = strides - _SLOPE
        corners = self.starts[self.coded] + MARGIN * (strides + 1)
        steps = int((columns + _SLOPE * (rows - 1)).max())
        span = max(1, _BLOCK // int(np.minimum(rows, -(-columns // _SLOPE)).sum()))
        for first in range(0, steps, span):
            t = np.arange(first, min(first + span, steps))[:, None]
            top = np.maximum(-((columns - 1 - t) // _SLOPE), 0)
            bottom = np.minimum(t // _SLOPE, rows - 1)
            counts = np.maximum(bottom - top + 1, 0)
            ends = np.cumsum(counts)
            before = ends.reshape(counts.shape) - counts
            starts = corners + t + (top - before) * down
            which = np.repeat(np.tile(np.arange(len(rows)), len(t)), counts.ravel())
            cells = np.repeat(starts.ravel(), counts.ravel())
            cells += np.arange(len(cells)) * down[which]
            steps_ends = ends[len(rows) - 1 :: len(rows)].tolist()
            yield _Block(cells, self.coded[which], [0, *steps_ends])
