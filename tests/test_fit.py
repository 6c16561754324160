"""The fit: what it finds, the loop and its accidents."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from references import reference_bits
from small_fits import GRID, SMALL, Pixels, smooth_pixels

from siren_codec import stream
from siren_codec.encoding import Encoded, encode_picture
from siren_codec.errors import UsageError
from siren_codec.field import Architecture, Field
from siren_codec.fit import (
    Control,
    Schedule,
    Stage,
    choose_device,
    fit,
    model,
)
from siren_codec.fit.engine import choice
from siren_codec.fit.soap import SOAP
from siren_codec.options import Options
from siren_codec.picture import Picture
from siren_codec.progress import Progress
from siren_codec.stream.latents import cost as latents_cost
from siren_codec.stream.latents import is_exact

QUICK = Schedule((Stage(1, 20), Stage(0, 20)), (Stage(0, 10),))
QUICK_GRID = replace(QUICK, lambda_=1e-3, learning_rate=1e-2, betas=(0.9, 0.99))
BOTH = pytest.mark.parametrize(
    ("architecture", "schedule"), [(SMALL, QUICK), (GRID, QUICK_GRID)], ids=["coordinate", "grid"]
)


@pytest.fixture
def pixels() -> Pixels:
    """A smooth 24 x 16 colour picture."""
    return smooth_pixels()


@BOTH
def test_model_is_the_twin_of_field(
    pixels: Pixels, architecture: Architecture, schedule: Schedule
) -> None:
    field = fit(pixels, architecture=architecture, schedule=schedule).field
    rendered = field.render(scale=1.5).astype(int)
    by_torch = field.render(scale=1.5, sampler=model.sampler(field, "cpu")).astype(int)
    assert np.abs(rendered - by_torch).max() <= 1


# The fit


def test_fit_learns_and_its_field_is_what_it_says(pixels: Pixels) -> None:
    found = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 400),), (Stage(0, 100),)))
    decoded = stream.read(stream.write(found.field)).render()
    mse = np.mean((decoded.astype(float) - pixels) ** 2)
    psnr = 10 * math.log10(255**2 / mse)
    assert psnr > 27
    assert psnr == pytest.approx(found.quantised_psnr, abs=0.3)
    assert found.quantised_psnr > found.real_psnr - 1


def _psnr(reference: npt.NDArray[np.uint8], decoded: npt.NDArray[np.uint8]) -> float:
    mse = np.mean((decoded.astype(float) - reference) ** 2)
    return float(10 * math.log10(255**2 / mse))


@pytest.mark.parametrize("lambda_", [1e-2, 1e-3, 1e-5])
def test_a_grid_fit_is_what_it_says(pixels: Pixels, lambda_: float) -> None:
    """PSNR and bits of the fit's own reckoning are those of the file, as it is decoded."""
    found = fit(pixels, architecture=GRID, schedule=replace(QUICK_GRID, lambda_=lambda_))
    data = stream.write(found.field)
    field = stream.read(data)
    assert all(map(np.array_equal, field.latents, found.field.latents))
    psnr = _psnr(pixels, field.render())
    assert psnr > 15
    assert psnr == pytest.approx(found.quantised_psnr, abs=0.1)
    spent = latents_cost(field.latents, field.context, field.architecture).sum()
    # A grid of zeros costs the file nothing, though the fit does not know it.
    reckoned = _reference_bits(found.field)
    assert found.bits == pytest.approx(sum(reckoned), rel=1e-3)
    filled = [grid.any() for level in field.latents for grid in level]
    bits = sum(bits for bits, any_ in zip(reckoned, filled, strict=True) if any_)
    assert bits == pytest.approx(spent, rel=0.05, abs=30)
    assert 8 * len(data) > spent


def _reference_bits(field: Field) -> list[float]:
    """Return the bits of each grid by the plain formula, with the field's own weights."""
    network = model.from_field(field, "cpu")
    grids = [torch.tensor(grid) for level in field.latents for grid in level]
    matrices = [matrix.detach() for matrix in network.matrices[network.depth :]]
    return [
        float(reference_bits(grids, index, matrices, field.architecture))
        for index in range(len(grids))
    ]


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_the_context_network_is_exact(pixels: Pixels, quality: int) -> None:
    options = Options(quality=quality, steps=12, device="cpu")
    field = encode_picture(Picture(pixels), options).fit.field
    assert is_exact(field.context)
    assert len(field.context) == 3


QUALITIES = (20, 50, 80)


@pytest.fixture(scope="module")
def astronaut() -> Pixels:
    """A photograph of 64 x 64."""
    data = pytest.importorskip("skimage.data")
    small = data.astronaut().reshape(64, 8, 64, 8, 3).mean((1, 3))
    return np.asarray(np.rint(small), np.uint8)


@pytest.fixture(scope="module")
def by_quality(astronaut: Pixels) -> list[Encoded]:
    options = Options(steps=80, device="cpu")
    return [
        encode_picture(Picture(astronaut), replace(options, quality=quality))
        for quality in QUALITIES
    ]


def test_quality_buys_psnr_for_bytes(by_quality: list[Encoded]) -> None:
    for low, high in pairwise(by_quality):
        assert len(high.data) > 1.1 * len(low.data)
        assert high.fit.bits > low.fit.bits
        assert high.psnr > low.psnr + 1
    for encoded in by_quality:
        field = encoded.fit.field
        assert encoded.psnr == pytest.approx(encoded.fit.quantised_psnr, abs=0.1)
        spent = latents_cost(field.latents, field.context, field.architecture).sum()
        assert encoded.fit.bits == pytest.approx(spent, rel=0.05)


def test_grids_beat_a_network_alone(astronaut: Pixels, by_quality: list[Encoded]) -> None:
    """One of no fewer bytes, fitted in as many steps."""
    options = Options(model="coordinate", hidden_features=32, steps=80, device="cpu")
    alone, grids = encode_picture(Picture(astronaut), options), by_quality[1]
    assert len(grids.data) <= len(alone.data)
    assert grids.psnr > alone.psnr + 2


@BOTH
def test_a_seed_repeats(pixels: Pixels, architecture: Architecture, schedule: Schedule) -> None:
    schedule = replace(schedule, stages=(Stage(1, 5), Stage(0, 10)), rounded_stages=(Stage(0, 5),))
    files = [
        stream.write(fit(pixels, architecture=architecture, schedule=schedule, seed=seed).field)
        for seed in (3, 3, 4)
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("model_", ["grid", "coordinate"])
def test_a_file_does_not_depend_on_the_number_of_threads(
    astronaut: Pixels, monkeypatch: pytest.MonkeyPatch, model_: str
) -> None:
    """The analysis network's first grids and the choice of the weights' steps included."""
    files = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(choice, "available_cores", lambda count=threads: count)
        options = Options(model=model_, steps=10, device="cpu")
        files.append(encode_picture(Picture(astronaut), options).data)
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("features", [(), (1, 2)])
def test_every_kind_of_sample(channels: int, dtype: type, features: tuple[int, ...]) -> None:
    peak = np.iinfo(dtype).max
    picture: npt.NDArray[np.uint8 | np.uint16] = np.full((3, 5, channels), peak // 3, dtype)
    network = {"features": features, "neighbours": 3, "context_features": 2} if features else {}
    architecture = Architecture(channels, 1, 4, **network)  # type: ignore[arg-type]
    schedule = Schedule((Stage(0, 30),), (Stage(0, 10),), lambda_=1e-3)
    found = fit(picture, architecture=architecture, schedule=schedule)
    rendered = np.atleast_3d(stream.read(stream.write(found.field)).render())
    assert rendered.dtype == dtype
    assert rendered.shape == picture.shape


@BOTH
@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (9, 1, 3), (15, 13, 3)])
def test_the_smallest_pictures(
    architecture: Architecture, schedule: Schedule, shape: tuple[int, int, int]
) -> None:
    picture = np.arange(np.prod(shape), dtype=np.uint16).astype(np.uint8).reshape(shape)
    found = fit(picture, architecture=architecture, schedule=schedule)
    assert stream.read(stream.write(found.field)).render().shape == shape


@BOTH
def test_progress_counts_every_step(
    pixels: Pixels, architecture: Architecture, schedule: Schedule
) -> None:
    seen: list[Progress] = []
    fit(pixels, architecture=architecture, schedule=schedule, control=Control(progress=seen.append))
    assert [progress.step for progress in seen] == list(range(1, schedule.steps + 1))
    assert all(progress.steps == schedule.steps for progress in seen)
    assert seen[-1].seconds_left == pytest.approx(0, abs=1e-6)
    assert seen[-1].psnr > seen[0].psnr
    assert all(((progress.bpp or 0) > 0) == bool(architecture.grids) for progress in seen)


@BOTH
@pytest.mark.parametrize("which", [0, -1])
def test_a_gradient_that_is_not_finite_poisons_nothing(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture,
    schedule: Schedule,
    which: int,
) -> None:
    grad, calls = torch.autograd.grad, iter(range(10**6))

    def broken(*args: object, **how: object) -> object:
        gradients = grad(*args, **how)  # type: ignore[call-overload]
        if next(calls) in (0, 14, 30):
            gradients[which].view(-1)[0] = math.nan
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", broken)
    control = Control(compiled=False)
    found = fit(pixels, architecture=architecture, schedule=schedule, control=control)
    assert found.quantised_psnr > 10
    assert all((np.abs(grids) < 1000).all() for grids in found.field.latents)


def test_the_best_state_is_kept(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that do nothing but harm leave the weights as good as they were."""
    good = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 1),)))
    monkeypatch.setattr(SOAP, "step", lambda self, _: [p.data.mul_(1.05) for p in self.parameters])
    kept = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 20),)))
    assert kept.real_psnr >= good.real_psnr - 0.5


def test_the_best_rounded_state_is_kept(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """The grids stay as they are then, and weights that got worse are taken back."""

    def harm(self: SOAP, _: float) -> None:
        for parameter in self.parameters:
            parameter.data.mul_(2)

    monkeypatch.setattr(SOAP, "step", harm)
    schedule = replace(QUICK_GRID, stages=(Stage(0, 1),), rounded_stages=())
    good = fit(pixels, architecture=GRID, schedule=schedule)
    longer = replace(schedule, rounded_stages=(Stage(0, 20),))
    kept = fit(pixels, architecture=GRID, schedule=longer)
    assert kept.quantised_psnr == good.quantised_psnr
    assert all(map(np.array_equal, kept.field.latents, good.field.latents))


# Devices


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    with pytest.raises(UsageError, match="expected auto, cpu or cuda"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        assert choose_device("auto") == "cpu"
        with pytest.raises(UsageError, match="expected a CUDA GPU, found none"):
            choose_device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@BOTH
def test_fit_on_a_gpu(pixels: Pixels, architecture: Architecture, schedule: Schedule) -> None:
    found = fit(
        pixels,
        architecture=architecture,
        schedule=replace(schedule, stages=(Stage(0, 120),), rounded_stages=(Stage(0, 40),)),
        device="cuda",
    )
    by_gpu = found.field.render(sampler=model.sampler(found.field, "cuda")).astype(int)
    assert np.abs(by_gpu - found.field.render()).max() <= 1
    assert found.quantised_psnr > 25
