"""The fit: initialisation, optimiser, quantisation, the loop and its accidents."""

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch

from siren_codec import stream
from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture
from siren_codec.fit import Progress, Schedule, Stage, choose_device, fit, loss, model, start
from siren_codec.fit.optimiser import SOAP
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.rate import coordinate_lambda
from siren_codec.stream.weights import cost

Pixels = npt.NDArray[np.uint8]

SMALL = Architecture(channels=3, hidden_layers=2, hidden_features=16)
QUICK = Schedule((Stage(1, 20), Stage(0, 20)), (Stage(0, 10),))


@pytest.fixture
def pixels() -> Pixels:
    """A smooth 24 x 16 colour picture."""
    y, x = np.mgrid[:16, :24]
    waves = [np.sin(x / 5), np.cos(y / 4), np.sin((x + y) / 6)]
    return np.rint(127.5 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


def test_siren_starts_as_its_paper_says() -> None:
    architecture = Architecture(3, 3, 64, first_omega_0=30.0, omega_0=20.0)
    layers = [
        layer.detach().numpy() for layer in start.siren(architecture, seed=1, device="cpu").layers
    ]
    bounds = [1 / 2, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20]
    for layer, bound in zip(layers, bounds, strict=True):
        assert 0.9 * bound < np.abs(layer[:, :-1]).max() <= bound
    assert [layer.shape for layer in layers] == [(64, 3), (64, 65), (64, 65), (3, 65)]


def test_model_is_the_twin_of_field(pixels: Pixels) -> None:
    field = fit(pixels, architecture=SMALL, schedule=QUICK).field
    rendered = field.render(scale=1.5).astype(int)
    by_torch = field.render(scale=1.5, sampler=model.sampler(field, "cpu")).astype(int)
    assert np.abs(rendered - by_torch).max() <= 1


def test_gradients_agree_with_a_whole_batch(pixels: Pixels) -> None:
    """The numpy sine, the bands and the threads change nothing but rounding."""
    network = start.siren(SMALL, seed=0, device="cpu")
    points = _points(pixels)
    hidden = points.inputs
    for layer in network.layers[:-1]:
        hidden = torch.sin(30 * (layer[:, :-1] @ hidden + layer[:, -1:]))
    outputs = network.layers[-1][:, :-1] @ hidden + network.layers[-1][:, -1:]
    expected = torch.autograd.grad((outputs - points.target).square().mean(), network.layers)
    with loss.worker("cpu") as work:
        work.backward(network, points)
    for layer, gradient in zip(network.layers, expected, strict=True):
        torch.testing.assert_close(layer.grad, gradient, rtol=1e-4, atol=1e-6)


def test_bands_add_up(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)
    with loss.worker("cpu") as work:
        whole = work.backward(network, points)
        gradients = [layer.grad.clone() for layer in network.layers if layer.grad is not None]
        monkeypatch.setattr(loss, "_CPU_ACTIVATIONS", 16 * 37)
        assert work.backward(network, points) == pytest.approx(whole, rel=1e-5)
        assert work.error(network, points) == pytest.approx(whole, rel=1e-5)
    for layer, gradient in zip(network.layers, gradients, strict=True):
        torch.testing.assert_close(layer.grad, gradient, rtol=1e-4, atol=1e-6)


def _error_after(turn: torch.Tensor, *, adam: bool) -> float:
    """Minimise a badly scaled quadratic of an 8 x 8 matrix, seen through a rotation."""
    root = turn @ torch.diag(torch.logspace(0, -1, 8)) @ turn.T
    parameter = (turn @ torch.ones(8, 8) @ turn.T).requires_grad_()
    by_soap, by_adam = SOAP([parameter]), torch.optim.Adam([parameter])
    for step in range(60):
        error = (root @ parameter @ root).square().sum()
        (parameter.grad,) = torch.autograd.grad(error, parameter)
        rate = 0.1 * (1 - step / 60)
        if adam:
            by_adam.param_groups[0]["lr"] = rate
            by_adam.step()
        else:
            by_soap.step(rate)
    return float(error.detach())


def test_soap_does_not_care_for_the_axes() -> None:
    """Adam does: what it makes of a problem depends on the basis in which it is written."""
    generator = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=generator))[0]
    soap = [_error_after(basis, adam=False) for basis in (torch.eye(8), turn)]
    adam = [_error_after(basis, adam=True) for basis in (torch.eye(8), turn)]
    assert max(soap) < 2 * min(soap)
    assert max(adam) > 10 * min(adam)


def test_soap_is_calm_where_the_gradient_has_no_rank() -> None:
    """A first gradient of rank 1 leaves most directions to rounding noise: no step follows it."""
    parameter = torch.zeros(8, 8, requires_grad=True)
    parameter.grad = torch.outer(torch.arange(1.0, 9.0), torch.arange(1.0, 9.0))
    SOAP([parameter]).step(0.1)
    assert parameter.detach().norm() < 0.11


def test_steps_trade_rate_for_distortion(pixels: Pixels) -> None:
    """A higher price of a bit gives coarser steps, and the search leaves the weights alone."""
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)

    def choose(lambda_: float) -> list[tuple[int, int]]:
        return choose_exponents(network, lambda: work.error(network, points), lambda *_: lambda_)

    with loss.worker("cpu") as work:
        before = network.state()
        free, dear = choose(1e-12), choose(1e3)
    assert all(
        fine <= coarse
        for layers in zip(free, dear, strict=True)
        for fine, coarse in zip(*layers, strict=True)
    )
    assert sum(map(sum, dear)) > sum(map(sum, free)) + 3
    for layer, saved in zip(network.layers, before, strict=True):
        assert torch.equal(layer, saved)


def test_steps_keep_within_the_bits_allowed(pixels: Pixels) -> None:
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)

    def spend(most_bits: float) -> float:
        with loss.worker("cpu") as work:
            error = functools.partial(work.error, network, points)
            exponents = choose_exponents(network, error, lambda *_: 1e-12, most_bits)
        layers = network.quantised(exponents)
        return sum(cost(layer.weight.values) + cost(layer.bias.values) for layer in layers)

    free = spend(math.inf)
    for share in (0.97, 0.92):
        assert 0.6 * share * free < spend(share * free) <= share * free


def test_lambda_is_a_price_in_proportion() -> None:
    assert coordinate_lambda(0.01, 1000.0) == pytest.approx(3.3e-6)


def test_fit_learns_and_its_field_is_what_it_says(pixels: Pixels) -> None:
    found = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 400),), (Stage(0, 100),)))
    decoded = stream.read(stream.write(found.field)).render()
    mse = np.mean((decoded.astype(float) - pixels) ** 2)
    psnr = 10 * math.log10(255**2 / mse)
    assert psnr > 27
    assert psnr == pytest.approx(found.quantised_psnr, abs=0.3)
    assert found.quantised_psnr > found.real_psnr - 1


@pytest.mark.parametrize("batch", [None, 50, 10**6])
def test_a_seed_repeats(pixels: Pixels, batch: int | None) -> None:
    schedule = Schedule((Stage(1, 5), Stage(0, 10)), (Stage(0, 5),), batch=batch)
    files = [
        stream.write(fit(pixels, architecture=SMALL, schedule=schedule, seed=seed).field)
        for seed in (3, 3, 4)
    ]
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_kind_of_sample(channels: int, dtype: type) -> None:
    peak = np.iinfo(dtype).max
    picture: npt.NDArray[np.uint8 | np.uint16] = np.full((3, 5, channels), peak // 3, dtype)
    architecture = Architecture(channels, 1, 4)
    found = fit(
        picture, architecture=architecture, schedule=Schedule((Stage(0, 30),), (Stage(0, 10),))
    )
    rendered = np.atleast_3d(found.field.render())
    assert rendered.dtype == dtype
    assert rendered.shape == picture.shape


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (9, 1, 3)])
def test_the_smallest_pictures(shape: tuple[int, int, int]) -> None:
    picture = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    found = fit(picture, architecture=SMALL, schedule=QUICK)
    assert found.field.render().shape == shape


def test_progress_counts_every_step(pixels: Pixels) -> None:
    seen: list[Progress] = []
    fit(pixels, architecture=SMALL, schedule=QUICK, progress=seen.append)
    assert [progress.step for progress in seen] == list(range(1, QUICK.steps + 1))
    assert all(progress.steps == QUICK.steps for progress in seen)
    assert seen[-1].seconds_left == pytest.approx(0, abs=1e-6)
    assert seen[-1].psnr > seen[0].psnr


def _failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Make the loss of some calls, counted from 0, not finite."""
    backward, calls = loss.Worker.backward, iter(range(10**6))

    def broken(self: loss.Worker, *args: object) -> float:
        error = backward(self, *args)  # type: ignore[arg-type]
        return math.nan if fails(next(calls)) else error

    monkeypatch.setattr(loss.Worker, "backward", broken)


def test_a_loss_that_is_not_finite_is_rolled_back(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, lambda call: call in (5, 25, 30))
    found = fit(pixels, architecture=SMALL, schedule=QUICK)
    assert math.isfinite(found.quantised_psnr)
    assert found.quantised_psnr > 10


def test_a_gradient_that_is_not_finite_poisons_nothing(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    grad, calls = torch.autograd.grad, iter(range(10**6))

    def broken(*args: object) -> object:
        gradients = grad(*args)  # type: ignore[call-overload]
        if next(calls) in (0, 14, 30):
            gradients[0][0, 0] = math.nan
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", broken)
    assert fit(pixels, architecture=SMALL, schedule=QUICK).quantised_psnr > 10


def test_a_loss_that_stays_not_finite_is_an_error(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    _failing(monkeypatch, lambda call: call >= 10)
    with pytest.raises(FitError, match="not finite after 3 roll-backs"):
        fit(pixels, architecture=SMALL, schedule=QUICK)


def test_the_best_state_is_kept(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that do nothing but harm leave the weights as good as they were."""
    good = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 1),)))
    monkeypatch.setattr(SOAP, "step", lambda self, _: [p.data.mul_(1.05) for p in self.parameters])
    kept = fit(pixels, architecture=SMALL, schedule=Schedule((Stage(0, 20),)))
    assert kept.real_psnr >= good.real_psnr - 0.5


KODAK = {"pixels": 768 * 512, "weights": 7479}


def test_presets_grow_with_effort() -> None:
    steps = [Schedule.preset(effort, **KODAK).steps for effort in range(1, 10)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("steps", [1, 2, 7, 37, 1000])
def test_steps_are_as_many_as_asked_for(steps: int) -> None:
    for pixels in (1, 100, 512 * 768, 10**8):
        schedule = Schedule.preset(pixels=pixels, weights=7479, steps=steps)
        assert schedule.steps == steps
        assert all(stage.steps > 0 for stage in schedule.stages + schedule.rounded_stages)


@pytest.mark.parametrize(
    ("pixels", "levels"), [(64 * 64, [0]), (768 * 512, [2, 1, 0]), (6000 * 4000, [5, 4, 3])]
)
def test_levels_follow_the_picture(pixels: int, levels: list[int]) -> None:
    stages = Schedule.preset(pixels=pixels, weights=7479).stages
    assert [stage.level for stage in stages] == levels


@pytest.mark.parametrize("effort", [0, 10])
def test_effort_outside_its_range(effort: int) -> None:
    with pytest.raises(UsageError, match="effort: expected 1 to 9"):
        Schedule.preset(effort, **KODAK)


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
def test_fit_on_a_gpu(pixels: Pixels) -> None:
    found = fit(
        pixels,
        architecture=SMALL,
        schedule=Schedule((Stage(0, 120),), (Stage(0, 40),)),
        device="cuda",
    )
    by_gpu = found.field.render(sampler=model.sampler(found.field, "cuda")).astype(int)
    assert np.abs(by_gpu - found.field.render()).max() <= 1
    assert found.quantised_psnr > 25


def _points(pixels: Pixels) -> loss.Points:
    height, width, channels = pixels.shape
    target = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    inputs = model.coordinates(width, height, width, height, "cpu")
    return loss.Points(inputs, target.reshape(channels, -1))
