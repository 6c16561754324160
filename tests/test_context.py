"""The rate of the grids while they are fitted."""

import math
from collections.abc import Iterator, Sequence

import pytest
import torch
from references import reference_bits
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.fit import context, start
from siren_codec.fit.engine import engine
from siren_codec.fit.lattice import bands_of
from siren_codec.stream.latents import MARGIN, NEIGHBOURS

ARCHITECTURE = Architecture(3, 1, 4, features=(1, 0, 2), neighbours=12, context_features=6)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Products so small are slower on several threads, much so beside other work."""
    with engine("cpu", compiled=False):
        yield


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


def _grids(spread: float = 2.0) -> list[Tensor]:
    """Return all grids of a picture of 14 x 9 pixels: one on level 0, two on level 2."""
    return [_grid(9, 14, spread), _grid(3, 4, spread), _grid(3, 4, spread + 1)]


def _bits(
    grids: Sequence[Tensor], matrices: Sequence[Tensor], index: int, symbols: int = 10**9
) -> Tensor:
    """Return what the fit finds, band by band."""
    grid = grids[index]
    padded = context.pad(grid)
    parts = [
        context.bits(
            matrices,
            index,
            _inputs(grids, padded, index, start, stop),
            grid[start:stop].reshape(-1),
        )
        for start, stop in bands_of(0, grid.shape[0], grid.shape[1], symbols)
    ]
    return torch.stack(parts).sum()


def _inputs(grids: Sequence[Tensor], padded: Tensor, index: int, start: int, stop: int) -> Tensor:
    """Return what the rows of a grid are predicted from."""
    sources = ARCHITECTURE.context_sources[index]
    columns = grids[index].shape[1]
    near = context.contexts(padded, start, stop, ARCHITECTURE.neighbours)
    return torch.cat([near, context.seen_elsewhere(grids, sources, start, stop, columns)])


# Contexts


def test_other_grids_are_seen_at_the_same_place() -> None:
    """The coarser one of the same number, or the last there is, and the one before; else 0."""
    fine, first, second = _grids()
    levels = [fine, first, second]
    found = context.seen_elsewhere(levels, ARCHITECTURE.context_sources[0], 2, 5, 14)
    assert [plane.any().item() for plane in found] == [False, True, False, False]
    places = [(row >> 2, column >> 2) for row in range(2, 5) for column in range(14)]
    assert found[1].tolist() == [first[place].item() for place in places]
    found = context.seen_elsewhere(levels, ARCHITECTURE.context_sources[2], 0, 3, 4)
    assert [plane.any().item() for plane in found] == [False, False, False, True]
    assert torch.equal(found[3].view(3, 4), first)


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
    padded = _grid(rows + MARGIN, columns + 2 * MARGIN).double()
    for first, stop in ((0, rows), (rows // 2, rows)):
        found = context.contexts(padded, first, stop, neighbours)
        gradient = torch.randn(found.shape, generator=torch.Generator(), dtype=torch.float64)
        back = context.spread(gradient, columns)
        seen = padded[first : stop + MARGIN]
        assert back.shape == seen.shape
        assert float((found * gradient).sum()) == pytest.approx(float((seen * back).sum()))


# Bits


@pytest.mark.parametrize("spread", [0.05, 1, 8, 200])
@pytest.mark.parametrize("index", range(3))
def test_bits_are_those_of_the_formula(index: int, spread: float) -> None:
    grids, matrices = _grids(spread), _network(index)
    expected = float(reference_bits(grids, index, matrices, ARCHITECTURE))
    for symbols in (1, 30, 10**6):
        assert float(_bits(grids, matrices, index, symbols)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("index", range(3))
def test_gradients_of_bits_agree_with_finite_differences(index: int) -> None:
    # Small enough that no mass is below its least, where the bits are held.
    grids = [grid.double() for grid in _grids(0.5)]
    grids[index] = grid = grids[index][:3, :4]
    matrices = [matrix.double().requires_grad_() for matrix in _network(index)]
    # By the symbols themselves, with their neighbours as they are, and by the weights.
    inputs = _inputs(grids, context.pad(grid), index, 0, 3)
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
