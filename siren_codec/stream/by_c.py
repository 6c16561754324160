"""The cells of a wavefront by the C of `c/latents.c`, if it was built: several times as quick.

It tells no faults apart: `by_numpy` then does, from the beginning.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.stream.context import ContextNetwork
from siren_codec.stream.tables import residual_frequencies
from siren_codec.stream.wavefront import Wavefront
from siren_codec.stream.words import Message

try:
    from siren_codec.stream import _latents
except ImportError:
    _latents = None  # type: ignore[assignment]

__all__ = ["available", "decode", "predictions"]

Int64 = npt.NDArray[np.int64]
Indices = npt.NDArray[np.intp]

_AT_A_TIME = 1 << 18
"""About how many cells there are between two looks for an interruption."""
_LANES = 8
"""`SIREN_LANES`"""
_MASK = (1 << 64) - 1
_LOWER, _RANGE, _POINT, _WORD, _WORDS_END, _ESCAPE, _ESCAPES_END, _WRONG = range(8)
"""The members of `siren_layer`."""


def available() -> bool:
    """Tell whether the C was built, for a machine whose integers are these."""
    return _latents is not None and np.intp == np.int64


def decode(wavefront: Wavefront, network: ContextNetwork, messages: Sequence[Message]) -> bool:
    """Fill the wavefront, and return True; False for what no encoder writes, or if there is no C.

    Some of the wavefront may be filled then.
    """
    if not available():
        return False
    words = np.concatenate([message.words for message in messages])
    layers = _layers(messages)
    escapes = np.frombuffer(b"".join(message.escapes for message in messages), np.uint8)
    grids = _grids(wavefront, messages)
    arrays = *_network(network, wavefront), grids, words, escapes, _tables()
    for first, last in wavefront.spans(_AT_A_TIME):
        if not _latents.decode(
            first, last, wavefront.stride, *arrays, layers, wavefront.seen, wavefront.values
        ):
            return False
    return all(
        _is_whole(layer, words)
        for layer, message in zip(layers.tolist(), messages, strict=True)
        if message.grids
    )


def predictions(
    wavefront: Wavefront, network: ContextNetwork
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield (grids, table rows, residuals) of a filled wavefront's cells, some at a time."""
    arrays = *_network(network, wavefront), _grids(wavefront, []), wavefront.seen, wavefront.values
    cells = int((wavefront.rows * wavefront.columns)[wavefront.coded].sum())
    for first, last in wavefront.spans(_AT_A_TIME):
        grids, rows, residuals = (np.empty(cells, kind) for kind in (np.uint8, np.uint16, np.int32))
        count = _latents.predict(first, last, wavefront.stride, *arrays, grids, rows, residuals)
        yield (
            grids[:count].astype(np.intp),
            rows[:count].astype(np.intp),
            residuals[:count].astype(np.intp),
        )


def _network(network: ContextNetwork, wavefront: Wavefront) -> tuple[npt.NDArray[Any], ...]:
    """Return the members of `siren_network`."""
    return *network.transposed(_LANES), wavefront.offsets.astype(np.int64)


def _grids(wavefront: Wavefront, messages: Sequence[Message]) -> Int64:
    """Return a `siren_grid` in each row."""
    layer_of = {grid: layer for layer, message in enumerate(messages) for grid in message.grids}
    coded = wavefront.coded.tolist()
    rows = []
    for grid in coded:
        sources = [
            (int(wavefront.corners[source[0]]), source[1])
            if source is not None and source[0] in coded
            else (-1, 0)
            for source in wavefront.sources[grid]
        ]
        places = wavefront.rows, wavefront.columns, wavefront.corners, wavefront.places
        own = [int(each[grid]) for each in places]
        rows.append([*own, layer_of.get(grid, 0), grid, *(n for pair in sources for n in pair)])
    return np.array(rows, np.int64)


def _layers(messages: Sequence[Message]) -> npt.NDArray[np.uint64]:
    """Return a `siren_layer` in each row: range decoders that have read their first two words."""
    layers = np.zeros((len(messages), 8), np.uint64)
    word = escape = 0
    for layer, message in zip(layers, messages, strict=True):
        high, low = [*message.words[:2].tolist(), 0, 0][:2]
        end, escapes_end = word + len(message.words), escape + len(message.escapes)
        layer[:] = 0, _MASK, high << 32 | low, word + 2, end, escape, escapes_end, 0
        word, escape = end, escapes_end
    return layers


def _is_whole(layer: Sequence[int], words: npt.NDArray[np.uint32]) -> bool:
    """Tell whether a layer, all decoded, ends as the encoder ends it: docs/FORMAT.md, section 4.2.

    The words before are right if all of their symbols were.
    """
    last = (layer[_LOWER] + (1 << 32) - 1 & _MASK) >> 32
    expected = [last]
    if (layer[_LOWER] + layer[_RANGE] & _MASK) >> 32 == last:
        expected.append(0)
    found = words[layer[_WORD] - 2 : layer[_WORDS_END]].tolist()
    return found == expected and layer[_ESCAPE] == layer[_ESCAPES_END]


@lru_cache(maxsize=1)
def _tables() -> npt.NDArray[np.uint32]:
    return residual_frequencies().astype(np.uint32)
