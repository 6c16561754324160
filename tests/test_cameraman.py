"""The cameraman benchmark, on tiny images."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from benchmarks import cameraman
from benchmarks.cameraman import ACTIVATIONS, Network, Settings
from siren_codec.field import Architecture
from siren_codec.fit import model, start

SMALL = Settings(size=16, hidden_features=8)


def double(network: Network) -> Network:
    return Network(
        network.activation, network.omega_0, tuple(layer.double() for layer in network.layers)
    )


def test_a_tiny_run_writes_table_record_and_picture(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path / "new"), "--size", "16", "--width", "8", "--epochs", "2"]
    result = CliRunner().invoke(
        cameraman.main, [*arguments, "--batch", "100", "--threads", "2", "--rate", "1e-3"]
    )
    assert result.exit_code == 0, result.output
    table = (tmp_path / "new" / "cameraman.md").read_text(encoding="utf-8")
    assert table in result.output
    record = json.loads((tmp_path / "new" / "cameraman.json").read_text(encoding="utf-8"))
    assert [row["activation"] for row in record["best"]] == [*ACTIVATIONS, "constant"]
    assert [trial["activation"] for trial in record["trials"]] == list(ACTIVATIONS)
    for trial in record["trials"]:
        assert [epoch for epoch, _ in trial["psnr_by_epoch"]] == [1, 2]
        assert trial["psnr"] == trial["psnr_by_epoch"][-1][1]
    with Image.open(tmp_path / "new" / "cameraman.png") as picture:
        assert picture.width == 1400


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
