"""Integer latent grids <-> packed layers: each integer is coded given its neighbours.

A layer holds some levels, coarsest first, and can be read with the coarser layers alone. The
layers of a file are read together, for their wavefronts are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, pairwise

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import Architecture, Layer
from siren_codec.field.threads import one_blas_thread
from siren_codec.stream.context import CLIP, ContextNetwork, is_exact
from siren_codec.stream.cursor import Cursor, pack_varint
from siren_codec.stream.tables import ESCAPE, MAX_MAGNITUDE, PRECISION, residual_frequencies
from siren_codec.stream.wavefront import MARGIN, NEIGHBOURS, Wavefront, shapes
from siren_codec.stream.weights import constriction_errors

__all__ = [
    "MARGIN",
    "NEIGHBOURS",
    "cost",
    "is_exact",
    "layer_levels",
    "pack",
    "shapes",
    "unpack",
]

Float64 = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]
Uint16 = npt.NDArray[np.uint16]
Int16 = npt.NDArray[np.int16]
Int32 = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int16 | np.int32]
Indices = npt.NDArray[np.intp]
Grids = Sequence[Integers]

_FINEST_OF_LAYERS = (3, 2, 1)
"""The levels that layers but the last end with, in files that are large enough for them."""
_BYTES_OF_LAYER = 10
"""About what a layer more costs: its section's id and length, its level, words not quite full."""
_SHARE_OF_LAYERS = 0.005
"""The share of a file that the layers after the first may cost."""


def layer_levels(payloads: Sequence[bytes], features: Sequence[int]) -> list[range]:
    """Return the levels that each layer holds, given the first layers of a file, coarsest first.

    Raises FormatError.
    """
    found, above = [], len(features)
    for payload in payloads:
        finest = Cursor(payload).byte()
        if not any(features[finest:above]):
            raise FormatError(f"layer: expected grids on the levels {finest} to {above - 1}")
        found.append(range(finest, above))
        above = finest
    return found


def pack(
    latents: Grids, context: Sequence[Layer], architecture: Architecture, others: int = 0
) -> list[bytes]:
    """Return the layers of a file, coarsest first; its other parts take `others` bytes.

    Raises UsageError or LimitError for what no reader accepts.
    """
    wavefront = _filled(latents, architecture)
    network = ContextNetwork(context, UsageError)
    with one_blas_thread():
        coded = [_coded(*block) for block in _predictions(wavefront, network)]
    flags = np.isin(np.arange(architecture.grids), wavefront.coded)
    whole, *_ = layers = [
        _pack_layer(range(len(architecture.features)), flags, coded, architecture)
    ]
    room = _SHARE_OF_LAYERS * (others + len(whole))
    split = _split(architecture.features, int(room / _BYTES_OF_LAYER))
    if len(split) > 1:
        layers = [_pack_layer(levels, flags, coded, architecture) for levels in split]
    return layers


def cost(latents: Grids, context: Sequence[Layer], architecture: Architecture) -> Float64:
    """Return the (grids,) bits that the range coder spends on each grid, escapes included."""
    wavefront = _filled(latents, architecture)
    network = ContextNetwork(context, UsageError)
    bits = np.zeros(architecture.grids)
    information = PRECISION - np.log2(residual_frequencies())
    with one_blas_thread():
        for grids, rows, residuals in _predictions(wavefront, network):
            spent = information[rows, _symbols(residuals)] + 8 * _escape_lengths(residuals)
            bits += np.bincount(grids, spent, len(bits))
    return bits


def unpack(
    payloads: Sequence[bytes],
    context: Sequence[Layer],
    architecture: Architecture,
    width: int,
    height: int,
) -> tuple[Int16, ...]:
    """Return each level's (features, rows, columns) grids, given the first layers of a file.

    Levels of other layers are zeros, which take no memory until they are touched. Raises
    FormatError.
    """
    levels = layer_levels(payloads, architecture.features)
    readers = [
        _LayerReader(payload, _grids_of(each, architecture.features))
        for payload, each in zip(payloads, levels, strict=True)
    ]
    coded = np.isin(np.arange(architecture.grids), [*chain(*(each.coded for each in readers))])
    wavefront = Wavefront(
        architecture, shapes(architecture, width, height), coded, levels[-1].start
    )
    network = ContextNetwork(context, FormatError)
    with one_blas_thread():
        _decode(wavefront, network, readers)
    found = tuple(wavefront.levels)
    for index, grid in enumerate(grid for level in found for grid in level):
        if coded[index] and not grid.any():
            raise FormatError(f"latents: expected grid {index} to hold anything but 0")
    return found


# Layers


def _split(features: Sequence[int], more: int) -> list[range]:
    """Return the levels of each layer, coarsest first, where there may be `more` than one."""
    layers, above = [], len(features)
    for finest in _FINEST_OF_LAYERS[:more]:
        if any(features[finest:above]) and any(features[:finest]):
            layers.append(range(finest, above))
            above = finest
    return [*layers, range(above)]


def _grids_of(levels: range, features: Sequence[int]) -> list[int]:
    """Return the numbers of some levels' grids in the order of their integers."""
    starts = [sum(features[:level]) for level in levels]
    pairs = zip(starts, levels, strict=True)
    return [start + n for start, level in reversed([*pairs]) for n in range(features[level])]


def _filled(latents: Grids, architecture: Architecture) -> Wavefront:
    """Return the wavefront of the grids, of which those are coded that are not all 0."""
    grids = [grid for level in latents for grid in level]
    magnitude = max(int(np.abs(grid.astype(np.int64)).max()) for grid in grids)
    if magnitude > MAX_MAGNITUDE:
        raise LimitError(f"latents: expected magnitudes to {MAX_MAGNITUDE}, found {magnitude}")
    levels = [(len(level), *level.shape[1:]) for level in latents]
    wavefront = Wavefront(architecture, levels, [bool(grid.any()) for grid in grids])
    wavefront.fill(latents)
    return wavefront


def _predictions(
    wavefront: Wavefront, network: ContextNetwork
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield (grids, table rows, residuals) of a filled wavefront's cells, block by block."""
    for block in wavefront.blocks([len(wavefront.coded)]):
        contexts = wavefront.contexts(block.cells, block.sources)
        means, rows = network.predict(contexts, block.grids)
        yield block.grids, rows, wavefront.values[block.places] - means


@dataclass(frozen=True)
class _Coded:
    """Some integers in order: their grids, symbols with their tables, residuals of escapes."""

    grids: npt.NDArray[np.uint8]
    codes: Uint16
    escaped: Indices


def _coded(grids: Indices, rows: Indices, residuals: Indices) -> _Coded:
    symbols = _symbols(residuals)
    return _Coded(grids.astype(np.uint8), _codes(rows, symbols), residuals[symbols == ESCAPE])


def _pack_layer(
    levels: range, flags: npt.NDArray[np.bool_], coded: Sequence[_Coded], architecture: Architecture
) -> bytes:
    """Return the payload of the layer of some levels."""
    grids = _grids_of(levels, architecture.features)
    encoder = constriction.stream.queue.RangeEncoder()
    escapes = b""
    for block in coded:
        chosen = np.isin(block.grids, grids)
        _encode(encoder, block.codes[chosen])
        escapes += _pack_escapes(block.escaped[chosen[block.codes % (ESCAPE + 1) == ESCAPE]])
    payload = bytes([levels.start]) + np.packbits(flags[grids], bitorder="little").tobytes()
    if not flags[grids].any():
        return payload
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return payload + pack_varint(len(escapes)) + escapes + words


class _LayerReader:
    """A layer while it is read: what its grids are, its symbols, its escapes."""

    def __init__(self, payload: bytes, grids: Sequence[int]) -> None:
        """Take a layer apart. Raises FormatError."""
        cursor = Cursor(payload, 1)
        flags = np.frombuffer(cursor.take(-(-len(grids) // 8)), np.uint8)
        bits = np.unpackbits(flags, bitorder="little").astype(bool)
        if bits[len(grids) :].any():
            raise FormatError(f"latents: expected flags of {len(grids)} grids, found more")
        self.coded = np.array(grids)[bits[: len(grids)]].tolist()
        if not self.coded and cursor.left:
            raise FormatError(f"latents: expected no byte, for no grid, found {cursor.left}")
        self._escapes = Cursor(cursor.take(cursor.varint()) if self.coded else b"")
        if cursor.left % 4:
            raise FormatError(f"latents: expected words of 4 bytes, found {cursor.left} bytes")
        self._words = np.frombuffer(payload, "<u4", offset=cursor.position).astype(np.uint32)
        self._decoder = constriction.stream.queue.RangeDecoder(self._words)
        self._encoder = constriction.stream.queue.RangeEncoder()

    def decode(self, probabilities: Float32) -> Int32:
        """Return the next symbols, given their tables."""
        try:
            symbols: Int32 = self._decoder.decode(_FAMILY, probabilities)
        except BaseException:
            with constriction_errors():
                raise
        return symbols

    def escaped(self) -> int:
        """Return the next residual that is in no table."""
        zigzag = self._escapes.varint() + ESCAPE
        return zigzag >> 1 ^ -(zigzag & 1)

    def check(self, codes: Uint16) -> None:
        """Encode again what was decoded: the decoder pads with zeros and cannot tell the end.

        Raises FormatError if these are more words than there were.
        """
        _encode(self._encoder, codes)
        # Sealed, the message of a part may be a word longer than that of the whole.
        if self._encoder.num_words() > len(self._words) + 1:
            raise FormatError("latents: expected the words of the range coder, found fewer")

    def finish(self) -> None:
        """Raise FormatError unless all that was decoded is all that there is."""
        if not np.array_equal(self._encoder.get_compressed(), self._words):
            raise FormatError("latents: expected the words of the range coder, found others")
        if self._escapes.left:
            raise FormatError(
                f"latents: expected no more escapes, found {self._escapes.left} bytes"
            )


def _decode(wavefront: Wavefront, network: ContextNetwork, readers: Sequence[_LayerReader]) -> None:
    """Fill the wavefront, step by step. Raises FormatError for words that are not canonical."""
    layer_of = np.zeros(len(wavefront.rows), np.intp)
    for index, reader in enumerate(readers):
        layer_of[reader.coded] = index
    for block in wavefront.blocks([len(reader.coded) for reader in readers]):
        rows, symbols = np.empty((2, len(block.cells)), np.int32)
        values = np.empty(len(block.cells), np.int16)
        for bounds in block.bounds:
            start, stop = bounds[0], bounds[-1]
            if start == stop:
                continue
            cells, grids = block.cells[start:stop], block.grids[start:stop]
            contexts = wavefront.contexts(cells, block.sources[:, start:stop])
            found, rows[start:stop] = network.predict(contexts, grids)
            tables = _probabilities().take(rows[start:stop], axis=0)
            for reader, (first, last) in zip(readers, pairwise(bounds), strict=True):
                if first < last:
                    symbols[first:last] = reader.decode(tables[first - start : last - start])
            found += _RESIDUALS.take(symbols[start:stop])
            if symbols[start:stop].max() == ESCAPE:
                owners = [readers[layer] for layer in layer_of[grids]]
                _add_escapes(found, symbols[start:stop], owners)
            values[start:stop] = found
            clipped = np.fmin(np.fmax(values[start:stop], -CLIP), CLIP)
            wavefront.seen[cells] = clipped.astype(np.int8)
        wavefront.values[block.places] = values
        codes, layers = _codes(rows, symbols), layer_of[block.grids]
        for index, reader in enumerate(readers):
            reader.check(codes[layers == index])
    for reader in readers:
        reader.finish()


def _add_escapes(values: Indices, symbols: Int32, owners: Sequence[_LayerReader]) -> None:
    """Add what the escapes of their layers say to the values of escape symbols."""
    for at in np.flatnonzero(symbols == ESCAPE).tolist():
        values[at] += owners[at].escaped()
        if abs(values[at]) > MAX_MAGNITUDE:
            raise FormatError(
                f"latents: expected magnitudes to {MAX_MAGNITUDE}, found {abs(values[at])}"
            )


# The words: symbols and tables -> one message of the range coder

_FAMILY = constriction.stream.model.Categorical(perfect=False)
_ZIGZAG = np.arange(ESCAPE + 1)
_RESIDUALS = (_ZIGZAG >> 1 ^ -(_ZIGZAG & 1)) * (_ZIGZAG < ESCAPE)
"""The residual that each symbol stands for; 0 for the escape."""
_THIRDS = np.ones(ESCAPE + 1, np.int32)
_THIRDS[0], _THIRDS[ESCAPE] = 0, 2
"""Where each symbol is among the `_thirds` of its table."""


@lru_cache(maxsize=1)
def _probabilities() -> Float32:
    """Return what gives constriction exactly our frequencies, row by row.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing. float32
    holds these, and all their partial sums.
    """
    return (residual_frequencies() - 1).astype(np.float32)


@lru_cache(maxsize=1)
def _thirds() -> Float32:
    """Return, for each row and symbol, a table of three whose one (`_THIRDS`) is this symbol.

    The others are what comes before it and after it; to encode with such a table is the same, and
    faster. (The first symbol's and the last one's rest is parted somewhere.)
    """
    table = residual_frequencies()
    after = (1 << PRECISION) - np.cumsum(table, axis=1)
    thirds = np.stack([(1 << PRECISION) - table - after, table, after], axis=2)
    thirds[:, 0] = np.stack([table[:, 0], after[:, 0] - 1, np.ones(len(table))], axis=1)
    rest = (1 << PRECISION) - table[:, -1]
    thirds[:, -1] = np.stack([rest - 1, np.ones(len(table)), table[:, -1]], axis=1)
    return (thirds - 1).astype(np.float32).reshape(-1, 3)


def _codes(rows: Indices | Int32, symbols: Int32) -> Uint16:
    """Return symbols together with the rows of their tables."""
    return (rows * (ESCAPE + 1) + symbols).astype(np.uint16)


def _encode(encoder: constriction.stream.queue.RangeEncoder, codes: Uint16) -> None:
    """Encode symbols, given together with the rows of their tables."""
    symbols = codes % np.uint16(ESCAPE + 1)
    encoder.encode(_THIRDS.take(symbols), _FAMILY, _thirds().take(codes, axis=0))


def _symbols(residuals: Indices) -> Int32:
    """Return the symbols of residuals: 0, -1, 1, -2, ... are 0, 1, 2, 3, ... up to the escape."""
    return np.minimum(_zigzag(residuals), ESCAPE).astype(np.int32)


def _zigzag(residuals: Indices) -> Indices:
    return np.where(residuals < 0, -2 * residuals - 1, 2 * residuals)


def _pack_escapes(residuals: Indices) -> bytes:
    """Return what follows the escape of each of these residuals: its zigzag, less ESCAPE."""
    return b"".join(map(pack_varint, (_zigzag(residuals) - ESCAPE).tolist()))


def _escape_lengths(residuals: Indices) -> Indices:
    """Return how many bytes each residual has in the escapes, 0 to 3."""
    beyond = _zigzag(residuals) - ESCAPE
    return np.digitize(beyond, [0, 1 << 7, 1 << 14])
