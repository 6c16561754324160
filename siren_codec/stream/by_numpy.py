"""The cells of a wavefront, a step at a time, by numpy: what every machine can do.

`by_c` does the same. What it refuses is read here once more, to say what is wrong.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

import constriction
import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError
from siren_codec.field.threads import one_blas_thread
from siren_codec.stream import range_coder
from siren_codec.stream.context import CLIP, ContextNetwork
from siren_codec.stream.cursor import Cursor
from siren_codec.stream.tables import ESCAPE, MAX_MAGNITUDE
from siren_codec.stream.wavefront import Wavefront
from siren_codec.stream.words import FAMILY, RESIDUALS, Message, codes, encode, probabilities

__all__ = ["decode", "predictions"]

Float32 = npt.NDArray[np.float32]
Uint16 = npt.NDArray[np.uint16]
Int32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]


def predictions(
    wavefront: Wavefront, network: ContextNetwork
) -> Iterator[tuple[Indices, Indices, Indices]]:
    """Yield (grids, table rows, residuals) of a filled wavefront's cells, block by block."""
    for block in wavefront.blocks([len(wavefront.coded)]):
        contexts = wavefront.contexts(block.cells, block.sources)
        with one_blas_thread():
            means, rows = network.predict(contexts, block.grids)
        yield block.grids, rows, wavefront.values[block.places] - means


def decode(wavefront: Wavefront, network: ContextNetwork, messages: Sequence[Message]) -> None:
    """Fill the wavefront. Raises FormatError for what no encoder writes."""
    with one_blas_thread():
        _decode(wavefront, network, [_Reader(message) for message in messages])


def _decode(wavefront: Wavefront, network: ContextNetwork, readers: "Sequence[_Reader]") -> None:
    layer_of = np.zeros(len(wavefront.rows), np.intp)
    for index, reader in enumerate(readers):
        layer_of[reader.grids] = index
    for block in wavefront.blocks([len(reader.grids) for reader in readers]):
        rows, symbols = np.empty((2, len(block.cells)), np.int32)
        values = np.empty(len(block.cells), np.int16)
        for bounds in block.bounds:
            start, stop = bounds[0], bounds[-1]
            if start == stop:
                continue
            cells, grids = block.cells[start:stop], block.grids[start:stop]
            contexts = wavefront.contexts(cells, block.sources[:, start:stop])
            found, rows[start:stop] = network.predict(contexts, grids)
            tables = probabilities().take(rows[start:stop], axis=0)
            for reader, (first, last) in zip(readers, pairwise(bounds), strict=True):
                if first < last:
                    symbols[first:last] = reader.decode(tables[first - start : last - start])
            found += RESIDUALS.take(symbols[start:stop])
            if symbols[start:stop].max() == ESCAPE:
                owners = [readers[layer] for layer in layer_of[grids]]
                _add_escapes(found, symbols[start:stop], owners)
            values[start:stop] = found
            clipped = np.fmin(np.fmax(values[start:stop], -CLIP), CLIP)
            wavefront.seen[cells] = clipped.astype(np.int8)
        wavefront.values[block.places] = values
        coded, layers = codes(rows, symbols), layer_of[block.grids]
        for index, reader in enumerate(readers):
            reader.check(coded[layers == index])
    for reader in readers:
        reader.finish()


def _add_escapes(values: Indices, symbols: Int32, owners: "Sequence[_Reader]") -> None:
    """Add what the escapes of their layers say to the values of escape symbols."""
    for at in np.flatnonzero(symbols == ESCAPE).tolist():
        values[at] += owners[at].escaped()
        if abs(values[at]) > MAX_MAGNITUDE:
            raise FormatError(
                f"latents: expected magnitudes to {MAX_MAGNITUDE}, found {abs(values[at])}"
            )


class _Reader:
    """A message while it is read."""

    def __init__(self, message: Message) -> None:
        self.grids = message.grids
        self._escapes = Cursor(message.escapes)
        self._words = message.words
        self._decoder = constriction.stream.queue.RangeDecoder(message.words)
        self._encoder = constriction.stream.queue.RangeEncoder()

    def decode(self, probabilities: Float32) -> Int32:
        """Return the next symbols, given their tables."""
        try:
            symbols: Int32 = self._decoder.decode(FAMILY, probabilities)
        except BaseException:
            with range_coder.errors():
                raise
        return symbols

    def escaped(self) -> int:
        """Return the next residual that is in no table."""
        zigzag = self._escapes.varint() + ESCAPE
        return zigzag >> 1 ^ -(zigzag & 1)

    def check(self, found: Uint16) -> None:
        """Encode again what was decoded: the decoder pads with zeros and cannot tell the end.

        Raises FormatError if these are more words than there were.
        """
        encode(self._encoder, found)
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
