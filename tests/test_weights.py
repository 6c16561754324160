"""The weights section: both of its coders, and whatever can be wrong with its bytes.

The range coder is decoded a second time here, in Python's integers and from `tables.frequencies`
alone: what the file means is then defined by our tables and the published algorithm, and by no
library's floating-point arithmetic.
"""

import struct
from collections.abc import Callable, Sequence

import constriction
import numpy as np
import numpy.typing as npt
import pytest
import zstandard
from second_decoder import RangeDecoder

from siren_codec.errors import FormatError, SirenError
from siren_codec.field import QuantisedTensor
from siren_codec.stream import range_coder, weights, weights_by_range, weights_by_zstd
from siren_codec.stream.frame import decompress
from siren_codec.stream.tables import Family, frequencies, reach
from siren_codec.stream.weights import Coder

Integers = npt.NDArray[np.int32]
Shape = tuple[int, ...]
Draw = Callable[[int, Shape, float], Integers]


def plain(count: int) -> Integers:
    """The scales of `count` integers without a prior."""
    return np.full(count, 32, np.int32)


def pack_range(values: Sequence[Integers]) -> bytes:
    return weights_by_range.pack(values, [plain(flat.size) for flat in values])


def unpack_range(data: bytes, counts: Sequence[int]) -> list[Integers]:
    return weights_by_range.unpack(data, [plain(count) for count in counts])


def tensor(values: npt.ArrayLike, exponent: int = -8) -> QuantisedTensor:
    return QuantisedTensor(np.asarray(values, np.int32), exponent)


def laplace(seed: int, shape: Shape, scale: float) -> Integers:
    values = np.random.default_rng(seed).laplace(0, scale, shape)
    return np.clip(np.rint(values), -32767, 32767).astype(np.int32)


def gaussian(seed: int, shape: Shape, scale: float) -> Integers:
    values = np.random.default_rng(seed).normal(0, scale, shape)
    return np.clip(np.rint(values), -32767, 32767).astype(np.int32)


def outlier(seed: int, count: int) -> Integers:
    values = laplace(seed, (count,), 2)
    values[count // 2] = -32767
    return values


# Each is the values of a section's tensors, first to last.
CASES: dict[str, list[Integers]] = {
    "a weight and a bias": [laplace(1, (28, 2), 30), laplace(2, (28,), 10)],
    "ten layers": [laplace(i, (12, 12) if i % 2 else (12,), 5 + 9 * i) for i in range(20)],
    "gaussian": [gaussian(3, (40, 40), 12)],
    "large magnitudes": [gaussian(4, (30, 10), 9000), laplace(5, (10,), 4000)],
    "all zeros": [np.zeros((16, 16), np.int32), np.zeros(16, np.int32)],
    "all alike": [np.full((9, 9), 77, np.int32)],
    "an outlier": [outlier(6, 500)],
    "the extremes": [np.array([32767, -32767, 0, 32767, -32767], np.int32)],
    "the largest alone": [np.array([-32767], np.int32)],
    "one element": [np.array([3], np.int32)],
    "one zero": [np.array([0], np.int32)],
    "the most of one byte": [np.array([127, -128], np.int32)],
    "just beyond one byte": [np.array([128, 0], np.int32)],
    "bytes' edges": [np.array([127, -128, 128, -129, 255, -256], np.int32)],
    "between -1 and 1": [np.random.default_rng(7).integers(-1, 2, (64, 64)).astype(np.int32)],
    "wide and narrow": [laplace(8, (5, 5), 0.3), laplace(9, (5, 5), 8000), laplace(10, (2,), 1)],
}


@pytest.fixture(params=[*CASES.values()], ids=[*CASES])
def values(request: pytest.FixtureRequest) -> list[Integers]:
    case: list[Integers] = request.param
    return case


def flattened(values: Sequence[Integers]) -> list[Integers]:
    return [part.ravel() for part in values]


def counts(values: Sequence[Integers]) -> list[int]:
    return [part.size for part in values]


def assert_same(actual: Sequence[Integers], expected: Sequence[Integers]) -> None:
    assert len(actual) == len(expected)
    for found, wanted in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


# Round trips


def test_round_trip(values: list[Integers]) -> None:
    tensors = [tensor(part, -24 + i) for i, part in enumerate(values)]
    read = weights.unpack(weights.pack(tensors), [part.shape for part in values])
    assert [each.exponent for each in read] == [each.exponent for each in tensors]
    assert_same([each.values for each in read], values)
    assert all(each.values.dtype == np.int32 for each in read)


def test_round_trip_of_each_coder(values: list[Integers]) -> None:
    flat = flattened(values)
    assert_same(weights_by_zstd.unpack(weights_by_zstd.pack(flat), counts(values)), flat)
    assert_same(unpack_range(pack_range(flat), counts(values)), flat)


@pytest.mark.parametrize(("value", "planes"), [(127, 1), (-128, 1), (128, 2), (-129, 2)])
def test_a_second_plane_is_written_where_it_is_needed(value: int, planes: int) -> None:
    assert weights_by_zstd.pack([np.array([0, value], np.int32)])[0] == planes


@pytest.mark.parametrize("seed", range(40))
def test_round_trip_of_random_shapes_and_magnitudes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tensors = []
    for _ in range(rng.integers(1, 9)):
        shape = tuple(rng.integers(1, 20, rng.integers(1, 3)).tolist())
        draw = laplace if rng.random() < 0.5 else gaussian
        scale = 10.0 ** rng.uniform(-1, 4.5)
        tensors.append(tensor(draw(seed, shape, scale), int(rng.integers(-24, 8))))
    read = weights.unpack(weights.pack(tensors), [each.values.shape for each in tensors])
    assert_same([each.values for each in read], [each.values for each in tensors])
    assert [each.exponent for each in read] == [each.exponent for each in tensors]


def test_every_exponent_of_the_format_is_kept() -> None:
    assert (weights.EXPONENTS.start, weights.EXPONENTS.stop) == (-24, 8)
    tensors = [tensor([1], exponent) for exponent in range(-24, 8)]
    read = weights.unpack(weights.pack(tensors), [(1,)] * 32)
    assert [each.exponent for each in read] == list(range(-24, 8))


def test_the_smaller_form_is_written(values: list[Integers]) -> None:
    flat = flattened(values)
    forms = {Coder.ZSTD: weights_by_zstd.pack(flat), Coder.RANGE: pack_range(flat)}
    data = weights.pack([tensor(part, 0) for part in values])
    body = forms[weights.coder(data)]
    assert data == bytes([weights.coder(data)]) + bytes([24] * len(values)) + body
    assert len(body) == min(map(len, forms.values()))


def test_both_coders_are_chosen_for_something() -> None:
    assert weights.coder(weights.pack([tensor(np.tile([1, 7, -3, 90], 500))])) is Coder.ZSTD
    assert weights.coder(weights.pack([tensor(laplace(11, (40, 40), 9))])) is Coder.RANGE


@pytest.mark.parametrize(
    ("value", "exponent"), [(1, 8), (1, -25), (1, 300), (32768, 0), (-32768, 0), (70_000, 0)]
)
def test_what_no_reader_accepts_is_not_written(value: int, exponent: int) -> None:
    with pytest.raises(SirenError):
        weights.pack([tensor([value, 0, 0], exponent)])


# Golden bytes

SMALL = [np.array([0, 1, -1, 2, -2, 3], np.int32), np.array([-5], np.int32)]
# One frame of one raw block (RFC 8878): 28b52ffd, a size of 1 byte, 7 bytes raw and last, zigzag.
SMALL_ZSTD = "01 28b52ffd 2007 390000 00020104030609"
# The low bytes of all, then the high ones: 32767 is 0xfffe, -129 is 0x0101, 0 is 0.
WIDE = [np.array([32767, -129, 0], np.int32)]
WIDE_ZSTD = "02 28b52ffd 2006 310000 fe0100 ff0100"
SMALL_RANGE = "4b51 08d86a8b"
LONGER = [np.arange(-12, 13, dtype=np.int32), np.array([300, -4, 0, 0, 9], np.int32)]
LONGER_RANGE = "5320 dce53008 c7e45e2b f1939c4f 269a0dab ba26d9fb 5852811b"


def golden(text: str) -> bytes:
    return bytes.fromhex(text)


@pytest.mark.parametrize(("values", "data"), [(SMALL, SMALL_ZSTD), (WIDE, WIDE_ZSTD)])
def test_golden_bytes_of_zstd(values: list[Integers], data: str) -> None:
    assert weights_by_zstd.pack(values) == golden(data)
    assert_same(weights_by_zstd.unpack(golden(data), counts(values)), values)


@pytest.mark.parametrize(("values", "data"), [(SMALL, SMALL_RANGE), (LONGER, LONGER_RANGE)])
def test_golden_bytes_of_the_range_coder(values: list[Integers], data: str) -> None:
    assert pack_range(values) == golden(data)
    assert_same(unpack_range(golden(data), counts(values)), values)


def test_golden_section() -> None:
    section = weights.pack([tensor(SMALL[0], -24), tensor(SMALL[1], 7)])
    assert section == bytes([2, 0, 31]) + golden(SMALL_RANGE)


# The range coder, a second time


def reference_decode(data: bytes, counts: Sequence[int]) -> list[Integers]:
    """Return the integers of a range-coded body: table bytes, then the words of one coder."""
    tables, words = data[: len(counts)], data[len(counts) :]
    decoder = RangeDecoder(words)
    decoded = []
    for table, count in zip(tables, counts, strict=True):
        family, index = Family(table >> 6), table & 63
        cumulative = [0, *np.cumsum(frequencies(family, index)).tolist()]
        symbols = [decoder.symbol(cumulative) for _ in range(count)]
        decoded.append(np.array(symbols, np.int32) - reach(index))
    return decoded


def test_the_reference_decoder_reads_what_is_written(values: list[Integers]) -> None:
    flat = flattened(values)
    assert_same(reference_decode(pack_range(flat), counts(values)), flat)


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("index", [0, 1, 7, 22, 31, 45, 52, 63])
def test_the_reference_decoder_agrees_on_every_symbol_of_a_table(
    monkeypatch: pytest.MonkeyPatch, family: Family, index: int
) -> None:
    # Thousands of symbols, the rarest and the likeliest among them, under a table of our choice.
    monkeypatch.setattr(weights_by_range, "best_table", lambda *_: (family, index, 0.0))
    most = reach(index)
    rng = np.random.default_rng(index)
    flat = rng.integers(-most, most + 1, 2000).astype(np.int32)
    flat[:5] = -most, most, 0, -1, 1
    data = pack_range([flat])
    assert data[0] == family << 6 | index
    assert_same(reference_decode(data, [flat.size]), [flat])
    assert_same(unpack_range(data, [flat.size]), [flat])


# Cost


@pytest.mark.parametrize("scale", [0.2, 1, 7, 60, 3000])
@pytest.mark.parametrize("draw", [laplace, gaussian])
def test_cost_is_what_the_range_coder_spends(draw: Draw, scale: float) -> None:
    values = draw(12, (50, 40), scale)
    bits = 8 * (len(pack_range([values.ravel()])) - 1)
    assert weights_by_range.cost(values) == pytest.approx(bits, abs=64)


def test_cost_adds_up_over_tensors(values: list[Integers]) -> None:
    bits = 8 * (len(pack_range(flattened(values))) - len(values))
    assert sum(map(weights_by_range.cost, values)) == pytest.approx(bits, abs=64 + 1e-3 * bits)


@pytest.mark.parametrize(
    ("draw", "family"), [(laplace, Family.LAPLACE), (gaussian, Family.GAUSSIAN)]
)
def test_the_best_table_is_chosen(draw: Draw, family: Family) -> None:
    values = draw(13, (4000,), 40)
    chosen, index, bits = weights_by_range.best_table(values, plain(values.size))
    everything = {
        (family, i): float(np.sum(24 - np.log2(frequencies(family, i)[values + reach(i)])))
        for family in Family
        for i in range(64)
        if reach(i) >= np.abs(values).max()
    }
    assert chosen is family
    assert (chosen, index) == min(everything, key=lambda table: everything[table])
    assert bits == pytest.approx(min(everything.values()))


# What can be wrong with the bytes

SHAPES: list[Shape] = [(3, 2), (3,)]
COUNTS = [6, 3]
RAW = bytes(range(9))


def section(body: bytes, *, coder: int = Coder.ZSTD, exponents: bytes = b"\x10\x10") -> bytes:
    return bytes([coder]) + exponents + body


def frame(raw: bytes, *, checksum: bool = False, content_size: bool = True) -> bytes:
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=content_size)
    return compressor.compress(raw)


def declaring(size: int, *, block: bytes = b"\x01\x00\x00") -> bytes:
    """Return a zstd frame (RFC 8878) of `size` bytes by its own word; the block is empty."""
    magic, descriptor, window = b"\x28\xb5\x2f\xfd", b"\xc0", b"\x58"
    return magic + descriptor + window + struct.pack("<Q", size) + block


def raw_block(raw: bytes) -> bytes:
    return (len(raw) << 3 | 1).to_bytes(3, "little") + raw


def test_the_crafted_frames_are_what_they_claim() -> None:
    assert zstandard.get_frame_parameters(declaring(1 << 40)).content_size == 1 << 40
    whole = declaring(9, block=raw_block(RAW))
    assert zstandard.ZstdDecompressor().decompress(whole) == RAW
    values = weights.unpack(section(b"\x01" + whole), SHAPES)
    np.testing.assert_array_equal(values[1].values, [3, -4, 4])


BAD_FRAMES = {
    "empty": b"",
    "no zstd at all": b"hello, hello",
    "another length": frame(RAW + b"\0"),
    "a length of 0": frame(b""),
    "a length of 0, and content": declaring(0, block=raw_block(RAW)),
    "a length of 2**40": declaring(1 << 40),
    "a length of 2**40, and a window as large": b"\x28\xb5\x2f\xfd\xe0"
    + struct.pack("<Q", 1 << 40),
    "a length of 2**64 - 1": declaring((1 << 64) - 1),
    "no length": frame(RAW, content_size=False),
    "less than it declares": declaring(9, block=raw_block(RAW[:8])),
    "more than it declares": declaring(9, block=raw_block(RAW + b"\0")),
    "truncated": frame(RAW)[:-1],
    "the header alone": frame(RAW)[:6],
    "a byte more": frame(RAW) + b"\0",
    "two frames": frame(RAW) + frame(RAW),
    "two frames that make up the length": frame(RAW[:4]) + frame(RAW[4:]),
    "a skippable frame after it": frame(RAW) + b"\x50\x2a\x4d\x18\x01\x00\x00\x00x",
    "a skippable frame before it": b"\x50\x2a\x4d\x18\x01\x00\x00\x00x" + frame(RAW),
    "a wrong checksum": frame(RAW, checksum=True)[:-1] + b"\x99",
    "a reserved block": declaring(9, block=b"\x07\x00\x00"),
    "a window of 2**41": b"\x28\xb5\x2f\xfd\xc0\xf8" + struct.pack("<Q", 9) + raw_block(RAW),
}


@pytest.mark.parametrize("data", BAD_FRAMES.values(), ids=BAD_FRAMES.keys())
def test_bad_zstd_frames(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"^zstd: "):
        weights.unpack(section(b"\x01" + data), SHAPES)


@pytest.mark.parametrize("planes", [0, 3, 255])
def test_a_bad_count_of_planes(planes: int) -> None:
    with pytest.raises(FormatError, match=f"expected 1 or 2 byte planes, found {planes}"):
        weights.unpack(section(bytes([planes]) + frame(RAW)), SHAPES)


def test_no_body_at_all() -> None:
    with pytest.raises(FormatError, match="byte planes"):
        weights.unpack(section(b""), SHAPES)
    with pytest.raises(FormatError, match="table bytes"):
        weights.unpack(section(b"", coder=Coder.RANGE), SHAPES)


def test_planes_and_length_must_agree() -> None:
    with pytest.raises(FormatError, match="expected a frame of 18 bytes, found one of 9"):
        weights.unpack(section(b"\x02" + frame(RAW)), SHAPES)


def test_a_magnitude_of_32768_is_refused() -> None:
    assert weights_by_zstd.unpack(b"\x02" + frame(b"\xfd\xff"), [1])[0] == -32767
    assert weights_by_zstd.unpack(b"\x02" + frame(b"\xfe\xff"), [1])[0] == 32767
    with pytest.raises(FormatError, match="expected magnitudes to 32767, found 32768"):
        weights_by_zstd.unpack(b"\x02" + frame(b"\xff\xff"), [1])


@pytest.mark.parametrize("data", [b"", b"\x00\x10\x10", b"\x03\x10\x10", b"\xff\x10\x10"])
def test_an_unknown_coder(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"expected a coder of \[1, 2\]"):
        weights.unpack(data, SHAPES)
    with pytest.raises(FormatError, match=r"expected a coder of \[1, 2\]"):
        weights.coder(data)


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("coder", Coder)
def test_too_few_exponents(coder: Coder, length: int) -> None:
    with pytest.raises(FormatError, match="expected over 2 bytes"):
        weights.unpack(bytes([coder, 16, 16])[:length], SHAPES)


@pytest.mark.parametrize("exponents", [b"\x20\x10", b"\x10\x20", b"\xff\x00"])
def test_an_exponent_out_of_range(exponents: bytes) -> None:
    with pytest.raises(FormatError, match=r"expected a step of 2\*\*-24 to 2\*\*7"):
        weights.unpack(section(b"\x01" + frame(RAW), exponents=exponents), SHAPES)


VALUES = [np.array([5, -3, 0, 2, 2, -1], np.int32), np.array([9, 0, -9], np.int32)]
RANGE_BODY = pack_range(VALUES)


def test_the_range_coded_body_is_sound() -> None:
    assert_same(unpack_range(RANGE_BODY, COUNTS), VALUES)


@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("bits", [0x80, 0xC0])
def test_a_table_that_there_is_not(position: int, bits: int) -> None:
    body = bytearray(RANGE_BODY)
    body[position] |= bits
    with pytest.raises(FormatError, match="expected a table below 128, found"):
        weights.unpack(section(bytes(body), coder=Coder.RANGE), SHAPES)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_words_are_of_four_bytes(count: int) -> None:
    with pytest.raises(FormatError, match="words of 4 bytes"):
        weights.unpack(section(RANGE_BODY + bytes(count), coder=Coder.RANGE), SHAPES)
    with pytest.raises(FormatError, match="words of 4 bytes"):
        weights.unpack(section(RANGE_BODY[:-count], coder=Coder.RANGE), SHAPES)


def test_too_few_tables() -> None:
    with pytest.raises(FormatError, match="expected 2 table bytes"):
        weights.unpack(section(RANGE_BODY[:1], coder=Coder.RANGE), SHAPES)


@pytest.mark.parametrize("words", [2, 3, 100])
@pytest.mark.parametrize("word", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_words_after_the_range_coder_s_last(words: int, word: bytes) -> None:
    with pytest.raises(FormatError, match="expected the words of the range coder"):
        weights.unpack(section(RANGE_BODY + words * word, coder=Coder.RANGE), SHAPES)


@pytest.mark.parametrize("word", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_one_word_after_the_range_coder_s_last(word: bytes) -> None:
    with pytest.raises(FormatError):
        weights.unpack(section(RANGE_BODY + word, coder=Coder.RANGE), SHAPES)


def test_any_words_are_integers_or_a_format_error() -> None:
    rng = np.random.default_rng(14)
    outcomes = set()
    for _ in range(500):
        tables = rng.integers(0, 128, 2).astype(np.uint8).tobytes()
        words = rng.bytes(4 * int(rng.integers(0, 6)))
        try:
            read = weights.unpack(section(tables + words, coder=Coder.RANGE), SHAPES)
        except FormatError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert max(np.abs(each.values).max() for each in read) <= 32767
            assert [each.values.shape for each in read] == SHAPES
    assert outcomes == {"refused", "read"}


# constriction's panics


def test_a_panic_of_constriction_is_a_format_error(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # A real one: Rust's panics come as a BaseException that is no Exception.
    monkeypatch.setattr(
        range_coder, "model", lambda family, index: constriction.stream.model.Uniform(1)
    )
    with pytest.raises(FormatError, match="range coder: ") as caught:
        weights.unpack(section(RANGE_BODY, coder=Coder.RANGE), SHAPES)
    assert caught.value.__suppress_context__
    assert "panicked" in capfd.readouterr().err  # and so it was one


def test_invalid_words_are_a_format_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(family: Family, index: int) -> None:
        raise ValueError("not normalizable")

    monkeypatch.setattr(range_coder, "model", refuse)
    with pytest.raises(FormatError, match="range coder: not normalizable"):
        weights.unpack(section(RANGE_BODY, coder=Coder.RANGE), SHAPES)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupt(family: Family, index: int) -> None:
        raise interruption

    monkeypatch.setattr(range_coder, "model", interrupt)
    with pytest.raises(interruption):
        weights.unpack(section(RANGE_BODY, coder=Coder.RANGE), SHAPES)


def test_an_empty_block_in_a_zstd_frame_is_slack() -> None:
    frame = zstandard.ZstdCompressor(level=19).compress(bytes(range(50)))
    head = zstandard.frame_header_size(frame)
    grown = frame[:head] + b"\0\0\0" * 3 + frame[head:]
    assert zstandard.ZstdDecompressor().decompress(grown) == bytes(range(50))
    decompress(frame, 50)
    with pytest.raises(FormatError, match="blocks that hold something"):
        decompress(grown, 50)


def test_a_zstd_checksum_is_slack() -> None:
    frame = zstandard.ZstdCompressor(level=19, write_checksum=True).compress(bytes(50))
    with pytest.raises(FormatError, match="without checksum"):
        decompress(frame, 50)


def test_a_second_plane_that_is_empty_is_slack() -> None:
    raw = bytes([1, 2, 3, 0, 0, 0])
    frame = zstandard.ZstdCompressor(level=19).compress(raw)
    with pytest.raises(FormatError, match="expected 1 byte plane"):
        weights_by_zstd.unpack(b"\x02" + frame, [3])
