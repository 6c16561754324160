"""Where a fit begins: the pyramid, the analysis network, the prior's networks, their rounding."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from siren_codec import stream
from siren_codec.encoding import encode_picture
from siren_codec.errors import FitError
from siren_codec.field import PriorName
from siren_codec.field.spline import level_shape
from siren_codec.fit import Schedule, Stage, analysis, architecture_for, fit, prior_for
from siren_codec.fit.analysis import Analysis, base_steps, pyramid
from siren_codec.fit.engine import Grids, engine
from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.rate import quality_lambda
from siren_codec.fit.samples import averaged, samples_of
from siren_codec.options import Options
from siren_codec.picture import Picture
from siren_codec.stream import prior

FEATURES = (1, 1, 3, 3, 3, 3, 3)
Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    """A photograph of 80 x 64."""
    data = pytest.importorskip("skimage.data")
    small = data.astronaut()[:320, :256].reshape(80, 4, 64, 4, 3).mean((1, 3))
    return np.asarray(np.rint(small), np.uint8)


# The pyramid


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_pyramid_adds_up_to_the_picture(astronaut: Pixels, channels: int) -> None:
    """Sampled at the pixels, with a grid for each colour on each level."""
    samples = samples_of(astronaut)[[0, 1, 2, 0][:channels]]
    features = (channels,) * 5
    levels = pyramid(samples, features)
    lattice = averaged(samples, 0, levels=5)
    total = torch.zeros_like(samples)
    for tile in lattice.tiles():
        values = tile.inputs(levels)[2:].view(5, channels, len(tile.y), len(tile.x)).sum(0)
        total[:, tile.rows, tile.columns] = values
    colours = analysis._opponents(channels)
    found = (colours.T @ total.reshape(channels, -1)).view_as(samples)
    error = (found - samples).square().mean()
    assert error < 2e-3 * samples.square().mean()


def test_long_sides_are_solved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the result of one part, but for what lies more than two dozen cells away."""
    torch.manual_seed(0)
    samples = torch.nn.functional.avg_pool2d(torch.rand(1, 3, 20, 700) * 2 - 1, 3, 1, 1)[0]
    whole = pyramid(samples, FEATURES)
    analysis.forget()
    monkeypatch.setattr(analysis, "_PART", 128)
    parts = pyramid(samples, FEATURES)
    analysis.forget()
    for expected, found in zip(whole, parts, strict=True):
        torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)


def test_colours_are_orthonormal() -> None:
    for channels in (1, 2, 3, 4):
        colours = analysis._opponents(channels)
        torch.testing.assert_close(colours @ colours.T, torch.eye(channels))


def test_steps_follow_the_price_of_a_bit() -> None:
    cheap, dear = (torch.tensor(base_steps(FEATURES, lambda_)) for lambda_ in (1e-4, 4e-4))
    torch.testing.assert_close(dear, 2 * cheap)
    assert (cheap[1:] <= cheap[:-1]).all()


# The network


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (64, 64), (33, 70), (127, 5)])
def test_the_network_takes_any_size(size: tuple[int, int]) -> None:
    width, height = size
    colours = torch.rand(3, height, width) * 2 - 1
    network = Analysis.untrained(FEATURES, seed=0)
    values = network.scaled(pyramid(colours, FEATURES), 50)
    found = network(colours, values, 50)
    assert [tuple(level.shape) for level in found] == [
        (count, *level_shape(width, height, level)) for level, count in enumerate(FEATURES)
    ]
    # An untrained one leaves the pyramid as it is.
    assert all(map(torch.equal, found, values))


def test_the_network_s_gradients_reach_every_parameter() -> None:
    network = Analysis.untrained(FEATURES, seed=0)
    for name, tensor in network.parameters.items():
        if name.startswith("head"):
            tensor.normal_()
        tensor.requires_grad_()
    colours = torch.rand(3, 64, 64) * 2 - 1
    for quality in (20, 80):
        found = network(colours, network.scaled(pyramid(colours, FEATURES), quality), quality)
        torch.cat([level.reshape(-1) for level in found]).square().sum().backward()  # type: ignore[no-untyped-call]
    for name, tensor in network.parameters.items():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name


def test_between_the_knots() -> None:
    knots = torch.tensor([0.0, 1.0, 3.0, 7.0])
    qualities = (1, 2, 18, 34, 66, 82, 98, 100)
    found = [float(analysis.between(knots, quality)) for quality in qualities]
    assert found == [0, 0, 0.5, 1, 3, 5, 7, 7]


def test_a_network_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="analysis-9"):
        Analysis.of_file(tmp_path / "analysis-9.npz", FEATURES, "cpu")


# What the start is worth


def objective(pixels: Pixels, start_: str, steps: int) -> float:
    """Return 1000 (MSE + lambda bpp) of the grids after a short fit."""
    options = Options(quality=50, start=start_)
    architecture = architecture_for(Picture(pixels), options)
    schedule = Schedule(
        (Stage(0, steps),), lambda_=quality_lambda(50), learning_rate=4e-3, betas=(0.9, 0.99)
    )
    found = fit(
        pixels,
        architecture=architecture,
        schedule=schedule,
        prior=prior_for(architecture, options, quality=50),
        refine=start_ == "analysis",
        device="cpu",
    )
    mse = 10 ** (-found.real_psnr / 10)
    height, width, _ = pixels.shape
    return float(1000 * (mse + quality_lambda(50) * found.bits / (width * height)))


def test_the_prior_is_a_better_start_than_none(astronaut: Pixels) -> None:
    """The analysis network adds little to so small a picture."""
    zero, known, analysed = (
        objective(astronaut, kind, 1) for kind in ("zero", "prior", "analysis")
    )
    assert 2 * known < zero
    assert analysed < 1.05 * known


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [1, 50, 100])
def test_a_file_with_a_prior_is_what_the_fit_says(
    astronaut: Pixels, channels: int, quality: int
) -> None:
    options = Options(quality=quality, steps=6, device="cpu")
    encoded = encode_picture(Picture(astronaut[:, :, :channels]), options)
    field = stream.read(encoded.data)
    assert field.prior == PriorName(prior.DEFAULT_PRIORS["grid"], quality)
    # What the fit says is of samples that were not yet rounded to integers.
    error = 10 ** (-encoded.fit.quantised_psnr / 10) + 1 / (12 * 255**2)
    assert encoded.psnr == pytest.approx(-10 * math.log10(error), abs=0.1)
    assert encoded.psnr > 15


@pytest.mark.parametrize("steps", [1, 12])
def test_the_coordinate_model_has_a_prior_too(steps: int) -> None:
    """Of the network of a Kodak picture; and nothing may differ from it."""
    y, x = np.mgrid[:24, :36]
    pixels = np.stack([7 * x, 10 * y, 127 + 0 * x], axis=2).astype(np.uint8)
    options = Options(
        model="coordinate",
        start="prior",
        hidden_layers=10,
        hidden_features=28,
        steps=steps,
        device="cpu",
    )
    encoded = encode_picture(Picture(pixels), options)
    assert stream.read(encoded.data).prior == PriorName(prior.DEFAULT_PRIORS["coordinate"], 50)
    assert len(encoded.data) < 6000


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 2, 3), (20, 30, 1)])
def test_small_and_deep_pictures_have_a_prior(shape: tuple[int, int, int]) -> None:
    picture = np.linspace(0, 65535, math.prod(shape)).astype(np.uint16).reshape(shape)
    encoded = encode_picture(Picture(picture), Options(steps=3, device="cpu"))
    found = stream.read(encoded.data)
    assert found.prior is not None
    assert np.atleast_3d(found.render()).shape == shape


# Rounding around a prior


@pytest.fixture
def network() -> Model:
    """A prior's networks, moved a little."""
    known = prior.load(prior.DEFAULT_PRIORS["grid"])
    found = Model.of_prior(known.architecture, known.expect(3, 50), "cpu")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for matrix in found.matrices:
            matrix += 0.01 * torch.randn(matrix.shape, generator=generator)
    return found


def test_rounded_weights_are_the_prior_and_whole_steps(network: Model) -> None:
    exponents = [(-7, -8)] * len(network.matrices)
    layers = network.quantised(exponents)
    seen = network.effective(exponents)
    assert network.expected is not None
    for index, layer in enumerate(layers):
        for part, tensor in enumerate((layer.weight, layer.bias)):
            expected = network.expected[2 * index + part].tensor
            assert tensor.exponent == expected.exponent
            octaves = exponents[index][part] - expected.exponent
            assert ((tensor.values - expected.values) % (1 << octaves) == 0).all()
            found = seen[index].detach()[:, network.parts(index)[part]].double().numpy()
            real = tensor.dequantise()
            assert np.abs(found - (real if part == 0 else np.atleast_2d(real).T)).max() < 1e-6
            moved = np.abs(network.differences(index, part) - (real - expected.dequantise()))
            assert moved.max() <= 2.0 ** exponents[index][part] / 2 + 1e-6


def test_the_rate_of_differences_is_the_slope_of_their_bits(network: Model) -> None:
    """Of a Laplace, away from 0; and it points back to the prior."""
    for matrix in network.matrices:
        matrix.grad = torch.zeros_like(matrix)
    network.add_rate(2.0)
    assert network.expected is not None
    for index, matrix in enumerate(network.matrices):
        assert matrix.grad is not None
        moved = network.differences(index, 0)
        gradient = matrix.grad[:, network.parts(index)[0]].numpy()
        assert (np.sign(gradient) == np.sign(moved)).all()
        spread = np.exp2((network.expected[2 * index].spreads.astype(np.float64) - 128) / 4)
        scale = max(float(np.mean(np.abs(moved) / spread)), 0.3)
        full = 2.0 / (spread * scale * math.log(2))
        far = np.abs(moved) > 3 * spread * scale
        assert (np.abs(gradient) <= full * 1.001).all()
        assert (np.abs(gradient)[far] > 0.99 * full[far]).all()


def test_differences_that_are_not_worth_it_are_dropped(network: Model, astronaut: Pixels) -> None:
    lattice = averaged(samples_of(astronaut), 0, levels=len(FEATURES))
    height, width, _ = astronaut.shape
    latents = Latents.of_picture(network.architecture, width, height, "cpu")
    latents.flat.normal_(std=2, generator=torch.Generator().manual_seed(1))
    grids = Grids(latents, latents.flat)
    before = network.state()

    def choose(price: float) -> list[tuple[int, int]]:
        return choose_exponents(
            network, lambda: computing.loss(network, lattice, grids).error, lambda *_: price
        )

    with engine("cpu") as computing:
        found = [choose(1e9), choose(1e-12)]
    for matrix, saved in zip(network.matrices, before, strict=True):
        assert torch.equal(matrix, saved)
    dropped, kept = (network.quantised(exponents) for exponents in found)
    assert network.expected is not None
    for index, layer in enumerate(dropped):
        assert np.array_equal(layer.weight.values, network.expected[2 * index].tensor.values)
    moved = np.mean(
        [
            np.mean(layer.weight.values != network.expected[2 * index].tensor.values)
            for index, layer in enumerate(kept[:3])
        ]
    )
    assert moved > 0.2
