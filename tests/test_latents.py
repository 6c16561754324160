"""The latents section: round trips, the wavefront, and whatever can be wrong with its bytes.

It is decoded a second time here, in Python's integers and fractions, cell by cell and as
`docs/FORMAT.md` has it: what the file means depends on no library's floating-point arithmetic.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import constriction
import numpy as np
import numpy.typing as npt
import pytest
from conftest import quantise
from second_decoder import RangeDecoder, residual_table
from threadpoolctl import threadpool_limits

from siren_codec.errors import FormatError, LimitError, UsageError
from siren_codec.field import Architecture, Layer, QuantisedTensor
from siren_codec.stream import by_c, by_numpy, context, latents
from siren_codec.stream import words as coder
from siren_codec.stream.context import ContextNetwork
from siren_codec.stream.cursor import Cursor, pack_varint
from siren_codec.stream.latents import NEIGHBOURS
from siren_codec.stream.tables import residual_frequencies
from siren_codec.stream.wavefront import Wavefront

Integers = npt.NDArray[np.int16 | np.int32]
Float64 = npt.NDArray[np.float64]


@pytest.fixture(params=["numpy", "C"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Do everything in both ways; where C reads a file, numpy may not read it once more."""
    name: str = request.param
    if name == "numpy":
        monkeypatch.setattr(by_c, "_latents", None)
    elif not by_c.available():
        pytest.skip("the C was not built")
    else:
        monkeypatch.setattr(by_numpy, "decode", partial(refused_again, by_numpy.decode))
    return name


def refused_again(decode: Callable[..., None], *arguments: Any) -> None:
    """Read by numpy what the C has refused."""
    decode(*arguments)
    pytest.fail("the C refused what numpy reads")


@dataclass(frozen=True)
class Case:
    """What layers are packed from, and the size of the picture."""

    levels: tuple[Integers, ...]
    context: tuple[Layer, ...]
    architecture: Architecture
    width: int
    height: int

    def layers(self, others: int = 0) -> list[bytes]:
        return latents.pack(self.levels, self.context, self.architecture, others)

    def pack(self) -> bytes:
        """Return the only layer."""
        (layer,) = self.layers()
        return layer

    def unpack(self, *layers: bytes) -> tuple[npt.NDArray[np.int16], ...]:
        return latents.unpack(layers, self.context, self.architecture, self.width, self.height)

    def cost(self) -> Float64:
        return latents.cost(self.levels, self.context, self.architecture)


def make(
    seed: int = 0,
    *,
    width: int = 21,
    height: int = 13,
    features: tuple[int, ...] = (1, 2, 0, 1),
    neighbours: int = 12,
    context_features: int = 6,
    spread: float = 1.5,
) -> Case:
    """Return random grids and a random context network, whose predictions vary."""
    rng = np.random.default_rng(seed)
    architecture = Architecture(3, 2, 6, 30.0, 30.0, features, neighbours, context_features)
    context = []
    for index, (n_out, n_in) in enumerate(architecture.context_shapes):
        biases = (architecture.grids, n_out) if index == 0 else (n_out,)
        weight = rng.normal(0, 0.7 / math.sqrt(n_in), (n_out, n_in))
        context.append(Layer(quantise(weight, -10), quantise(rng.normal(0, 0.5, biases), -12)))
    levels = tuple(
        np.rint(rng.laplace(0, spread, (count, -(-height >> level), -(-width >> level))))
        .clip(-32767, 32767)
        .astype(np.int32)
        for level, count in enumerate(features)
    )
    return Case(levels, tuple(context), architecture, width, height)


def assert_same(actual: Sequence[Integers], expected: Sequence[Integers]) -> None:
    assert len(actual) == len(expected)
    for found, wanted in zip(actual, expected, strict=True):
        assert found.dtype == np.int16
        np.testing.assert_array_equal(found, wanted)


def layer(weight: npt.ArrayLike, bias: npt.ArrayLike, exponents: tuple[int, int]) -> Layer:
    return Layer(
        QuantisedTensor(np.array(weight, np.int32), exponents[0]),
        QuantisedTensor(np.array(bias, np.int32), exponents[1]),
    )


def with_levels(case: Case, *levels: npt.ArrayLike) -> Case:
    arrays = tuple(np.asarray(level, np.int32) for level in levels)
    return Case(arrays, case.context, case.architecture, case.width, case.height)


# Round trips


@pytest.mark.parametrize("neighbours", range(1, 25))
def test_round_trip_of_any_number_of_neighbours(neighbours: int) -> None:
    case = make(neighbours, neighbours=neighbours)
    assert_same(case.unpack(*case.layers()), case.levels)


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (1, 2), (1, 40), (40, 1), (2, 2), (5, 3), (3, 50), (64, 33)]
)
@pytest.mark.parametrize("features", [(1,), (0, 0, 2), (3, 0, 1, 2), (1,) * 10, (16, 16, 16, 16)])
def test_round_trip_of_sizes(width: int, height: int, features: tuple[int, ...]) -> None:
    case = make(1, width=width, height=height, features=features, neighbours=24)
    assert_same(case.unpack(*case.layers()), case.levels)


@pytest.mark.parametrize("spread", [0.02, 0.3, 4, 40, 900, 30_000])
def test_round_trip_of_magnitudes(spread: float) -> None:
    case = make(2, spread=spread)
    assert_same(case.unpack(*case.layers()), case.levels)


@pytest.mark.parametrize("seed", range(20))
def test_round_trip_of_random_cases(seed: int) -> None:
    rng = np.random.default_rng(seed)
    width, height, neighbours, context_features = (int(n) for n in rng.integers(1, 25, 4))
    features = tuple(rng.integers(0, 4, rng.integers(1, 6)).tolist())
    case = make(
        seed,
        width=width,
        height=height,
        features=(*features, 1),
        neighbours=neighbours,
        context_features=context_features,
        spread=10.0 ** rng.uniform(-1.5, 3),
    )
    assert_same(case.unpack(*case.layers()), case.levels)


def test_round_trip_of_the_extremes() -> None:
    case = make(3, width=7, height=2, features=(2,))
    values = np.array([[32767, -32767, 0, 127, -127, 128, -128]] * 2)
    case = with_levels(case, np.stack([values, -values]))
    assert_same(case.unpack(*case.layers()), case.levels)


def test_round_trip_of_predictions_beyond_all_bounds() -> None:
    # A mean far beyond 32767 / 16, and scales beyond both ends.
    case = make(4, width=6, height=6, features=(2,), neighbours=2, context_features=2)
    ones = [
        Layer(
            QuantisedTensor(np.ones(matrix, np.int32), 7),
            QuantisedTensor(np.ones(bias, np.int32), 7),
        )
        for matrix, bias in zip(case.architecture.context_shapes, [(2, 2), (2,), (2,)], strict=True)
    ]
    for sign in (1, -1):
        last = QuantisedTensor(np.full((2, 8), sign, np.int32), 7)
        case = Case(case.levels, (*ones[:2], Layer(last, ones[2].bias)), case.architecture, 6, 6)
        assert_same(case.unpack(*case.layers()), case.levels)


def test_grids_of_zeros_take_a_bit_each() -> None:
    case = make(5, features=(1, 0, 8))
    zeros = [np.zeros_like(level) for level in case.levels]
    assert with_levels(case, *zeros).pack() == b"\0\0\0"
    assert_same(case.unpack(b"\0\0\0"), zeros)
    zeros[2][6, 0, 0] = 1
    one = with_levels(case, *zeros)
    # The coarsest level is the first.
    assert one.pack()[:4] == b"\0\x40\x00\x00"
    assert_same(one.unpack(one.pack()), zeros)
    assert len(one.pack()) < 4 + 4 * 8


def test_reading_changes_nothing_that_was_given() -> None:
    case = make(6)
    before = [level.copy() for level in case.levels]
    assert case.layers() == case.layers()
    case.cost()
    for level, other in zip(case.levels, before, strict=True):
        np.testing.assert_array_equal(level, other)


# Golden bytes


def test_golden_layer() -> None:
    case = make(0, width=9, height=5, features=(1, 1), neighbours=3, context_features=2)
    first = np.arange(45).reshape(1, 5, 9) % 5 - 2
    first[0, 1, 2] = 300
    context = (
        layer(np.arange(14).reshape(2, 7) * 5, [[0, 7], [14, 21]], (-8, -6)),
        layer([[209, 9], [9, 209]], [0, 1], (-8, -6)),
        layer([[-2, -1, 64, 3, 0, 9, 5, 30, 7], [0, 1, 5, 4, 3, 2, 1, 0, 9]], [3, -50], (-8, -6)),
    )
    levels = (first.astype(np.int32), -np.ones((1, 3, 5), np.int32))
    case = Case(levels, context, case.architecture, 9, 5)
    assert case.pack().hex() == GOLDEN_LAYER
    assert_same(case.unpack(bytes.fromhex(GOLDEN_LAYER)), levels)


GOLDEN_LAYER = "000303b90420e7d747b0e483ca3f2bb9c259a3e4f89f838f55d36ea4eecd89b05f37"


# The section, a second time


def real(tensor: QuantisedTensor) -> list[list[Fraction]]:
    rows = np.atleast_2d(tensor.values).tolist()
    return [[Fraction(value) * Fraction(2) ** tensor.exponent for value in row] for row in rows]


def predict(case: Case, context: list[int], grid: int) -> tuple[int, int, int]:
    """Return the mean's integer part, its fraction in sixteenths, and the scale index."""
    inputs = [Fraction(max(-127, min(127, value))) for value in context]
    h = inputs
    for index, layer in enumerate(case.context):
        biases = real(layer.bias)[grid if index == 0 else 0]
        if index == 2:
            h = h + inputs
        h = [
            sum((w * value for w, value in zip(row, h, strict=True)), bias)
            for row, bias in zip(real(layer.weight), biases, strict=True)
        ]
        if index < 2:
            h = [max(Fraction(0), value) for value in h]
    mean = max(-32767, min(32767, round(16 * h[0])))
    whole = (mean + 8) // 16
    return whole, mean - 16 * whole, max(0, min(36, round(4 * h[1]) + 20))


def reference_unpack(layers: Sequence[bytes], case: Case) -> list[list[list[int]]]:
    """Return the grids, decoded cell by cell and layer by layer."""
    features = case.architecture.features
    shapes = [
        (-(-case.height // 2**level), -(-case.width // 2**level))
        for level, count in enumerate(features)
        for _ in range(count)
    ]
    grids = [[[0] * columns for _ in range(rows)] for rows, columns in shapes]
    above = len(features)
    for data in layers:
        numbers = [
            sum(features[:level]) + number
            for level in reversed(range(data[0], above))
            for number in range(features[level])
        ]
        above = data[0]
        cursor = Cursor(data, 1)
        flags = int.from_bytes(cursor.take(-(-len(numbers) // 8)), "little")
        coded = [number for k, number in enumerate(numbers) if flags >> k & 1]
        if coded:
            reference_layer(cursor, case, grids, coded)
    return grids


def reference_layer(
    cursor: Cursor, case: Case, grids: list[list[list[int]]], coded: Sequence[int]
) -> None:
    escapes = Cursor(cursor.take(cursor.varint()))
    decoder = RangeDecoder(cursor.take(cursor.left))
    shapes = [(len(grid), len(grid[0])) for grid in grids]
    for grid, row, column in in_order(shapes, coded):
        values = grids[grid]
        context = []
        for down, right in NEIGHBOURS[: case.architecture.neighbours]:
            i, j = row + down, column + right
            inside = 0 <= i < len(values) and 0 <= j < len(values[0])
            context.append(values[i][j] if inside else 0)
        for source in case.architecture.context_sources[grid]:
            other, octaves = source or (grid, 0)
            context.append(grids[other][row >> octaves][column >> octaves] if source else 0)
        mean, f, scale = predict(case, context, grid)
        symbol = decoder.symbol(residual_table(f, scale))
        zigzag = symbol if symbol < 31 else 31 + escapes.varint()
        values[row][column] = mean + (zigzag >> 1 ^ -(zigzag & 1))
    assert escapes.left == 0


def in_order(
    shapes: Sequence[tuple[int, int]], coded: Sequence[int]
) -> Iterator[tuple[int, int, int]]:
    """Yield (grid, row, column) step by step."""
    for step in range(max(o + sum(shapes[grid]) * 3 for o, grid in enumerate(coded))):
        for o, grid in enumerate(coded):
            rows, columns = shapes[grid]
            for row in range(rows):
                if 0 <= step - o - 3 * row < columns:
                    yield grid, row, step - o - 3 * row


@pytest.mark.parametrize(
    "case",
    [
        make(7, width=9, height=7, features=(1, 2), neighbours=7, context_features=3),
        make(8, width=11, height=4, features=(0, 1, 0, 1), neighbours=24, spread=60),
        make(9, width=3, height=9, features=(2,), neighbours=14, spread=3000),
    ],
    ids=["small", "escapes", "large"],
)
@pytest.mark.parametrize("others", [0, 1 << 20])
def test_the_reference_decoder_reads_what_is_written(case: Case, others: int) -> None:
    expected = [grid.tolist() for level in case.levels for grid in level]
    assert reference_unpack(case.layers(others), case) == expected


def test_neighbours_are_the_format_s() -> None:
    assert len(set(NEIGHBOURS)) == 24
    assert NEIGHBOURS[:4] == ((0, -1), (-1, 0), (-1, -1), (-1, 1))
    assert NEIGHBOURS[-3:] == ((0, -4), (-1, -4), (-4, 0))
    # All belong to an earlier step of the wavefront, and to the margin at most.
    assert all(3 * row + column < 0 for row, column in NEIGHBOURS)
    assert all(-4 <= row <= 0 and -4 <= column <= 3 for row, column in NEIGHBOURS)


def test_blocks_have_every_cell_once_and_in_order() -> None:
    case = make(10, width=300, height=170, features=(1, 0, 2), spread=3)
    shapes = [(170, 300), (43, 75), (43, 75)]
    levels = latents.shapes(case.architecture, case.width, case.height)
    wavefront = Wavefront(case.architecture, levels, [True, False, True])
    assert wavefront.coded.tolist() == [2, 0]
    found: list[tuple[int, int, int]] = []
    starts = [0, 170 * 300, 170 * 300 + 43 * 75]
    for block in wavefront.blocks([1, 1]):
        assert block.bounds[0][0] == 0
        assert block.bounds[-1][-1] == len(block.cells)
        for first, middle, last in block.bounds:
            assert (block.grids[first:middle] == 2).all()
            assert (block.grids[middle:last] == 0).all()
        for grid, place in zip(block.grids.tolist(), block.places.tolist(), strict=True):
            found.append((grid, *divmod(place - starts[grid], shapes[grid][1])))
    assert found == [*in_order(shapes, [2, 0])]
    assert_same(case.unpack(*case.layers()), case.levels)


def test_the_plane_is_hardly_larger_than_the_grids() -> None:
    case = make(26, width=768, height=512, features=(1, 1, 3, 3, 3, 3, 3), neighbours=24)
    levels = latents.shapes(case.architecture, case.width, case.height)
    wavefront = Wavefront(case.architecture, levels, [True] * 17)
    assert wavefront.values.size == 589_728
    assert wavefront.seen.size < 1.3 * wavefront.values.size


def test_no_cell_depends_on_its_own_step_or_a_later_one() -> None:
    """What a step has not yet decoded does not change what it sees."""
    case = make(20, width=37, height=29, features=(2, 3, 1, 0, 2), neighbours=24)
    levels = latents.shapes(case.architecture, case.width, case.height)
    whole = Wavefront(case.architecture, levels, [True] * 8)
    whole.fill(case.levels)
    growing = Wavefront(case.architecture, levels, [True] * 8)
    for block in whole.blocks([8]):
        for start, stop in block.bounds:
            cells, sources = block.cells[start:stop], block.sources[:, start:stop]
            seen = growing.contexts(cells, sources)
            np.testing.assert_array_equal(seen, whole.contexts(cells, sources))
            growing.seen[cells] = whole.seen[cells]


# Layers


def split(layers: Sequence[bytes], case: Case) -> list[list[int]]:
    return [[*levels] for levels in latents.layer_levels(layers, case.architecture.features)]


@pytest.mark.parametrize(
    ("features", "levels"),
    [
        ((1, 1, 1, 1, 1), [[3, 4], [2], [1], [0]]),
        ((1, 1, 1, 1), [[3], [2], [1], [0]]),
        ((1, 1, 1), [[2], [1], [0]]),
        ((1, 0, 1, 0, 1), [[3, 4], [2], [0, 1]]),
        ((0, 0, 2, 1), [[3], [0, 1, 2]]),
        ((1, 1, 0, 0), [[1, 2, 3], [0]]),
        ((2,), [[0]]),
    ],
)
def test_layers_of_a_large_file(features: tuple[int, ...], levels: list[list[int]]) -> None:
    case = make(21, features=features)
    layers = case.layers(1 << 20)
    assert split(layers, case) == levels
    assert_same(case.unpack(*layers), case.levels)


def test_the_first_layers_are_the_coarse_levels() -> None:
    case = make(22, features=(1, 2, 1, 1, 2), spread=4)
    layers = case.layers(1 << 20)
    for count in range(1, 5):
        found = case.unpack(*layers[:count])
        first = latents.layer_levels(layers[:count], case.architecture.features)[-1].start
        assert_same(found[first:], case.levels[first:])
        assert not any(level.any() for level in found[:first])
        assert [level.shape for level in found] == [level.shape for level in case.levels]


def test_layers_of_grids_that_are_not_coded() -> None:
    case = make(23, features=(1, 1, 1, 1))
    levels = [level.copy() for level in case.levels]
    for level in (0, 2, 3):
        levels[level][:] = 0
    case = with_levels(case, *levels)
    layers = case.layers(1 << 20)
    assert [len(layer) for layer in layers if len(layer) == 2] == [2, 2, 2]
    assert_same(case.unpack(*layers), levels)


@pytest.mark.parametrize("size", [20, 60, 90, 130])
def test_layers_cost_little(size: int) -> None:
    case = make(24, width=size, height=size, features=(1, 1, 1, 1, 1), spread=3)
    layers = case.layers()
    bits = case.cost().sum()
    overhead = sum(map(len, layers)) + 3 * len(layers) - 3 - bits / 8
    assert overhead <= 16 + 0.005 * bits / 8
    assert (len(layers) > 1) == (size > 50)


def test_a_level_that_no_layer_can_begin_with() -> None:
    case = make(25, features=(1, 0, 1))
    first, second = case.layers(1 << 20)
    assert (first[0], second[0]) == (2, 0)
    for layers in ([b"\3" + first[1:]], [first, first], [first, b"\1" + second[1:]]):
        with pytest.raises(FormatError, match="layer: expected grids on the levels"):
            case.unpack(*layers)
    with pytest.raises(FormatError, match="expected 1 more bytes"):
        case.unpack(b"")


# Arithmetic


def torch_product(left: Float64, right: Float64) -> Float64:
    torch = pytest.importorskip("torch")
    product: Float64 = (torch.tensor(left) @ torch.tensor(right)).numpy()
    return product


def product_in_another_order(left: Float64, right: Float64) -> Float64:
    total = np.zeros((len(left), right.shape[1]))
    for k in reversed(range(len(right))):
        total += left[:, k, None] * right[k]
    return total


@pytest.mark.parametrize("product", [torch_product, product_in_another_order])
def test_any_arithmetic_reads_the_same(
    monkeypatch: pytest.MonkeyPatch, product: Callable[[Float64, Float64], Float64]
) -> None:
    case = make(11, width=50, height=40, neighbours=24, context_features=16, spread=3)
    layers = case.layers()
    monkeypatch.setattr(context, "_product", product)
    assert_same(case.unpack(*layers), case.levels)
    assert case.layers() == layers


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads_reads_the_same(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    case = make(12, width=90, height=70, neighbours=24, context_features=32, spread=3)
    layers = case.layers()
    monkeypatch.setattr(by_numpy, "one_blas_thread", nullcontext)
    with threadpool_limits(threads):
        assert case.layers() == layers
        assert_same(case.unpack(*layers), case.levels)


@pytest.mark.parametrize("index", [0, 1, 137, 325, 328, 333, 488, 591])
def test_constriction_codes_with_exactly_our_frequencies(index: int) -> None:
    """Every symbol of a table, and the first and last quantile of each."""
    probabilities = coder.probabilities()[index : index + 1]
    table = residual_frequencies()[index].tolist()
    cumulative = [0, *np.cumsum(table).tolist()]
    assert cumulative[-1] == 1 << 24
    scale = ((1 << 64) - 1) >> 24
    for symbol, (left, right) in enumerate(pairwise(cumulative)):
        for quantile in (left, right - 1):
            point = scale * quantile
            words = np.array([point >> 32, point & 0xFFFFFFFF], np.uint32)
            decoder = constriction.stream.queue.RangeDecoder(words)
            assert decoder.decode(coder.FAMILY, probabilities).tolist() == [symbol]
    symbols = np.random.default_rng(index).permutation(np.arange(32).repeat(8)).astype(np.int32)
    encoder = constriction.stream.queue.RangeEncoder()
    coder.encode(encoder, coder.codes(np.full(256, index), symbols))
    reference = RangeDecoder(encoder.get_compressed().astype("<u4").tobytes())
    assert [reference.symbol(cumulative) for _ in symbols] == symbols.tolist()


def test_exactness_at_its_edge() -> None:
    first = layer([[2, -1], [0, 1]], [[0, 0], [-(2**15), -(2**15)]], (0, 0))
    assert latents.is_exact([])
    assert latents.is_exact([first])
    most = 127 * 3 + 2**15
    for exponent, exact in ((-37, True), (-38, False)):
        # A bias of 0 too has a step, and the sums are multiples of it.
        second = layer([[1, 0]], [0], (0, exponent))
        assert latents.is_exact([first, second]) is exact is (most << -exponent < 1 << 53)
    # 2**53 quanta are too many.
    finer = layer([[1]], [0], (0, -38))
    assert latents.is_exact([layer([[1]], [[2**15 - 128]], (0, 0)), finer])
    assert not latents.is_exact([layer([[1]], [[2**15 - 127]], (0, 0)), finer])
    # Nothing is lost on the way from layer to layer.
    growing = [layer([[1 << 14, 0]], [0], (-24, 0)) for _ in range(3)]
    assert latents.is_exact([first, *growing[:2]])
    assert not latents.is_exact([first, *growing])


def test_exactness_of_the_bypass() -> None:
    hidden = [layer([[1, 1]], [[0]], (0, 0)), layer([[1]], [0], (0, 0))]
    most = ((1 << 31) - 1 - 254) // 127
    for weight, exact in ((most, True), (-most, True), (most + 1, False), (-most - 1, False)):
        # The bias's step makes 2**22 quanta of 1.
        assert latents.is_exact([*hidden, layer([[1, weight, 0]], [0], (0, -22))]) is exact


def inexact(case: Case) -> Case:
    context = tuple(
        Layer(QuantisedTensor(each.weight.values, -24), QuantisedTensor(each.bias.values, -24))
        for each in case.context
    )
    return Case(case.levels, context, case.architecture, case.width, case.height)


def test_a_context_network_that_is_not_exact() -> None:
    case = inexact(make(13))
    assert not latents.is_exact(case.context)
    for refused in (case.pack, case.cost):
        with pytest.raises(UsageError, match="expected weights that float64 adds exactly"):
            refused()
    with pytest.raises(FormatError, match="expected weights that float64 adds exactly"):
        case.unpack(make(13).pack())


# Cost


@pytest.mark.parametrize("spread", [0.2, 1.5, 30, 900])
def test_cost_is_what_the_section_takes(spread: float) -> None:
    case = make(14, width=60, height=50, spread=spread)
    bits = case.cost()
    assert bits.shape == (4,)
    assert bits.sum() == pytest.approx(8 * sum(map(len, case.layers())), rel=0.006, abs=64 + 32)


def test_cost_of_a_grid_is_its_own() -> None:
    case = make(15, width=40, height=30, features=(2, 1), spread=20)
    bits = case.cost()
    levels = [level.copy() for level in case.levels]
    levels[0][1] = 0
    fewer = with_levels(case, *levels).cost()
    np.testing.assert_allclose(fewer, [bits[0], 0, bits[2]])
    assert with_levels(case, *(0 * level for level in levels)).cost().tolist() == [0, 0, 0]


# What can be wrong with the bytes

SMALL = make(16, width=6, height=5, features=(1, 1, 1), neighbours=6, spread=1)
SMALL.levels[0][0, 4, 5] = 3000  # the last of all
SECTION = SMALL.pack()


def test_the_section_is_sound() -> None:
    assert_same(SMALL.unpack(SECTION), SMALL.levels)
    assert SECTION[:2] == b"\0\7"
    assert SECTION[2] == 2


def test_every_prefix_is_refused() -> None:
    for length in range(len(SECTION)):
        with pytest.raises(FormatError):
            SMALL.unpack(SECTION[:length])


@pytest.mark.parametrize("case", [SMALL, make(17, width=12, height=9, spread=40)])
def test_mutations_give_grids_or_a_format_error(case: Case) -> None:
    rng = np.random.default_rng(18)
    data = case.pack()
    outcomes = set()
    for _ in range(400):
        changed = bytearray(data)
        at = int(rng.integers(0, len(data)))
        match int(rng.integers(0, 4)):
            case 0:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 1:
                changed[at:at] = rng.bytes(int(rng.integers(1, 5)))
            case 2:
                del changed[at : at + int(rng.integers(1, 5))]
            case _:
                changed[at:] = rng.bytes(len(data) - at)
        try:
            levels = case.unpack(bytes(changed))
        except FormatError:
            outcomes.add("refused")
        else:
            outcomes.add("read")
            assert max(np.abs(level).max() for level in levels if level.size) <= 32767
            # One form only.
            assert with_levels(case, *levels).pack() == changed
    assert outcomes == {"refused", "read"}


def test_flags_of_grids_that_there_are_not() -> None:
    for flags in (0b1111, 0b1000_0000):
        with pytest.raises(FormatError, match="expected flags of 3 grids, found more"):
            SMALL.unpack(bytes([0, flags]) + SECTION[2:])


def test_bytes_after_flags_of_zeros() -> None:
    with pytest.raises(FormatError, match="expected no byte, for no grid, found 1"):
        SMALL.unpack(b"\0\0\0")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_words_are_of_four_bytes(count: int) -> None:
    with pytest.raises(FormatError, match="expected words of 4 bytes"):
        SMALL.unpack(SECTION + bytes(count))
    with pytest.raises(FormatError, match="expected words of 4 bytes"):
        SMALL.unpack(SECTION[:-count])


@pytest.mark.parametrize("words", [1, 2, 100])
@pytest.mark.parametrize("word", [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x01\x02\x03\x04"])
def test_words_after_the_range_coder_s_last(words: int, word: bytes) -> None:
    with pytest.raises(FormatError):
        SMALL.unpack(SECTION + words * word)


def test_a_coded_grid_of_zeros() -> None:
    case = with_levels(SMALL, *(0 * level for level in SMALL.levels))
    shapes = [level.shape for level in case.levels]
    wavefront = Wavefront(case.architecture, shapes, [False, True, False])
    network = ContextNetwork(case.context, FormatError)
    encoder = constriction.stream.queue.RangeEncoder()
    for _, rows, residuals in latents._predictions(wavefront, network):
        coder.encode(encoder, coder.codes(rows, coder.symbols_of(residuals)))
    words = encoder.get_compressed().astype("<u4").tobytes()
    with pytest.raises(FormatError, match="expected grid 1 to hold anything but 0"):
        case.unpack(b"\0\2\0" + words)


def section(escapes: bytes) -> bytes:
    """Return SECTION with other escapes."""
    return SECTION[:2] + pack_varint(len(escapes)) + escapes + SECTION[5:]


def test_escapes() -> None:
    escape = SECTION[3:5]
    assert section(escape) == SECTION
    with pytest.raises(FormatError, match="expected no more escapes, found 1 bytes"):
        SMALL.unpack(section(escape + b"\0"))
    with pytest.raises(FormatError, match="expected 1 more bytes, found 0"):
        SMALL.unpack(section(escape[:1]))
    with pytest.raises(FormatError, match="expected 1 more bytes, found 0"):
        SMALL.unpack(section(b""))
    with pytest.raises(FormatError, match="shortest form"):
        SMALL.unpack(section(bytes([escape[0], escape[1] | 0x80, 0])))
    with pytest.raises(FormatError, match="expected magnitudes to 32767, found"):
        SMALL.unpack(section(pack_varint((1 << 32) - 1)))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_magnitude_beyond_the_largest(sign: int) -> None:
    case = with_levels(make(19, width=1, height=1, features=(1,)), [[[sign * 32767]]])
    data = case.pack()
    zigzag = Cursor(data, 3).varint()
    assert_same(case.unpack(data), case.levels)
    beyond = data[:3] + pack_varint(zigzag + 2) + data[3 + len(pack_varint(zigzag)) :]
    with pytest.raises(FormatError, match="expected magnitudes to 32767, found 32768"):
        case.unpack(beyond)


@pytest.mark.parametrize("value", [32768, -32768, 1 << 30])
def test_a_magnitude_beyond_the_largest_is_not_written(value: int) -> None:
    case = with_levels(make(19, width=1, height=1, features=(1,)), [[[value]]])
    for refused in (case.pack, case.cost):
        with pytest.raises(LimitError, match="expected magnitudes to 32767"):
            refused()


# constriction's panics


@pytest.mark.parametrize("way", ["numpy"], indirect=True)
def test_what_constriction_raises_is_a_format_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_numpy, "probabilities", lambda: np.full((592, 32), np.nan, np.float32))
    with pytest.raises(FormatError, match="range coder: ") as caught:
        SMALL.unpack(SECTION)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("way", ["numpy"], indirect=True)
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_is_not_swallowed(
    monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException]
) -> None:
    def interrupt(left: Float64, right: Float64) -> None:
        raise interruption

    monkeypatch.setattr(context, "_product", interrupt)
    with pytest.raises(interruption):
        SMALL.unpack(SECTION)
