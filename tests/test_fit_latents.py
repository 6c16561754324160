"""Latents while they are fitted: soft rounding, noise, and the flat tensor that they lie in."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.fit.engine import Engine, engine
from siren_codec.fit.engine.by_torch import TorchEngine, soft_round
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.step_settings import StepSettings

ARCHITECTURE = Architecture(3, 1, 4, features=(1, 0, 2), neighbours=12, context_features=6)
NOW = StepSettings(temperature=0.3, noise=0.2)


@pytest.fixture(params=["torch", "kernels"])
def computing(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine("cpu", compiled=request.param == "kernels") as found:
        yield found


@pytest.mark.parametrize("temperature", [0.1, 0.3, 1.0])
def test_slope_of_soft_rounding(temperature: float) -> None:
    values = torch.linspace(-2.97, 2.98, 400, dtype=torch.float64)
    step = 1e-6
    low, high = (soft_round(values + h, temperature)[0] for h in (-step, step))
    _, slope = soft_round(values, temperature)
    torch.testing.assert_close(slope, (high - low) / (2 * step), rtol=1e-5, atol=1e-5)


def test_soft_rounding_keeps_integers_and_halves() -> None:
    values = torch.arange(-6, 7, dtype=torch.float64) / 2
    for temperature in (0.1, 0.3, 1.0):
        soft, _ = soft_round(values, temperature)
        torch.testing.assert_close(soft, values, rtol=0, atol=1e-6)
    # Cold it is rounding, hot it is nothing.
    between = values + 0.2
    cold, hot = (soft_round(between, temperature)[0] for temperature in (0.02, 50))
    torch.testing.assert_close(cold, between.round(), rtol=0, atol=1e-6)
    torch.testing.assert_close(hot, between, rtol=0, atol=1e-3)


def test_noise_is_standard_normal() -> None:
    pool = Noise(seed=1, device="cpu").pool.double().numpy()
    assert pool.mean() == pytest.approx(0, abs=0.005)
    assert pool.std() == pytest.approx(1, abs=0.005)
    shares = [float((np.abs(pool) < z).mean()) for z in (0.5, 1, 2, 3)]
    assert shares == pytest.approx([0.3829, 0.6827, 0.9545, 0.9973], abs=0.002)


class Seen:
    """Random grids, and what a fit sees of them."""

    def __init__(self, seed: int = 0, dtype: torch.dtype = torch.float32) -> None:
        self.grids = Latents.of_picture(ARCHITECTURE, 21, 13, "cpu")
        generator = torch.Generator().manual_seed(seed)
        self.grids.flat = 2 * torch.randn(self.grids.flat.shape, generator=generator, dtype=dtype)
        self.noise = Noise(seed=seed, device="cpu")
        self.soft, self.slope = (torch.zeros_like(self.grids.flat) for _ in range(2))
        self.draw()

    def draw(self) -> None:
        self.noise.next(len(self.grids.chunks()))

    def soften(self, computing: Engine, first_level: int = 0) -> Tensor:
        settings = computing.prepared(NOW)
        computing.soften(self.grids, self.noise, settings, first_level, self.soft, self.slope)
        return self.soft.clone()


def test_what_the_fit_sees_and_its_slope() -> None:
    """s(s(y) + noise), and its derivative by finite differences with the same noise."""
    seen, computing = Seen(dtype=torch.float64), TorchEngine("cpu")

    def soft(shift: float) -> Tensor:
        seen.grids.flat += shift
        found = seen.soften(computing)
        seen.grids.flat -= shift
        return found

    step = 1e-6
    numeric = (soft(step) - soft(-step)) / (2 * step)
    values = soft(0.0)
    torch.testing.assert_close(seen.slope, numeric, rtol=1e-4, atol=1e-4)
    temperature = torch.tensor(NOW.temperature)
    once, _ = soft_round(seen.grids.flat, temperature)
    # A chunk for each level: the first place drawn is the finest level's.
    expected, _ = soft_round(once[: 21 * 13] + NOW.noise * seen.noise.take(0, 21 * 13), temperature)
    torch.testing.assert_close(values[: 21 * 13], expected)
    assert (values - seen.grids.flat).abs().max() < 1.5


def test_levels_below_the_first_stay_0(computing: Engine) -> None:
    seen = Seen()
    finest, empty, coarse = seen.grids.levels(seen.soften(computing, 2))
    assert finest.abs().sum() == 0
    assert empty.numel() == 0
    assert (coarse != 0).all()
    assert seen.grids.levels(seen.slope)[0].abs().sum() == 0


def test_noise_is_new_with_every_other_step_and_repeats_with_its_seed(computing: Engine) -> None:
    first, second = Seen(), Seen()
    before = first.soften(computing)
    assert torch.equal(before, second.soften(computing))
    first.draw()
    assert torch.equal(before, first.soften(computing))
    first.draw()
    assert not torch.equal(before, first.soften(computing))


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_noise_comes_back_with_the_other_sign(turns: int) -> None:
    """After as many steps as parts take turns; and a noise that was saved goes on as it would."""
    noise, other = Noise(seed=2, device="cpu"), Noise(seed=3, device="cpu")
    seen = []
    for step in range(8 * turns):
        if step == 2 * turns + 1:
            other.restore({name: tensor.clone() for name, tensor in noise.state().items()})
        found = noise.next(2, turns), noise.places[:2].tolist()
        if step > 2 * turns:
            assert (other.next(2, turns), other.places[:2].tolist()) == found
        seen.append(found)
    draws = [seen[start : start + 2 * turns] for start in range(0, len(seen), 2 * turns)]
    for draw in draws:
        assert [sign for sign, _ in draw] == [1] * turns + [-1] * turns
        assert all(places == draw[0][1] for _, places in draw)
    assert all(one[0][1] != two[0][1] for one, two in pairwise(draws))


def test_grids_of_levels() -> None:
    levels = [torch.rand(1, 3, 5), torch.rand(0, 2, 3), torch.rand(2, 1, 2)]
    found = Latents.of(levels)
    assert found.shapes == ((1, 3, 5), (0, 2, 3), (2, 1, 2))
    assert all(map(torch.equal, found.levels(), levels))


def test_levels_are_views_of_the_flat_tensor() -> None:
    grids = Latents.of_picture(ARCHITECTURE, 21, 13, "cpu")
    assert [tuple(level.shape) for level in grids.levels()] == [(1, 13, 21), (0, 7, 11), (2, 4, 6)]
    grids.levels()[2][1, 3, 5] = 7
    assert grids.flat[-1] == 7
    parts = [part for _, part in grids.chunks()]
    assert [part.start for part in parts[1:]] == [part.stop for part in parts[:-1]]
    assert parts[-1].stop == len(grids.flat) == 13 * 21 + 2 * 4 * 6


def test_large_levels_come_in_chunks() -> None:
    grids = Latents.of_picture(Architecture(3, 1, 4, features=(2, 1)), 400, 300, "cpu")
    covered = torch.zeros_like(grids.flat)
    for level, part in grids.chunks():
        assert part.stop - part.start <= 1 << 17
        assert grids.starts[level] <= part.start < part.stop <= grids.starts[level + 1]
        covered[part] += 1
    assert (covered == 1).all()
    assert [level for level, _ in grids.chunks(1)] == [1]
