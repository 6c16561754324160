"""The prior: what it expects at each quality, files that hold differences from it, its absence."""

import zlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import siren_codec
from siren_codec import stream
from siren_codec.errors import FormatError, LimitError, SirenError, UsageError
from siren_codec.field import Architecture, Field, Layer, PriorName, QuantisedTensor
from siren_codec.stream import format, latents, prior, weights, weights_by_range, weights_by_zstd
from siren_codec.stream.latents import is_exact
from siren_codec.stream.prior import Expected, Prior
from siren_codec.stream.weights import Coder

NETWORK = Architecture(3, 2, 5, 3.0, 10.0, (1, 0, 2), neighbours=4, context_features=3)
COORDINATE = Architecture(3, 3, 6)
ID = 200


def write_prior(
    folder: Path, network: Architecture, *, knots: int, first_knot: int = 2, id_: int = ID
) -> None:
    """Write a prior of random small weights, its context network's in few bits."""
    rng = np.random.default_rng(3)
    shapes = network.tensor_shapes
    depth = 2 * len(network.shapes)
    exponents = [-20 if index < depth else -9 for index in range(len(shapes))]
    values = [
        np.rint(rng.uniform(-0.4, 0.4, (knots, *shape)) * 2.0**-exponent).astype(np.int32)
        for shape, exponent in zip(shapes, exponents, strict=True)
    ]
    spreads = [rng.integers(100, 124, shape).astype(np.uint8) for shape in shapes]
    arrays = prior.arrays_of(network, first_knot, values, exponents, spreads)
    np.savez(folder / f"prior-{id_}.npz", **arrays)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of priors, instead of the package's."""
    monkeypatch.setattr(prior, "FOLDER", tmp_path)
    prior.load.cache_clear()
    yield tmp_path
    prior.load.cache_clear()


@pytest.fixture
def grids(folder: Path) -> Prior:
    write_prior(folder, NETWORK, knots=4)
    return prior.load(ID)


def moved(
    expected: list[Expected], octaves: int, *, seed: int = 0, share: float = 1.0
) -> list[QuantisedTensor]:
    """Return tensors that differ from the prior's by some integers at a step of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for x in expected:
        integers = np.rint(rng.laplace(0, 2, x.tensor.values.shape)).astype(np.int32)
        integers *= rng.uniform(size=integers.shape) < share
        values = x.tensor.values + (integers << octaves)
        found.append(QuantisedTensor(values, x.tensor.exponent))
    return found


def field_of(name: PriorName, tensors: list[QuantisedTensor], architecture: Architecture) -> Field:
    layers = [Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True)]
    depth = len(architecture.shapes)
    shapes = latents.shapes(architecture, 9, 6)
    rng = np.random.default_rng(1)
    return Field(
        *(9, 6, 8, architecture, tuple(layers[:depth])),
        latents=tuple(rng.integers(-2, 3, shape, np.int32) for shape in shapes),
        context=tuple(layers[depth:]),
        prior=name,
    )


def assert_same_tensors(found: Field, expected: Field) -> None:
    for mine, theirs in zip(found.tensors(), expected.tensors(), strict=True):
        assert mine.exponent == theirs.exponent
        assert np.array_equal(mine.values, theirs.values)


@pytest.fixture
def data(grids: Prior) -> bytes:
    """A file of differences from it."""
    return stream.write(field_of(PriorName(ID, 41), moved(grids.expect(3, 41), 0), NETWORK))


# What it expects


@pytest.mark.parametrize("quality", [1, 2, 3, 17, 34, 49, 50, 51, 66, 98, 100])
def test_weights_between_the_knots(grids: Prior, quality: int) -> None:
    """By fractions: linear between knots 32 apart; columns of grids times 2^((50 - q) / 16), of the
    first layer and of the bypass.
    """
    position = min(max(Fraction(quality - 2, 32), Fraction(0)), Fraction(3))
    low = min(int(position), 2)
    for index, (found, values) in enumerate(
        zip(grids.expect(3, quality), grids.values, strict=True)
    ):
        below, above = values[low].astype(object), values[low + 1].astype(object)
        exact = (1 - (position - low)) * below + (position - low) * above
        real = exact.astype(float)
        if index in (0, 4):
            real[:, -3:] *= 2 ** ((50 - quality) / 16)
        assert np.abs(found.tensor.values - real).max() <= 0.5 + 1e-5 * np.abs(real).max()
        assert found.tensor.exponent == grids.exponents[index]
        assert np.array_equal(found.spreads, grids.spreads[index])


def test_the_expected_integers_are_golden(grids: Prior) -> None:
    """A change of them is a change of the format."""
    digest = 0
    for channels in (1, 3):
        for quality in (1, 20, 50, 77, 100):
            for x in grids.expect(channels, quality):
                digest = zlib.crc32(x.tensor.values.astype("<i4").tobytes(), digest)
    assert digest == GOLDEN_DIGEST


GOLDEN_DIGEST = 4223827204


def test_grey_is_the_mean_of_the_colours(grids: Prior) -> None:
    grey, colours = grids.expect(1, 60), grids.expect(3, 60)
    for index, (one, three) in enumerate(zip(grey, colours, strict=True)):
        if index // 2 != 2:
            assert np.array_equal(one.tensor.values, three.tensor.values)
            continue
        mean = np.average(three.tensor.values, axis=0, weights=[1, 2, 1])
        assert np.abs(one.tensor.values[0] - mean).max() <= 0.5
        assert np.array_equal(one.spreads[0], three.spreads[1])
    assert [x.tensor.values.shape for x in grey] == [
        *Architecture(1, 2, 5, 3.0, 10.0, (1, 0, 2), 4, 3).tensor_shapes
    ]


def test_one_knot_serves_every_quality(folder: Path) -> None:
    write_prior(folder, COORDINATE, knots=1)
    known = prior.load(ID)
    assert known.architecture == COORDINATE
    for quality in (1, 50, 100):
        for x, values in zip(known.expect(3, quality), known.values, strict=True):
            assert np.array_equal(x.tensor.values, values[0])


# Files


@pytest.mark.parametrize("share", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("octaves", [0, 11])
def test_round_trip(grids: Prior, share: float, channels: int, octaves: int) -> None:
    name = PriorName(ID, 41)
    architecture = grids.architecture_for(channels)
    assert architecture is not None
    tensors = moved(grids.expect(channels, 41), 0, share=share)
    # The context network has to stay exact: its differences are as fine as the prior itself.
    depth = 2 * len(architecture.shapes)
    tensors[:depth] = moved(grids.expect(channels, 41), octaves, share=share)[:depth]
    field = field_of(name, tensors, architecture)
    assert is_exact(field.context)
    data = stream.write(field)
    found = stream.read(data)
    assert found.prior == name
    assert found.architecture == architecture
    assert_same_tensors(found, field)
    assert all(map(np.array_equal, found.latents, field.latents))
    assert stream.write(found) == data


def test_the_header_names_the_prior(grids: Prior, data: bytes, folder: Path) -> None:
    assert data[:8] == b"\x89SRN\x01\x09\x06" + bytes([0b1010])
    assert data[8:14] == bytes([ID]) + grids.digest + bytes([41])
    header, _ = format.parse(data)
    assert header.prior == PriorName(ID, 41)


def test_no_differences_cost_next_to_nothing(grids: Prior) -> None:
    expected = grids.expect(3, 50)
    section = weights.pack([x.tensor for x in expected], expected)
    assert len(section) == 1 + len(expected)
    found = weights.unpack(section, NETWORK.tensor_shapes, expected)
    for tensor, x in zip(found, expected, strict=True):
        assert np.array_equal(tensor.values, x.tensor.values)


@pytest.mark.parametrize("coder", list(Coder))
def test_round_trip_of_each_coder(
    grids: Prior, coder: Coder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each form decodes to the same, and the smaller one is written."""
    expected = grids.expect(3, 50)
    tensors = moved(expected, 9)
    smaller = len(weights.pack(tensors, expected))
    other = weights_by_zstd if coder is Coder.RANGE else weights_by_range
    monkeypatch.setattr(other, "pack", lambda *_: bytes(1 << 16))
    section = weights.pack(tensors, expected)
    assert weights.coder(section) is coder
    assert len(section) >= smaller
    for found, tensor in zip(
        weights.unpack(section, NETWORK.tensor_shapes, expected), tensors, strict=True
    ):
        assert np.array_equal(found.values, tensor.values)


def test_spreads_make_a_file_smaller() -> None:
    """Integers as large as their spreads say cost less than without that knowledge."""
    rng = np.random.default_rng(5)
    spreads = rng.integers(96, 128, (40, 40)).astype(np.uint8)
    scale = 2.0 ** ((spreads.astype(float) - 128) / 4)
    integers = np.rint(rng.laplace(0, scale * 2**10)).astype(np.int32)
    informed = weights_by_range.cost(integers, weights.scales(-10, spreads))
    assert informed < 0.9 * weights_by_range.cost(integers)
    entropy = np.log2(2 * np.e * np.maximum(scale * 2**10, 0.5)).sum()
    assert informed < 1.1 * entropy


def test_cost_is_what_the_range_coder_spends(grids: Prior) -> None:
    expected = grids.expect(3, 50)
    tensors = moved(expected, 9)
    differences = [
        weights.differences(tensor, x.tensor) for tensor, x in zip(tensors, expected, strict=True)
    ]
    scales = [
        weights.scales(difference.exponent, x.spreads)
        for difference, x in zip(differences, expected, strict=True)
        if difference
    ]
    values = [difference.values.ravel() for difference in differences if difference]
    bits = sum(map(weights_by_range.cost, values, scales))
    spent = 8 * (len(weights_by_range.pack(values, scales)) - len(values))
    assert spent == pytest.approx(bits, abs=64)


def test_an_integer_beyond_every_table_is_left_to_zstd() -> None:
    """A weight that hardly ever moves may move far."""
    values = np.zeros((1, 60), np.int32)
    spreads = np.full((1, 60), 20, np.uint8)
    spreads[0, 0] = 200
    values[0, 1] = 30000
    values[0, 2] = 1
    expected = [Expected(QuantisedTensor(np.zeros((1, 60), np.int32), -12), spreads)]
    assert weights_by_range.cost(values, weights.scales(-12, spreads)) == np.inf
    section = weights.pack([QuantisedTensor(values, -12)], expected)
    assert weights.coder(section) is Coder.ZSTD
    (found,) = weights.unpack(section, [(1, 60)], expected)
    assert np.array_equal(found.values, values)


def test_info_says_what_the_weights_cost_without(grids: Prior) -> None:
    field = field_of(PriorName(ID, 41), moved(grids.expect(3, 41), 0, share=0.2), NETWORK)
    found = siren_codec.info(stream.write(field))
    said = found["prior"]
    assert (said["id"], said["quality"], said["hash"]) == (ID, 41, grids.digest.hex())
    assert 0 < said["differences"] < found["weights"] / 3
    assert said["bytes_without"] > found["sections"]["weights"]


# What can be wrong


def test_a_prior_that_there_is_not(grids: Prior, data: bytes, folder: Path) -> None:
    (folder / f"prior-{ID}.npz").rename(folder / "prior-7.npz")
    prior.load.cache_clear()
    with pytest.raises(FormatError, match=rf"prior: expected one of \[7\], found {ID}"):
        stream.read(data)
    (folder / "prior-7.npz").unlink()
    with pytest.raises(FormatError, match=r"expected one of \[\]"):
        stream.read(data)


def test_another_prior_of_the_same_id(grids: Prior, data: bytes, folder: Path) -> None:
    write_prior(folder, NETWORK, knots=3)
    prior.load.cache_clear()
    digest = prior.load(ID).digest.hex()
    with pytest.raises(FormatError, match=f"hash {digest}, found {grids.digest.hex()}"):
        stream.read(data)


def test_a_broken_prior_is_an_error(grids: Prior, data: bytes, folder: Path) -> None:
    path = folder / f"prior-{ID}.npz"
    path.write_bytes(path.read_bytes()[:100])
    prior.load.cache_clear()
    with pytest.raises(SirenError, match=f"prior-{ID}"):
        stream.read(data)


def test_a_prior_that_cannot_be_read_is_an_error(grids: Prior, data: bytes, folder: Path) -> None:
    path = folder / f"prior-{ID}.npz"
    path.unlink()
    path.mkdir()
    prior.load.cache_clear()
    with pytest.raises(SirenError, match=f"prior-{ID}.npz: Is a directory"):
        stream.read(data)


def sealed(data: bytes) -> bytes:
    """Return a file with its checksum made right."""
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


@pytest.mark.parametrize("quality", [0, 101, 255])
def test_a_quality_out_of_range(grids: Prior, data: bytes, quality: int) -> None:
    crafted = bytearray(data)
    crafted[13] = quality
    with pytest.raises(FormatError, match="quality: expected 1 to 100"):
        stream.read(sealed(bytes(crafted)))
    with pytest.raises(UsageError):
        stream.write(field_of(PriorName(ID, quality), moved(grids.expect(3, 41), 0), NETWORK))


@pytest.mark.parametrize("kind", [0b1001, 0b1011])
def test_alpha_has_no_prior(grids: Prior, data: bytes, kind: int) -> None:
    crafted = bytearray(data)
    crafted[7] = kind
    with pytest.raises(FormatError, match="expected 1 or 3 channels"):
        stream.read(sealed(bytes(crafted)))


def test_every_prefix_of_the_body_is_refused(grids: Prior, data: bytes) -> None:
    for length in range(5, len(data) - 4):
        with pytest.raises(FormatError):
            stream.read(sealed(data[:length] + bytes(4)))


def test_another_network_is_not_written(grids: Prior) -> None:
    tensors = moved(grids.expect(3, 41), 0)
    other = Architecture(3, 2, 5, 3.0, 11.0, (1, 0, 2), neighbours=4, context_features=3)
    with pytest.raises(UsageError):
        stream.write(field_of(PriorName(ID, 41), tensors, other))


def test_other_steps_are_not_written(grids: Prior) -> None:
    tensors = moved(grids.expect(3, 41), 0)
    tensors[0] = QuantisedTensor(tensors[0].values, -19)
    with pytest.raises(UsageError, match=r"expected the prior's step of 2\*\*-20"):
        stream.write(field_of(PriorName(ID, 41), tensors, NETWORK))


def one(values: npt.ArrayLike, exponent: int) -> tuple[list[QuantisedTensor], list[Expected]]:
    flat = np.array(values, np.int32)
    zeros = QuantisedTensor(np.zeros_like(flat), -10)
    return [QuantisedTensor(flat, exponent)], [Expected(zeros, np.full(flat.shape, 120, np.uint8))]


def by_zstd(values: npt.ArrayLike, exponent: int) -> bytes:
    """Return a section of one tensor of differences, whatever they are."""
    packed = weights_by_zstd.pack([np.array(values, np.int32)])
    return bytes([Coder.ZSTD, exponent + 24]) + packed


def test_a_step_below_the_prior_s_is_refused() -> None:
    tensors, expected = one([1, 2, 3], -10)
    section = bytearray(weights.pack(tensors, expected))
    section[1] -= 1
    with pytest.raises(FormatError, match=r"step of 2\*\*-10 to"):
        weights.unpack(bytes(section), [(3,)], expected)


def test_a_step_that_could_be_larger_is_refused() -> None:
    """So that a Field has one form only."""
    tensors, expected = one([2, -4, 6], -10)
    section = weights.pack(tensors, expected)
    assert section[1] == -9 + 24
    with pytest.raises(FormatError, match="expected an odd difference"):
        weights.unpack(by_zstd([2, -4, 6], -10), [(3,)], expected)
    # At the largest step there is no other way.
    (found,) = weights.unpack(by_zstd([2, -4, 6], 7), [(3,)], expected)
    assert np.array_equal(found.values, np.array([2, -4, 6]) << 17)


def test_differences_of_nothing_are_refused() -> None:
    _, expected = one([0, 0, 0], -10)
    with pytest.raises(FormatError, match="expected an odd difference"):
        weights.unpack(by_zstd([0, 0, 0], 7), [(3,)], expected)


def test_an_unmoved_tensor_without_a_prior_is_refused() -> None:
    tensors, expected = one([0, 0, 0], -10)
    section = weights.pack(tensors, expected)
    assert section == bytes([Coder.RANGE, 0xFF])
    with pytest.raises(FormatError, match="expected a step"):
        weights.unpack(section, [(3,)])


def test_a_difference_too_large_is_not_written() -> None:
    tensors, expected = one([1, 40000, 3], -10)
    with pytest.raises(LimitError):
        weights.pack(tensors, expected)


def test_sums_beyond_32_bits_are_refused() -> None:
    top = QuantisedTensor(np.full(3, 2**31 - 1, np.int32), -24)
    with pytest.raises(FormatError, match="fit into 32 bits"):
        weights.unpack(by_zstd([1, 2, 3], 7), [(3,)], [Expected(top, np.zeros(3, np.uint8))])


# The package's own


def test_the_package_s_priors_are_small_and_plain() -> None:
    total = 0
    for id_ in prior.IDS:
        path = prior.path_of(id_)
        assert path.stat().st_size < 200_000
        total += path.stat().st_size
        with np.load(path, allow_pickle=False) as file:
            assert all(file[name].dtype.kind in "iu" for name in file.files)
    folder = Path(siren_codec.__file__).parent
    total += sum(path.stat().st_size for path in folder.glob("fit/analysis-*.npz"))
    assert 0 < total < 1_000_000


@pytest.mark.parametrize("quality", range(1, 101))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_package_s_context_networks_are_exact(quality: int, channels: int) -> None:
    known = prior.load(prior.DEFAULT_PRIORS["grid"])
    depth = 2 * len(known.architecture.shapes)
    tensors = [x.tensor for x in known.expect(channels, quality)[depth:]]
    layers = tuple(Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True))
    assert is_exact(layers)
