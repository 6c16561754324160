"""The cameraman benchmark, on tiny images."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import cameraman, store
from benchmarks.cameraman import ACTIVATIONS, Network, Settings
from siren_codec.field import Architecture
from siren_codec.fit import model, start

SMALL = Settings(size=16, hidden_features=8)


def double(network: Network) -> Network:
    return Network(
        network.activation, network.omega_0, tuple(layer.double() for layer in network.layers)
    )


def test_a_tiny_run_makes_rows_a_table_and_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = (1e-4, 1e-3)
    tiny = replace(SMALL, epochs=2, batch=100, threads=2, learning_rates=rates)
    rows = cameraman.run(tiny, tmp_path / "cameraman.png")
    constant, *trials = rows
    assert constant["settings"] == {"size": 16, "activation": "constant"}
    found = [(row["settings"]["activation"], row["settings"]["learning_rate"]) for row in trials]
    assert found == [(name, rate) for name in ACTIVATIONS for rate in rates]
    for trial in trials:
        assert [epoch for epoch, _ in trial["psnr_by_epoch"]] == [1, 2]
        assert trial["psnr"]["image"] == trial["psnr_by_epoch"][-1][1]
    with Image.open(tmp_path / "cameraman.png") as picture:
        assert picture.width == 1400
    # The best of each has all scores, and is what the table shows.
    assert [len(row["psnr"]) for row in trials].count(5) == len(ACTIVATIONS)
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    facts = {"experiment": "cameraman", "settings": constant["settings"]}
    store.make("cameraman", [store.Task(facts, lambda: rows)], lambda _: None)
    page = cameraman.section()
    best = max(row["psnr"]["image"] for row in trials if row["settings"]["activation"] == "sine")
    (line,) = (
        line for line in page.splitlines() if line.startswith("| sine |") and line.count("|") == 9
    )
    assert f" {best:.2f} " in line


@pytest.mark.parametrize("activation", ["sine", "tanh"])
def test_exact_derivatives_agree_with_finite_differences(activation: str) -> None:
    network = double(cameraman.initial_network(activation, SMALL))
    points = torch.rand(2, 50, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    step = 1e-4
    value, d_x, d_y, laplacian = cameraman.derivatives(network, points)
    right, left, below, above = (
        network(points + step * torch.tensor([[x], [y]]).double())[0]
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))
    )
    torch.testing.assert_close(value, network(points)[0])
    torch.testing.assert_close(d_x, (right - left) / (2 * step), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(d_y, (below - above) / (2 * step), rtol=1e-3, atol=1e-3)
    second = (right + left + below + above - 4 * value) / step**2
    torch.testing.assert_close(laplacian, second, rtol=1e-3, atol=1e-2)
    assert laplacian.abs().max() > 1e-3


def test_the_sine_network_is_the_siren_of_the_codec() -> None:
    architecture = Architecture(channels=1, hidden_layers=4, hidden_features=8)
    network_of_codec = start.siren(architecture, seed=SMALL.seed, device="cpu")
    network = cameraman.initial_network("sine", SMALL)
    points = cameraman.pixel_centres(SMALL.size)
    expected = model.siren(architecture, network_of_codec.matrices, points).detach()
    torch.testing.assert_close(network(points), expected, rtol=0, atol=1e-4)


def test_the_laplacian_of_relu_is_zero() -> None:
    network = cameraman.initial_network("ReLU", SMALL)
    jet = cameraman.derivatives(network, cameraman.pixel_centres(SMALL.size))
    assert jet[1:3].abs().max() > 0
    assert jet[3].abs().max() == 0


def test_exact_fields_are_per_pixel_and_meet_the_differences_of_a_smooth_network() -> None:
    network = cameraman.initial_network("tanh", SMALL)
    exact = cameraman.exact_fields(network, 64, map)
    found = cameraman.difference_fields(cameraman.values(network, 64, map))
    np.testing.assert_allclose(exact.image, found.image, atol=1e-6)
    np.testing.assert_allclose(exact.gradient, found.gradient, rtol=0.01, atol=1e-5)
    np.testing.assert_allclose(exact.laplacian, found.laplacian, atol=1e-5)


def test_differences_of_a_paraboloid() -> None:
    x, y = np.meshgrid(np.arange(9, dtype=np.float32), np.arange(9, dtype=np.float32))
    fields = cameraman.difference_fields(x**2 + 3 * y)
    np.testing.assert_allclose(fields.gradient[0], 2 * x[1:-1, 1:-1])
    np.testing.assert_allclose(fields.gradient[1], 3)
    np.testing.assert_allclose(fields.laplacian, 2)


def test_the_number_of_threads_does_not_change_a_fit() -> None:
    image = cameraman.camera(SMALL.size)
    curves = []
    for count in (1, 2):
        settings = Settings(size=16, hidden_features=8, epochs=2, threads=count)
        with cameraman.threads(count) as map_:
            curves.append(cameraman.fit("sine", 1e-3, image, settings, map_, lambda: None).curve)
    assert curves[0] == curves[1]


def test_psnr_of_known_errors() -> None:
    zeros, ones = np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)
    assert cameraman.psnr(reference=zeros, found=zeros, peak_to_peak=2) == math.inf
    found = cameraman.psnr(reference=zeros, found=ones, peak_to_peak=2)
    assert found == pytest.approx(20 * math.log10(2))
    assert cameraman.psnr(reference=zeros, found=ones * np.nan, peak_to_peak=2) == -math.inf


def test_camera_is_square_and_in_range() -> None:
    image = cameraman.camera(16)
    assert image.shape == (16, 16)
    assert image.dtype == np.float32
    assert -1 <= image.min() < 0 < image.max() <= 1
