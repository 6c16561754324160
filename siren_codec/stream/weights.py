"""Integer weights <-> packed bytes: zstd, or the range coder where that is smaller."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

import constriction
import numpy as np
import numpy.typing as npt
import zstandard

from siren_codec.errors import FormatError, LimitError
from siren_codec.field import QuantisedTensor
from siren_codec.stream.tables import (
    MAX_MAGNITUDE,
    PRECISION,
    SCALES,
    Family,
    frequencies,
    reach,
)

__all__ = ["EXPONENTS", "Coder", "coder", "constriction_errors", "cost", "pack", "unpack"]

Integers = npt.NDArray[np.int32]
Shape = tuple[int, ...]

EXPONENTS = range(-24, 8)
"""The exponents that a step 2**exponent may have."""
_ZSTD_LEVEL = 19


class Coder(IntEnum):
    """How the integers are coded: the ids are the format's; append only."""

    ZSTD = 1
    RANGE = 2


def pack(tensors: Sequence[QuantisedTensor]) -> bytes:
    """Return the weights section: the smaller of the zstd and the range-coded form.

    Raises LimitError for a step or an integer that the format cannot hold.
    """
    for tensor in tensors:
        magnitude = int(np.abs(tensor.values.astype(np.int64)).max())
        if tensor.exponent not in EXPONENTS or magnitude > MAX_MAGNITUDE:
            raise LimitError(
                f"weights: expected steps of 2**{EXPONENTS.start} to 2**{EXPONENTS.stop - 1} and "
                f"magnitudes to {MAX_MAGNITUDE}, found 2**{tensor.exponent} and {magnitude}"
            )
    exponents = bytes(tensor.exponent - EXPONENTS.start for tensor in tensors)
    values = [tensor.values.ravel() for tensor in tensors]
    forms = {Coder.ZSTD: _pack_zstd(values), Coder.RANGE: _pack_range(values)}
    smaller = min(forms, key=lambda form: len(forms[form]))
    return bytes([smaller]) + exponents + forms[smaller]


def coder(data: bytes) -> Coder:
    """Return the coder that a weights section names."""
    if not data or data[0] not in list(Coder):
        raise FormatError(f"weights: expected a coder of {[*map(int, Coder)]}, found {data[:1]!r}")
    return Coder(data[0])


def unpack(data: bytes, shapes: Sequence[Shape]) -> list[QuantisedTensor]:
    """Return the tensors of a weights section, of the `shapes` that the header implies."""
    form = _unpack_zstd if coder(data) is Coder.ZSTD else _unpack_range
    if len(data) < 1 + len(shapes):
        raise FormatError(f"weights: expected over {len(shapes)} bytes, found {len(data)}")
    exponents = [byte + EXPONENTS.start for byte in data[1 : 1 + len(shapes)]]
    for exponent in exponents:
        if exponent not in EXPONENTS:
            raise FormatError(
                f"weights: expected a step of 2**{EXPONENTS.start} to 2**{EXPONENTS.stop - 1}, "
                f"found 2**{exponent}"
            )
    counts = [math.prod(shape) for shape in shapes]
    body = data[1 + len(shapes) :]
    return [
        QuantisedTensor(flat.reshape(shape), exponent)
        for flat, shape, exponent in zip(form(body, counts), shapes, exponents, strict=True)
    ]


def cost(values: Integers) -> float:
    """Return the bits that the range coder spends on a tensor's integers, its table chosen best."""
    return _best_table(values.ravel())[2]


def _pack_zstd(values: Sequence[Integers]) -> bytes:
    """Zigzag integers as planes of bytes, the low ones first, in one zstd frame."""
    flat = np.concatenate(values)
    zigzag = ((flat << 1) ^ (flat >> 31)).astype("<u2")
    planes = 1 if zigzag.max() < 256 else 2
    raw = b"".join((zigzag >> 8 * plane).astype(np.uint8).tobytes() for plane in range(planes))
    return bytes([planes]) + zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(raw)


def _unpack_zstd(data: bytes, counts: Sequence[int]) -> list[Integers]:
    planes = data[0] if data else 0
    if planes not in (1, 2):
        raise FormatError(f"weights: expected 1 or 2 byte planes, found {planes}")
    raw = _decompress(data[1:], planes * sum(counts))
    bytes_ = np.frombuffer(raw, np.uint8).reshape(planes, -1).astype(np.int32)
    if not bytes_[1:].any(axis=1).all():
        raise FormatError("weights: expected 1 byte plane, for the second is empty; found 2")
    zigzag = bytes_[0] if planes == 1 else bytes_[0] | bytes_[1] << 8
    flat = (zigzag >> 1) ^ -(zigzag & 1)
    if flat.min() < -MAX_MAGNITUDE:
        raise FormatError(f"weights: expected magnitudes to {MAX_MAGNITUDE}, found {-flat.min()}")
    return np.split(flat, np.cumsum(counts)[:-1])


def _decompress(frame: bytes, length: int) -> bytes:
    """Return the content of one whole zstd frame that declares exactly `length` bytes.

    The declaration is checked before anything is allocated: zstandard's own `max_output_size` is
    ignored for a frame that declares its size.
    """
    try:
        declared = zstandard.get_frame_parameters(frame).content_size
        if declared != length or length == 0:
            raise FormatError(f"zstd: expected a frame of {length} bytes, found one of {declared}")
        decompressor = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        raw: bytes = decompressor.decompress(
            frame, read_across_frames=False, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise FormatError(f"zstd: {error}") from None
    if len(raw) != length:
        raise FormatError(f"zstd: expected {length} bytes, found {len(raw)}")
    _check_frame(frame)
    return raw


def _check_frame(frame: bytes) -> None:
    """Refuse what a frame may hold beside its content: RFC 8878, sections 3.1.1.1 and 3.1.1.2."""
    parameters = zstandard.get_frame_parameters(frame)
    if parameters.has_checksum or parameters.dict_id:
        raise FormatError("zstd: expected a frame without checksum and dictionary")
    position, last = zstandard.frame_header_size(frame), False
    while not last:
        header = int.from_bytes(frame[position : position + 3], "little")
        last, kind, size = bool(header & 1), header >> 1 & 3, header >> 3
        if size == 0:
            raise FormatError("zstd: expected blocks that hold something, found an empty one")
        position += 3 + (1 if kind == 1 else size)


def _pack_range(values: Sequence[Integers]) -> bytes:
    """One byte per tensor for its table, then all integers in the words of one range coder."""
    tables = bytes(family << 6 | index for family, index, _ in map(_best_table, values))
    return tables + _range_words(values, tables)


def _range_words(values: Sequence[Integers], tables: bytes) -> bytes:
    encoder = constriction.stream.queue.RangeEncoder()
    for flat, table in zip(values, tables, strict=True):
        family, index = Family(table >> 6), table & SCALES - 1
        encoder.encode(flat + np.int32(reach(index)), _entropy_model(family, index))
    words: bytes = encoder.get_compressed().astype("<u4").tobytes()
    return words


def _unpack_range(data: bytes, counts: Sequence[int]) -> list[Integers]:
    tables, words = data[: len(counts)], data[len(counts) :]
    if len(tables) < len(counts) or len(words) % 4:
        raise FormatError(
            f"weights: expected {len(counts)} table bytes and words of 4 bytes, found {len(data)}"
        )
    for table in tables:
        if table >> 6 not in list(Family):
            raise FormatError(f"weights: expected a table below {len(Family) << 6}, found {table}")
    values = []
    with constriction_errors():
        decoder = constriction.stream.queue.RangeDecoder(
            np.frombuffer(words, "<u4").astype(np.uint32)
        )
        for table, count in zip(tables, counts, strict=True):
            family, index = Family(table >> 6), table & SCALES - 1
            symbols = decoder.decode(_entropy_model(family, index), count)
            values.append(symbols - np.int32(reach(index)))
        # The decoder pads with zeros and cannot tell one word too many: the encoder can.
        if _range_words(values, tables) != words:
            raise FormatError("weights: expected the words of the range coder, found others")
    return values


@contextmanager
def constriction_errors() -> Iterator[None]:
    """Turn what constriction raises into FormatError: its PanicException is no Exception."""
    try:
        yield
    except FormatError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise FormatError(f"range coder: {error}") from None
        raise


def _entropy_model(family: Family, index: int) -> constriction.stream.model.Categorical:
    """Return constriction's model with exactly our frequencies.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing.
    """
    weights = (frequencies(family, index) - 1).astype(np.float64)
    return constriction.stream.model.Categorical(weights, perfect=False)


def _best_table(flat: Integers) -> tuple[Family, int, float]:
    """Return the family and scale index that code integers in the fewest bits, and the bits."""
    values, counts = np.unique(flat, return_counts=True)
    magnitude = int(np.abs(values).max())
    smallest = next((i for i in range(SCALES) if reach(i) >= magnitude), SCALES - 1)
    best = None
    for family, spread in (
        (Family.LAPLACE, np.average(np.abs(values), weights=counts)),
        (Family.GAUSSIAN, math.sqrt(np.average(values.astype(float) ** 2, weights=counts))),
    ):
        likely = round(4 * math.log2(max(spread, 0.25)) + 8)
        around = {min(max(i, smallest), SCALES - 1) for i in range(likely - 2, likely + 3)}
        for index in sorted(around):
            bits = float(counts @ _information(family, index)[values + reach(index)])
            if best is None or bits < best[2]:
                best = family, index, bits
    assert best is not None
    return best


def _information(family: Family, index: int) -> npt.NDArray[np.float64]:
    """Return the bits that each symbol of a table costs."""
    return PRECISION - np.log2(frequencies(family, index))
