"""Integer latent grids <-> packed layers: each integer is coded given its neighbours.

A layer holds some levels, coarsest first, and can be read with the coarser layers alone. The
layers of a file are read together, for their wavefronts are one.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import Architecture, Layer
from siren_codec.stream import by_c, by_numpy
from siren_codec.stream.context import ContextNetwork, is_exact
from siren_codec.stream.cursor import Cursor, pack_varint
from siren_codec.stream.tables import ESCAPE, MAX_MAGNITUDE, PRECISION, residual_frequencies
from siren_codec.stream.wavefront import MARGIN, NEIGHBOURS, Wavefront, shapes
from siren_codec.stream.words import (
    Message,
    codes,
    encode,
    escape_lengths,
    pack_escapes,
    symbols_of,
)

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
Uint16 = npt.NDArray[np.uint16]
Int16 = npt.NDArray[np.int16]
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
    for grids, rows, residuals in _predictions(wavefront, network):
        spent = information[rows, symbols_of(residuals)] + 8 * escape_lengths(residuals)
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
    messages = [
        Message.parse(payload, _grids_of(each, architecture.features))
        for payload, each in zip(payloads, levels, strict=True)
    ]
    coded = np.isin(np.arange(architecture.grids), [*chain(*(each.grids for each in messages))])
    wavefront = Wavefront(
        architecture, shapes(architecture, width, height), coded, levels[-1].start
    )
    network = ContextNetwork(context, FormatError)
    if not by_c.decode(wavefront, network, messages):
        by_numpy.decode(wavefront, network, messages)
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
    """Return (grids, table rows, residuals) of a filled wavefront's cells, some at a time."""
    predictions = by_c.predictions if by_c.available() else by_numpy.predictions
    return predictions(wavefront, network)


@dataclass(frozen=True)
class _Coded:
    """Some integers in order: their grids, symbols with their tables, residuals of escapes."""

    grids: npt.NDArray[np.uint8]
    codes: Uint16
    escaped: Indices


def _coded(grids: Indices, rows: Indices, residuals: Indices) -> _Coded:
    symbols = symbols_of(residuals)
    return _Coded(grids.astype(np.uint8), codes(rows, symbols), residuals[symbols == ESCAPE])


def _pack_layer(
    levels: range, flags: npt.NDArray[np.bool_], coded: Sequence[_Coded], architecture: Architecture
) -> bytes:
    """Return the payload of the layer of some levels."""
    grids = _grids_of(levels, architecture.features)
    encoder = constriction.stream.queue.RangeEncoder()
    escapes = b""
    for block in coded:
        chosen = np.isin(block.grids, grids)
        encode(encoder, block.codes[chosen])
        escapes += pack_escapes(block.escaped[chosen[block.codes % (ESCAPE + 1) == ESCAPE]])
    payload = bytes([levels.start]) + np.packbits(flags[grids], bitorder="little").tobytes()
    if not flags[grids].any():
        return payload
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return payload + pack_varint(len(escapes)) + escapes + words
