"""The libraries' traps: what each one does, shown on the library, and that a file sets none off.

`test_weights` and `test_alpha` have what a reader makes of such frames within a section.
"""

import io
import struct

import constriction
import numpy as np
import numpy.typing as npt
import pytest
import zstandard

from siren_codec.errors import FormatError
from siren_codec.stream import range_coder, weights_by_range
from siren_codec.stream.frame import decompress
from siren_codec.stream.tables import Family, frequencies, residual_frequencies

MAGIC = b"\x28\xb5\x2f\xfd"
RAW = bytes(range(100))
SKIPPABLE = struct.pack("<II", 0x184D2A50, 3) + b"abc"


def frame(
    *blocks: bytes,
    size: int | None,
    descriptor: int = 0,
    dictionary: bytes = b"",
    check: bytes = b"",
) -> bytes:
    """Return a zstd frame (RFC 8878) that declares `size` bytes in 8, or nothing, in a window."""
    descriptor |= 0 if size is None else 0xC0
    declared = b"" if size is None else struct.pack("<Q", size)
    return MAGIC + bytes([descriptor, 0x58]) + dictionary + declared + b"".join(blocks)


def raw(data: bytes, *, last: bool = True) -> bytes:
    """Return a block that holds data as they are."""
    return (len(data) << 3 | last).to_bytes(3, "little") + data


def repeated(byte: bytes, count: int, *, last: bool = True) -> bytes:
    """Return a block of one byte, so often."""
    return (count << 3 | 1 << 1 | last).to_bytes(3, "little") + byte


def test_the_crafted_frames_are_sound() -> None:
    for each in (
        frame(raw(RAW), size=100),
        frame(raw(RAW[:60], last=False), raw(RAW[60:]), size=100),
    ):
        assert decompress(each, 100) == RAW
    assert decompress(frame(repeated(b"x", 5000), size=5000), 5000) == b"x" * 5000


# zstandard


def test_zstandard_ignores_the_largest_output_of_a_frame_that_declares_its_size() -> None:
    bomb = frame(*[repeated(b"\0", 100_000, last=last) for last in (False, True)], size=200_000)
    library = zstandard.ZstdDecompressor()
    assert len(library.decompress(bomb, max_output_size=10)) == 200_000
    with pytest.raises(FormatError, match="expected a frame of 10 bytes, found one of 200000"):
        decompress(bomb, 10)


@pytest.mark.parametrize(
    ("size", "raised"), [(1 << 40, None), (1 << 60, MemoryError), ((1 << 63) - 1, OverflowError)]
)
def test_zstandard_asks_for_what_is_only_declared(
    size: int, raised: type[Exception] | None
) -> None:
    """All of it, before it looks at the first block; what 2**40 gives depends on the machine."""
    small = frame(raw(RAW), size=size)
    assert len(small) < 120
    if raised:
        with pytest.raises(raised):
            zstandard.ZstdDecompressor().decompress(small, max_output_size=100)
    with pytest.raises(FormatError, match=f"expected a frame of 100 bytes, found one of {size}"):
        decompress(small, 100)


def test_zstandard_gives_nothing_for_a_declared_size_of_0_whatever_follows() -> None:
    for hollow in (frame(raw(RAW), size=0), frame(raw(b""), size=0)):
        assert zstandard.ZstdDecompressor().decompress(hollow) == b""
        for length in (0, 100):
            with pytest.raises(FormatError, match="zstd: expected a frame of"):
                decompress(hollow, length)


def test_zstandard_s_streams_end_early_without_a_word() -> None:
    whole = frame(raw(RAW[:60], last=False), raw(RAW[60:]), size=100)
    cut = whole[:-10]
    library = zstandard.ZstdDecompressor()
    with library.stream_reader(io.BytesIO(cut)) as reader:
        assert 0 < len(reader.read()) < 100
    assert len(b"".join(library.read_to_iter(io.BytesIO(cut)))) < 100
    assert len(library.decompressobj().decompress(cut)) < 100
    with pytest.raises(FormatError, match=r"^zstd: "):
        decompress(cut, 100)


@pytest.mark.parametrize("cut", range(1, 20))
def test_a_frame_that_was_cut_off_is_refused(cut: int) -> None:
    whole = zstandard.ZstdCompressor(level=19).compress(bytes(50) + RAW)
    with pytest.raises(FormatError, match=r"^zstd: "):
        decompress(whole[:-cut], 150)


def test_zstandard_takes_a_frame_with_a_checksum() -> None:
    sealed = zstandard.ZstdCompressor(write_checksum=True).compress(RAW)
    assert zstandard.ZstdDecompressor().decompress(sealed) == RAW
    with pytest.raises(FormatError, match="without checksum and dictionary"):
        decompress(sealed, 100)


@pytest.mark.parametrize("bytes_", [1, 2, 4])
def test_a_frame_that_wants_a_dictionary_is_refused(bytes_: int) -> None:
    flag = {1: 1, 2: 2, 4: 3}[bytes_]
    foreign = frame(raw(RAW), size=100, descriptor=flag, dictionary=(7).to_bytes(bytes_, "little"))
    assert zstandard.get_frame_parameters(foreign).dict_id == 7
    with pytest.raises(FormatError, match=r"^zstd: "):
        decompress(foreign, 100)


def test_zstandard_skips_what_is_skippable() -> None:
    """A frame of whatever bytes, which a file could hide things in."""
    sound = frame(raw(RAW), size=100)
    parameters = zstandard.get_frame_parameters(SKIPPABLE)
    assert parameters.content_size == 3
    assert zstandard.ZstdDecompressor().decompress(sound + SKIPPABLE) == RAW
    for odd in (SKIPPABLE, SKIPPABLE + sound, sound + SKIPPABLE, sound + sound, sound + b"\0"):
        for length in (3, 100):
            with pytest.raises(FormatError, match=r"^zstd: "):
                decompress(odd, length)


@pytest.mark.parametrize(
    "blocks",
    [
        (raw(b"", last=False), raw(RAW)),
        (raw(RAW[:50], last=False), raw(b"", last=False), raw(RAW[50:])),
        (raw(RAW, last=False), raw(b"")),
        (repeated(b"x", 0, last=False), raw(RAW)),
        (raw(RAW, last=False), repeated(b"x", 0)),
    ],
)
def test_zstandard_takes_any_number_of_empty_blocks(blocks: tuple[bytes, ...]) -> None:
    """So that a picture would have files without end."""
    slack = frame(*blocks, size=100)
    assert zstandard.ZstdDecompressor().decompress(slack) == RAW
    with pytest.raises(FormatError, match="found an empty one"):
        decompress(slack, 100)


# constriction


def decoded(words: npt.NDArray[np.uint32], count: int) -> npt.NDArray[np.int32]:
    model = range_coder.model(Family.LAPLACE, 12)
    symbols: npt.NDArray[np.int32] = constriction.stream.queue.RangeDecoder(words).decode(
        model, count
    )
    return symbols


def test_constriction_decodes_anything_without_an_error() -> None:
    """Random words, none at all, and far more symbols than there are words for."""
    rng = np.random.default_rng(5)
    for words in (rng.integers(0, 1 << 32, 4, np.uint32), np.zeros(0, np.uint32)):
        symbols = decoded(words, 400)
        assert symbols.shape == (400,)
        assert symbols.min() >= 0
        assert symbols.max() < len(frequencies(Family.LAPLACE, 12))
        base = np.full(400, 32, np.int32)
        with pytest.raises(FormatError, match=r"words of the range coder, found others|invalid"):
            weights_by_range.unpack(b"\x0c" + words.astype("<u4").tobytes(), [base])


def encode(
    family: constriction.stream.model.Model, *parameters: npt.ArrayLike, symbol: int = 0
) -> None:
    """Encode a symbol with a model that gets its parameters along with it."""
    arrays = (np.array([each], np.float32) for each in parameters)
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(np.array([symbol], np.int32), family, *arrays)


MODELS = constriction.stream.model
BAD_SCALES = {
    f"{family.__name__}, {scale}": (family, scale)
    for family in (MODELS.QuantizedGaussian, MODELS.QuantizedLaplace, MODELS.QuantizedCauchy)
    for scale in (np.nan, 0.0, -1.0)
}


@pytest.mark.parametrize("name", BAD_SCALES)
def test_constriction_panics_for_a_scale_that_is_none(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its PanicException is no Exception, and says the panic on standard error besides."""
    family, scale = BAD_SCALES[name]
    with pytest.raises(BaseException, match="must be positive") as caught:
        encode(family(-10, 10), 0.0, scale)
    assert type(caught.value).__name__ == "PanicException"
    assert not isinstance(caught.value, Exception)
    with pytest.raises(BaseException, match="must be positive") as caught:
        family(-10, 10, 0.0, scale)
    assert not isinstance(caught.value, Exception)
    assert "panicked" in capfd.readouterr().err
    with (
        pytest.raises(FormatError, match=r"range coder: .*must be positive"),
        range_coder.errors(),
    ):
        encode(family(-10, 10), 0.0, scale)


BAD_PROBABILITIES = {
    "no number": [0.5, np.nan],
    "infinite": [0.5, np.inf],
    "negative": [0.5, -0.5],
    "all of them 0": [0.0, 0.0],
}


@pytest.mark.parametrize("name", BAD_PROBABILITIES)
def test_constriction_refuses_probabilities_that_are_none(name: str) -> None:
    row = BAD_PROBABILITIES[name]
    with pytest.raises(ValueError, match="not normalizable"):
        MODELS.Categorical(np.array(row), perfect=False)
    with (
        pytest.raises(FormatError, match=r"range coder: .*not normalizable"),
        range_coder.errors(),
    ):
        encode(MODELS.Categorical(perfect=False), row)


def test_constriction_takes_a_negative_probability_whose_sum_is_right() -> None:
    """Our own are integers that a test counts: nothing of a file goes into a table but its name."""
    encode(MODELS.Categorical(perfect=False), [-1.0, 2.0])
    for family in Family:
        for index in range(0, 64, 9):
            assert (frequencies(family, index) >= 1).all()
    assert (residual_frequencies() >= 1).all()


def test_constriction_decodes_with_a_mean_that_is_no_number() -> None:
    """Ours are integers: the context network's are bounded before anything is decoded."""
    decoder = constriction.stream.queue.RangeDecoder(np.array([1, 2, 3], np.uint32))
    symbols = decoder.decode(MODELS.QuantizedGaussian(-10, 10, np.nan, 1.0), 5)
    assert np.isin(symbols, (-10, 10)).all()


def test_a_symbol_that_a_model_lacks_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="zero probability"):
        encode(MODELS.Categorical(perfect=False), [0.5, 0.5], symbol=2)
    with (
        pytest.raises(FormatError, match=r"range coder: .*zero probability"),
        range_coder.errors(),
    ):
        encode(MODELS.Categorical(perfect=False), [0.5, 0.5], symbol=2)
