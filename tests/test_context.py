"""The rate of the grids while they are fitted, and what rounding looks like until it is done."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.field.evaluate import Float64
from siren_codec.fit import context, latents, start
from siren_codec.fit.latents import Latents, Noise, Softener
from siren_codec.fit.loss import worker
from siren_codec.stream.latents import NEIGHBOURS

__all__ = ["reference_bits"]

ARCHITECTURE = Architecture(3, 1, 4, features=(1, 0, 2), neighbours=12, context_features=6)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Products so small are slower on several threads, much so beside other work."""
    with worker("cpu"):
        yield


def reference_bits(grid: Tensor, matrices: Sequence[Tensor], index: int, neighbours: int) -> Tensor:
    """Return the bits of a whole (rows, columns) grid, by the formulas of `docs/FORMAT.md`.

    In float64, and for autograd: cumulative distributions, without the fit's shortcuts.
    """
    rows, columns = grid.shape
    padded = torch.nn.functional.pad(grid.double(), (8, 8, 8, 8))
    seen = torch.stack(
        [
            padded[8 + row : 8 + row + rows, 8 + column : 8 + column + columns]
            for row, column in NEIGHBOURS[:neighbours]
        ],
        dim=-1,
    )
    first, second, last = (matrix.double() for matrix in matrices)
    hidden = torch.relu(seen @ first[:, :neighbours].T + first[:, neighbours + index])
    hidden = torch.relu(hidden @ second[:, :-1].T + second[:, -1])
    mean, log2_scale = (hidden @ last[:, :-1].T + last[:, -1]).unbind(-1)
    scale = 2 ** log2_scale.clamp(-5, 4)
    below, above = (_cumulative((grid + half - mean) / scale) for half in (-0.5, 0.5))
    return -torch.log2((above - below).clamp_min(2.0**-24)).sum()


def _cumulative(z: Tensor) -> Tensor:
    """Return the cumulative distribution of a Laplace of mean 0 and scale 1."""
    tail = torch.exp(-z.abs()) / 2
    return torch.where(z < 0, tail, 1 - tail)


def _network(seed: int = 0) -> list[Tensor]:
    """Return the (random) matrices of a context network, with biases."""
    model = start.siren(ARCHITECTURE, seed=seed, device="cpu")
    generator = torch.Generator().manual_seed(seed)
    return [
        matrix.detach() + 0.3 * torch.randn(matrix.shape, generator=generator)
        for matrix in model.matrices[model.depth :]
    ]


def _grid(rows: int, columns: int, spread: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(rows + 100 * columns)
    return torch.randn(rows, columns, generator=generator) * spread


def _bits(grid: Tensor, matrices: Sequence[Tensor], index: int, symbols: int = 10**9) -> Tensor:
    """Return what the fit finds, band by band."""
    padded = context.pad(grid)
    parts = [
        context.bits(
            matrices,
            index,
            context.contexts(padded, start, stop, ARCHITECTURE.neighbours),
            grid[start:stop].reshape(-1),
        )
        for start, stop in context.bands(grid.shape[0], grid.shape[1], symbols)
    ]
    return torch.stack(parts).sum()


# Contexts


@pytest.mark.parametrize("neighbours", [1, 12, len(NEIGHBOURS)])
def test_contexts_are_the_neighbours(neighbours: int) -> None:
    grid = _grid(7, 5)
    found = context.contexts(context.pad(grid), 2, 6, neighbours).view(neighbours, 4, 5)
    for k, (down, right) in enumerate(NEIGHBOURS[:neighbours]):
        for row in range(2, 6):
            for column in range(5):
                y, x = row + down, column + right
                inside = 0 <= y < 7 and 0 <= x < 5
                assert found[k, row - 2, column] == (grid[y, x] if inside else 0)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 9), (9, 1), (8, 6)])
@pytest.mark.parametrize("neighbours", [1, 12, len(NEIGHBOURS)])
def test_spread_is_the_adjoint_of_contexts(rows: int, columns: int, neighbours: int) -> None:
    """<contexts(x), g> = <x, spread(g)>, for x in the padded rows that a band sees."""
    padded = _grid(rows + context.MARGIN, columns + 2 * context.MARGIN).double()
    for first, stop in ((0, rows), (rows // 2, rows)):
        found = context.contexts(padded, first, stop, neighbours)
        gradient = torch.randn(found.shape, generator=torch.Generator(), dtype=torch.float64)
        back = context.spread(gradient, columns)
        seen = padded[first : stop + context.MARGIN]
        assert back.shape == seen.shape
        assert float((found * gradient).sum()) == pytest.approx(float((seen * back).sum()))


@pytest.mark.parametrize("symbols", [1, 7, 20, 10**6])
def test_bands_cover_every_row_once(symbols: int) -> None:
    found = list(context.bands(11, 5, symbols))
    assert [row for start, stop in found for row in range(start, stop)] == list(range(11))
    assert all(stop - start == max(1, symbols // 5) for start, stop in found[:-1])


# Bits


@pytest.mark.parametrize("spread", [0.05, 1, 8, 200])
@pytest.mark.parametrize("index", range(3))
def test_bits_are_those_of_the_formula(index: int, spread: float) -> None:
    grid, matrices = _grid(9, 14, spread), _network(index)
    expected = float(reference_bits(grid, matrices, index, ARCHITECTURE.neighbours))
    for symbols in (1, 30, 10**6):
        assert float(_bits(grid, matrices, index, symbols)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("index", range(3))
def test_gradients_of_bits_agree_with_finite_differences(index: int) -> None:
    # Small enough that no mass is below its least, where the bits are held.
    grid = _grid(3, 4, 0.5).double()
    matrices = [matrix.double().requires_grad_() for matrix in _network(index)]
    # By the symbols themselves, with their neighbours as they are, and by the weights.
    inputs = context.contexts(context.pad(grid), 0, 3, ARCHITECTURE.neighbours)
    assert torch.autograd.gradcheck(
        lambda symbols, *weights: context.bits(weights, index, inputs, symbols),
        (grid.reshape(-1).requires_grad_(), *matrices),
    )
    # And by the neighbours.
    symbols = grid.reshape(-1)
    assert torch.autograd.gradcheck(
        lambda seen: context.bits(matrices, index, seen, symbols), (inputs.requires_grad_(),)
    )


def _laplace(symbol: float, mean: float, log2_scale: float) -> tuple[float, list[float]]:
    leaves = [
        torch.tensor([value], dtype=torch.float64, requires_grad=True)
        for value in (symbol, mean, log2_scale)
    ]
    bits = context._LaplaceBits.apply(*leaves)  # type: ignore[no-untyped-call]
    return float(bits.detach()), [float(gradient) for gradient in torch.autograd.grad(bits, leaves)]


@pytest.mark.parametrize(("symbol", "log2_scale", "sign"), [(0, -7.0, 1), (0.9, -7.0, -1)])
def test_too_small_a_scale_is_only_led_back(symbol: float, log2_scale: float, sign: int) -> None:
    """Where a smaller scale yet would cost less, it is left alone; a larger one is let come."""
    bits, (_, _, by_scale) = _laplace(symbol, 0.0, log2_scale)
    assert bits == _laplace(symbol, 0.0, -5.0)[0]
    assert by_scale == 0 if sign > 0 else by_scale < 0


@pytest.mark.parametrize(("symbol", "sign"), [(0.0, 1), (90.0, -1)])
def test_too_large_a_scale_is_only_led_back(symbol: float, sign: int) -> None:
    bits, (_, _, by_scale) = _laplace(symbol, 0.0, 6.0)
    assert bits == _laplace(symbol, 0.0, 4.0)[0]
    assert by_scale == 0 if sign < 0 else by_scale > 0


@pytest.mark.parametrize("symbol", [0.0, 0.5, -0.5, 1e4, -3e4])
@pytest.mark.parametrize("log2_scale", [-50.0, -5.0, 0.0, 4.0, 50.0])
def test_bits_and_gradients_are_always_finite(symbol: float, log2_scale: float) -> None:
    bits, gradients = _laplace(symbol, 0.0, log2_scale)
    assert 0 <= bits <= 24
    assert all(map(math.isfinite, gradients))


@pytest.mark.parametrize("symbol", [0.5, -0.5])
@pytest.mark.parametrize("log2_scale", [-5.0, 0.0, 3.0])
def test_half_a_step_from_the_mean_is_nothing_special(symbol: float, log2_scale: float) -> None:
    """Rounded symbols and means do meet there: both are dyadic rationals."""
    bits, gradients = _laplace(symbol, 0.0, log2_scale)
    near_bits, near_gradients = _laplace(symbol * (1 + 1e-9), 0.0, log2_scale)
    assert bits == pytest.approx(near_bits, rel=1e-6)
    assert gradients == pytest.approx(near_gradients, rel=1e-6, abs=1e-6)


# Soft rounding and noise


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_slope_of_soft_rounding(temperature: float) -> None:
    values = torch.linspace(-2.97, 2.98, 400, dtype=torch.float64)
    step = 1e-6
    low, high = (latents._soft_round(values + h, temperature)[0] for h in (-step, step))
    _, slope = latents._soft_round(values, temperature)
    torch.testing.assert_close(slope, (high - low) / (2 * step), rtol=1e-5, atol=1e-5)


def test_soft_rounding_keeps_integers_and_halves() -> None:
    values = torch.arange(-6, 7, dtype=torch.float64) / 2
    for temperature in (0.1, 0.3, 1.0):
        soft, _ = latents._soft_round(values, temperature)
        torch.testing.assert_close(soft, values, rtol=0, atol=1e-6)
    # Cold it is rounding, hot it is nothing.
    between = values + 0.2
    cold, hot = (latents._soft_round(between, temperature)[0] for temperature in (0.02, 50))
    torch.testing.assert_close(cold, between.round(), rtol=0, atol=1e-6)
    torch.testing.assert_close(hot, between, rtol=0, atol=1e-3)


def _pool(shape: float) -> Float64:
    noise = Noise(seed=1, device="cpu")
    noise.shape(shape)
    pool: Float64 = noise.take(0, latents._POOL).double().numpy()
    return pool


def test_noise_of_shape_1_is_uniform() -> None:
    counts, _ = np.histogram(_pool(1.0), 16, (-0.5, 0.5))
    np.testing.assert_allclose(counts / latents._POOL, 1 / 16, rtol=1e-3)


@pytest.mark.parametrize("shape", [1.2, 1.5, 2.0, 3.0])
def test_noise_is_peaked_around_0(shape: float) -> None:
    pool = _pool(shape)
    assert pool.min() > -0.5
    assert pool.max() < 0.5
    # Kumaraswamy's distribution is not quite symmetric: its mode is 0, its mean is not.
    assert abs(pool.mean()) < 0.02
    counts, edges = np.histogram(pool, 40, (-0.5, 0.5))
    assert abs(edges[counts.argmax()] + 1 / 80) < 0.06
    assert (np.diff(counts[:19]) > 0).all()
    assert (np.diff(counts[21:]) < 0).all()
    # Its density, integrated over the bins.
    b = (2**shape * (shape - 1) + 1) / shape
    expected = np.diff(1 - (1 - (edges + 0.5) ** shape) ** b)
    np.testing.assert_allclose(counts / latents._POOL, expected, atol=1e-4)
    assert pool.var() < _pool(1.0).var()


def test_noise_narrows_as_its_shape_grows() -> None:
    spreads = [float(_pool(shape).var()) for shape in (1.0, 1.2, 1.5, 2.0, 3.0, 4.0)]
    assert spreads == sorted(spreads, reverse=True)


def _softener(seed: int = 0) -> Softener:
    """Return what softens random grids, in float64."""
    grids = Latents(ARCHITECTURE, 21, 13, "cpu")
    generator = torch.Generator().manual_seed(seed)
    grids.flat = 2 * torch.randn(grids.flat.shape, generator=generator, dtype=torch.float64)
    return Softener(grids, Noise(seed=seed, device="cpu"))


def test_what_the_fit_sees_and_its_slope() -> None:
    """s(s(y) + noise), and its derivative by finite differences with the same noise."""
    softener = _softener()
    state = softener.noise.generator.get_state()

    def soft(shift: float) -> Tensor:
        softener.noise.generator.set_state(state)
        softener.latents.flat += shift
        softener(map, 0.3, 1.5, 0)
        softener.latents.flat -= shift
        return softener.soft.clone()

    step = 1e-6
    numeric = (soft(step) - soft(-step)) / (2 * step)
    values = soft(0.0)
    torch.testing.assert_close(softener.slope, numeric, rtol=1e-4, atol=1e-4)
    once, _ = latents._soft_round(softener.latents.flat, 0.3)
    # A chunk for each level: the first place drawn is the finest level's.
    softener.noise.generator.set_state(state)
    places = softener.noise.places(len(softener.latents.chunks()))
    noise = softener.noise.take(places[0], 21 * 13)
    expected, _ = latents._soft_round(once[: 21 * 13] + noise, 0.3)
    torch.testing.assert_close(values[: 21 * 13], expected)
    assert (values - softener.latents.flat).abs().max() < 1.5


def test_levels_below_the_first_stay_0() -> None:
    softener = _softener()
    softener(map, 0.3, 1.5, 2)
    finest, empty, coarse = softener.latents.levels(softener.soft)
    assert finest.abs().sum() == 0
    assert empty.numel() == 0
    assert (coarse != 0).all()
    assert softener.latents.levels(softener.slope)[0].abs().sum() == 0


def test_noise_is_new_with_every_step_and_repeats_with_its_seed() -> None:
    first, second = _softener(), _softener()
    with worker("cpu") as work:
        for softener, map_ in ((first, map), (second, work.map)):
            softener(map_, 0.3, 1.5, 0)
        before = first.soft.clone()
        assert torch.equal(before, second.soft)
        first(map, 0.3, 1.5, 0)
        assert not torch.equal(before, first.soft)


def test_levels_are_views_of_the_flat_tensor() -> None:
    grids = Latents(ARCHITECTURE, 21, 13, "cpu")
    assert [tuple(level.shape) for level in grids.levels()] == [(1, 13, 21), (0, 7, 11), (2, 4, 6)]
    grids.levels()[2][1, 3, 5] = 7
    assert grids.flat[-1] == 7
    parts = [part for _, part in grids.chunks()]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[-1].stop == len(grids.flat) == 13 * 21 + 2 * 4 * 6


def test_large_levels_come_in_chunks() -> None:
    grids = Latents(Architecture(3, 1, 4, features=(2, 1)), 400, 300, "cpu")
    covered = torch.zeros_like(grids.flat)
    for level, part in grids.chunks():
        assert part.stop - part.start <= latents._CHUNK
        assert grids.starts[level] <= part.start < part.stop <= grids.starts[level + 1]
        covered[part] += 1
    assert (covered == 1).all()
    assert [level for level, _ in grids.chunks(1)] == [1]
