"""Tiles: the samples of the grids that they feed the SIREN, and the way back of a gradient."""

from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_field
from torch import Tensor

from siren_codec.field import Field
from siren_codec.field.evaluate import Float64
from siren_codec.field.inputs import point_inputs
from siren_codec.field.spline import TAPS, cell_centres
from siren_codec.fit import lattice, model
from siren_codec.fit.lattice import Lattice

FEATURES = (1, 2, 0, 3, 1)


def _lattice(field: Field, xs: Float64, ys: Float64) -> Lattice:
    return Lattice(
        xs,
        ys,
        width=field.width,
        height=field.height,
        levels=len(field.latents),
        device="cpu",
    )


def _pixels(field: Field) -> Lattice:
    return _lattice(
        field, np.arange(field.width, dtype=np.float64), np.arange(field.height, dtype=np.float64)
    )


def _latents(field: Field, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [torch.tensor(grids, dtype=dtype) for grids in field.latents]


def _whole(points: Lattice, latents: list[Tensor], first_level: int = 0) -> Tensor:
    """Return the (inputs, rows, columns) that the tiles have together, each point once."""
    found = torch.full((2 + sum(map(len, latents)), len(points.ys), len(points.xs)), torch.nan)
    for tile in points.tiles():
        assert found[:, tile.rows, tile.columns].isnan().all()
        inputs = tile.inputs(latents, first_level)
        assert inputs.shape == (len(found), tile.points)
        found[:, tile.rows, tile.columns] = inputs.view(len(found), len(tile.y), len(tile.x))
    return found


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (21, 13), (64, 40)])
@pytest.mark.parametrize("zoom", [1, 3.5, 0.4])
@pytest.mark.parametrize("most", [(64, 256), (5, 7)])
def test_inputs_are_those_of_the_field(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], zoom: float, most: tuple[int, int]
) -> None:
    monkeypatch.setattr(lattice, "_CPU_TILE", most)
    width, height = size
    field = make_field(width=width, height=height, features=FEATURES)
    xs = cell_centres(0, width, max(1, round(width * zoom)))
    ys = cell_centres(0, height, max(1, round(height * zoom)))
    found = _whole(_lattice(field, xs, ys), _latents(field))
    x, y = (axis.ravel() for axis in np.meshgrid(xs, ys))
    expected = point_inputs(field, x, y, (0, 0))
    torch.testing.assert_close(
        found.reshape(len(expected), -1).double(), torch.from_numpy(expected), rtol=0, atol=3e-6
    )


@pytest.mark.parametrize("first_level", range(6))
def test_levels_below_the_first_count_as_0(first_level: int) -> None:
    field = make_field(width=21, height=13, features=FEATURES)
    points = _pixels(field)
    all_levels = _whole(points, _latents(field))
    found = _whole(points, _latents(field), first_level)
    finer = 2 + sum(FEATURES[:first_level])
    assert torch.equal(found[:2], all_levels[:2])
    assert found[2:finer].abs().sum() == 0
    assert torch.equal(found[finer:], all_levels[finer:])


@pytest.mark.parametrize("first_level", [0, 1, 3, 4])
def test_spread_is_the_adjoint_of_inputs(monkeypatch: pytest.MonkeyPatch, first_level: int) -> None:
    """<inputs(x), g> = <x, spread(g)>, tile by tile, less what x does not touch."""
    monkeypatch.setattr(lattice, "_CPU_TILE", (9, 8))
    field = make_field(width=21, height=13, features=FEATURES)
    latents = _latents(field)
    generator = torch.Generator().manual_seed(0)
    for tile in _pixels(field).tiles():
        inputs = tile.inputs(latents, first_level)
        gradient = torch.randn(inputs.shape, generator=generator)
        finer = 2 + sum(FEATURES[:first_level])
        left = float((inputs[finer:] * gradient[finer:]).sum())
        parts = list(tile.spread(gradient, latents, first_level))
        assert [level for level, _, _ in parts] == [
            level for level, count in enumerate(FEATURES) if level >= first_level and count
        ]
        right = sum(
            float((latents[level][:, rows, columns] * part).sum())
            for level, (rows, columns), part in parts
        )
        assert left == pytest.approx(right, abs=2e-4)


def test_spread_is_what_autograd_finds() -> None:
    field = make_field(width=21, height=13, features=FEATURES)
    latents = [level.requires_grad_() for level in _latents(field)]
    (tile,) = _pixels(field).tiles()
    # `inputs` writes into its output, so autograd is shown each level's product by itself.
    gradient = torch.randn(2 + sum(FEATURES), tile.points, generator=torch.Generator())
    planes = iter(gradient[2:].view(-1, len(tile.y), len(tile.x)))
    for level, (rows, columns), part in tile.spread(gradient, latents):
        down, across = tile.down[level], tile.across[level]
        sampled = down @ latents[level][:, rows, columns] @ across
        own = torch.stack([next(planes) for _ in sampled])
        (expected,) = torch.autograd.grad((sampled * own).sum(), latents[level])
        torch.testing.assert_close(part, expected[:, rows, columns], rtol=1e-4, atol=1e-5)


def test_a_tile_sees_all_the_cells_that_it_needs_and_few_more() -> None:
    field = make_field(width=700, height=300, features=(1, 1, 1))
    points = _pixels(field)
    assert len(points.tiles()) == 5 * 3
    assert points.points == sum(tile.points for tile in points.tiles()) == 700 * 300
    for tile in points.tiles():
        for level, (rows, columns) in enumerate(tile.seen):
            assert rows.stop - rows.start <= len(tile.y) / 2**level + TAPS
            assert columns.stop - columns.start <= len(tile.x) / 2**level + TAPS


@pytest.mark.parametrize("features", [(), (1,), (1, 0, 2), FEATURES])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (33, 20), (300, 70)])
def test_the_sampler_is_the_twin_of_numpy(features: tuple[int, ...], size: tuple[int, int]) -> None:
    field = make_field(width=size[0], height=size[1], features=features)
    sampler = model.sampler(field, "cpu")
    crop = (0, 0, (size[0] + 1) // 2, (size[1] + 2) // 3)
    requests: list[dict[str, Any]]
    requests = [{}, {"scale": 1.7}, {"size": (5, 3)}, {"crop": crop, "scale": 2}]
    for request in requests:
        by_numpy = field.render(**request).astype(int)
        by_torch = field.render(**request, sampler=sampler).astype(int)
        assert np.abs(by_numpy - by_torch).max() <= 1


# Bands, and parts that take turns


@pytest.mark.parametrize("symbols", [1, 7, 20, 10**6])
def test_bands_cover_every_row_once(symbols: int) -> None:
    found = list(lattice.bands_of(0, 11, 5, symbols))
    assert [row for start, stop in found for row in range(start, stop)] == list(range(11))
    assert all(stop - start == max(1, symbols // 5) for start, stop in found[:-1])


@pytest.mark.parametrize("level", [0, 1, 3, 6, 7])
@pytest.mark.parametrize("height", [1, 64, 65, 200, 333])
def test_stripes_share_out_the_rows_of_each_level(height: int, level: int) -> None:
    rows = -(-height >> level)
    stripes = range(-(-height // lattice.STRIPE))
    found = [
        row
        for stripe in stripes
        for start, stop in lattice.bands_of(level, rows, 9, 30, (stripe,))
        for row in range(start, stop)
    ]
    assert found == list(range(rows))


@pytest.mark.parametrize(("height", "count"), [(40, 3), (130, 2), (333, 4), (200, 7)])
def test_parts_that_take_turns_are_the_picture(height: int, count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, height, 10, generator=generator)
    whole = Lattice(
        cell_centres(0, 10, 10),
        cell_centres(0, height, height),
        width=10,
        height=height,
        levels=3,
        device="cpu",
        target=target,
        weights=2 * target,
    )
    parts = whole.in_turn(count)
    stripes = -(-height // lattice.STRIPE)
    assert len(parts) == min(count, stripes)
    assert all(part.turns == len(parts) for part in parts)
    assert sum(part.share for part in parts) == pytest.approx(1)
    rows = np.concatenate([part.ys for part in parts]).astype(int)
    assert sorted(rows.tolist()) == list(range(height))
    for part in parts:
        own = part.ys.astype(int)
        assert part.target is not None
        assert part.weights is not None
        assert torch.equal(part.target, target[:, own])
        assert torch.equal(part.weights, 2 * target[:, own])
        for cut in (part.cut_rows(50), [tile.rows for tile in part.tiles((50, 50))]):
            for piece in cut:
                assert (np.diff(part.ys[piece]) == 1).all()
            assert sum(piece.stop - piece.start for piece in cut) == len(own)
