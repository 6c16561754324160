"""The SIREN in float32: quick sines, and as many layers and channels as there are."""

import numpy as np
import pytest
from conftest import make_field

from siren_codec.field import network


@pytest.mark.parametrize("shape", [(1, 7), (5, 1000), (3, 1 << 17)])
def test_quick_sines_are_right(shape: tuple[int, int]) -> None:
    sine = network._QUICK
    angles = np.random.default_rng(0).uniform(-40, 40, shape)
    found = (sine.per_radian * angles + sine.phase).astype(np.float32)
    exact = np.sin((found.astype(np.float64) - sine.phase) / sine.per_radian)
    sine.apply(found, np.empty_like(found))
    assert np.abs(sine.offset + sine.amplitude * found.astype(np.float64) - exact).max() < 2e-6


@pytest.mark.parametrize("hidden_layers", [1, 2, 3, 6])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("features", [(), (1, 2)])
def test_samples_are_those_of_the_jet(
    hidden_layers: int, channels: int, features: tuple[int, ...]
) -> None:
    field = make_field(
        hidden_layers,
        channels=channels,
        hidden_layers=hidden_layers,
        features=features,
        first_omega_0=3.0,
        omega_0=10.0,
    )
    inputs = np.random.default_rng(1).uniform(-2, 2, (2 + sum(features), 50))
    exact = network.network_jet(field, lambda _: inputs, 0, np.float64)[0]
    evaluate = network.network(field)
    for points in (50, 20, 50):  # In memory that is used again.

        def fill(out: network.Samples, points: int = points) -> None:
            out[:] = inputs[:, :points]

        found = evaluate(points, fill)
        assert found.shape == (channels, points)
        np.testing.assert_allclose(found, exact[:, :points], rtol=0, atol=0.02)
