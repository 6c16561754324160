"""The fit: initialisation, optimiser, quantisation, the loop and its accidents."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from test_context import reference_bits
from torch import Tensor

from siren_codec import stream
from siren_codec.encoding import Encoded, encode_picture
from siren_codec.errors import FitError, UsageError
from siren_codec.field import Architecture, Field, kernel
from siren_codec.fit import (
    Control,
    Progress,
    Schedule,
    Stage,
    choose_device,
    fit,
    lattice,
    loss,
    model,
    start,
)
from siren_codec.fit.latents import Latents
from siren_codec.fit.lattice import Lattice, averaged
from siren_codec.fit.loss import Grids, Loss
from siren_codec.fit.model import Model
from siren_codec.fit.optimiser import SOAP, Adam
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.rate import coordinate_lambda, quality_lambda
from siren_codec.image import Picture
from siren_codec.options import Options
from siren_codec.stream.latents import cost as latents_cost
from siren_codec.stream.latents import is_exact
from siren_codec.stream.weights import cost

Pixels = npt.NDArray[np.uint8]

SMALL = Architecture(channels=3, hidden_layers=2, hidden_features=16)
GRID = Architecture(3, 2, 16, 3.0, 30.0, (1, 1, 0, 3), neighbours=12, context_features=8)
QUICK = Schedule((Stage(1, 20), Stage(0, 20)), (Stage(0, 10),))
QUICK_GRID = replace(QUICK, lambda_=1e-3, learning_rate=1e-2, betas=(0.9, 0.99))
BOTH = pytest.mark.parametrize(
    ("architecture", "schedule"), [(SMALL, QUICK), (GRID, QUICK_GRID)], ids=["coordinate", "grid"]
)


@pytest.fixture
def pixels() -> Pixels:
    """A smooth 24 x 16 colour picture."""
    y, x = np.mgrid[:16, :24]
    waves = [np.sin(x / 5), np.cos(y / 4), np.sin((x + y) / 6)]
    return np.rint(127.5 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


def test_siren_starts_as_its_paper_says() -> None:
    architecture = Architecture(3, 3, 64, first_omega_0=30.0, omega_0=20.0)
    matrices = start.siren(architecture, seed=1, device="cpu").matrices
    layers = [matrix.detach().numpy() for matrix in matrices]
    bounds = [1 / 2, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20, math.sqrt(6 / 64) / 20]
    for layer, bound in zip(layers, bounds, strict=True):
        assert 0.9 * bound < np.abs(layer[:, :-1]).max() <= bound
    assert [layer.shape for layer in layers] == [(64, 3), (64, 65), (64, 65), (3, 65)]


def test_a_context_network_starts_as_a_laplace_of_scale_1() -> None:
    """Its biases are 0, one for each grid in the first matrix, and its outputs nearly so."""
    found = start.siren(GRID, seed=1, device="cpu")
    first, second, last = (matrix.detach() for matrix in found.matrices[found.depth :])
    assert [tuple(matrix.shape) for matrix in (first, second, last)] == [(8, 17), (8, 9), (2, 9)]
    for matrix, n_in, share in ((first, 12, 1), (second, 8, 1), (last, 8, 0.1)):
        bound = share * math.sqrt(6 / n_in)
        assert 0.8 * bound < matrix[:, :n_in].abs().max() <= bound
        assert matrix[:, n_in:].abs().max() == 0


@BOTH
def test_model_is_the_twin_of_field(
    pixels: Pixels, architecture: Architecture, schedule: Schedule
) -> None:
    field = fit(pixels, architecture=architecture, schedule=schedule).field
    rendered = field.render(scale=1.5).astype(int)
    by_torch = field.render(scale=1.5, sampler=model.sampler(field, "cpu")).astype(int)
    assert np.abs(rendered - by_torch).max() <= 1


# The loss and its gradients, against plain formulas over the whole picture


def _spline(pixels: npt.NDArray[np.float64], level: int, cells: int) -> Tensor:
    """Return the (points, cells) weights of sharpened splines; the outermost cells go on."""

    def cubic(away: Tensor) -> Tensor:
        near, far = away.abs(), (2 - away.abs()).clamp_min(0)
        return torch.where(near < 1, 2 / 3 - near**2 + near**3 / 2, far**3 / 6)

    away = torch.from_numpy((pixels + 0.5) / 2**level - 0.5)[:, None] - torch.arange(-3, cells + 3)
    beside = cubic(away - 1) + cubic(away + 1)
    weights = cubic(away) + kernel._SHARPNESS * (2 * cubic(away) - beside)
    weights[:, 3] += weights[:, :3].sum(1)
    weights[:, -4] += weights[:, -3:].sum(1)
    return weights[:, 3:-3]


def _reference_loss(
    architecture: Architecture,
    matrices: Sequence[Tensor],
    points: Lattice,
    levels: Sequence[Tensor] = (),
    first_level: int = 0,
) -> tuple[Tensor, Tensor]:
    """Return the mean squared error and the bits, in float64 and without any tile or band."""
    x = (2 * torch.from_numpy(points.xs) + 1) / points.width - 1
    y = (2 * torch.from_numpy(points.ys) + 1) / points.height - 1
    planes = [x.expand(len(y), -1), y[:, None].expand(-1, len(x))]
    bits, index = torch.zeros((), dtype=torch.float64), 0
    depth = len(architecture.shapes)
    for level, grids in enumerate(levels):
        for grid in grids:
            taken = level >= first_level
            down = _spline(points.ys, level, grid.shape[0])
            across = _spline(points.xs, level, grid.shape[1])
            planes.append(down @ grid @ across.T * taken)
            if taken:
                bits = bits + reference_bits(grid, matrices[depth:], index, architecture.neighbours)
            index += 1
    hidden = torch.stack(planes).reshape(len(planes), -1)
    for matrix, omega in zip(matrices, architecture.omegas, strict=False):
        hidden = torch.sin(omega * (matrix[:, :-1] @ hidden + matrix[:, -1:]))
    outputs = matrices[depth - 1][:, :-1] @ hidden + matrices[depth - 1][:, -1:]
    assert points.target is not None
    return (outputs - points.target.reshape(len(outputs), -1)).square().mean(), bits


def _double(tensors: Sequence[Tensor]) -> list[Tensor]:
    return [tensor.detach().double().requires_grad_() for tensor in tensors]


def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even a tiny picture into many tiles and bands."""
    monkeypatch.setattr(lattice, "_CPU_TILE", (5, 7))
    monkeypatch.setattr(loss, "_CPU_SYMBOLS", 20)


PARTS = pytest.mark.parametrize("small_parts", [False, True])


@PARTS
def test_gradients_agree_with_a_whole_batch(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch, small_parts: bool
) -> None:
    """The numpy sine, the tiles and the threads change nothing but rounding."""
    if small_parts:
        _small_parts(monkeypatch)
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)
    matrices = _double(network.matrices)
    error, _ = _reference_loss(SMALL, matrices, points)
    expected = torch.autograd.grad(error, matrices)
    with loss.worker("cpu") as work:
        found = work.backward(network, points)
        again = work.loss(network, points)
    assert found.error == pytest.approx(float(error.detach()), rel=1e-5)
    assert again.error == pytest.approx(found.error, rel=1e-5)
    assert found == Loss(found.error, bits=0.0, price=0.0)
    _assert_gradients(network, expected)


@PARTS
@pytest.mark.parametrize("level", [0, 1, 3])
@pytest.mark.parametrize("price", [0.0, 1e-3])
def test_gradients_of_grids_agree_with_the_whole(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch, small_parts: bool, level: int, price: float
) -> None:
    """By all matrices and all grids, of error and rate together, on every stage's lattice."""
    if small_parts:
        _small_parts(monkeypatch)
    network, points = _grid_model(), _points(pixels, level)
    levels = _levels(points)
    gradients = [torch.full_like(grids, 7.0) for grids in levels]
    with loss.worker("cpu") as work:
        grids = Grids(levels, level, price, gradients)
        found = work.backward(network, points, grids)
        again = work.loss(network, points, grids)
    matrices, doubles = _double(network.matrices), _double(levels)
    error, bits = _reference_loss(GRID, matrices, points, doubles, level)
    assert found.error == pytest.approx(float(error.detach()), rel=1e-5)
    assert found.bits == pytest.approx(float(bits.detach()) if price else 0.0, rel=1e-4)
    assert found.objective == found.error + price * found.bits
    assert again.objective == pytest.approx(found.objective, rel=1e-5)
    objective = error + price * bits
    expected = torch.autograd.grad(
        objective, [*matrices, *doubles], allow_unused=True, materialize_grads=True
    )
    moved = matrices if price else matrices[: network.depth]
    _assert_gradients(network, expected[: len(moved)])
    for index, (gradient, wanted) in enumerate(
        zip(gradients, expected[len(matrices) :], strict=True)
    ):
        if index < level:
            # Levels that take no part are left as they are.
            assert (gradient == 7).all()
        else:
            torch.testing.assert_close(gradient.double(), wanted, rtol=1e-3, atol=1e-6)


def test_rounded_weights_are_what_the_loss_sees(pixels: Pixels) -> None:
    network, points = _grid_model(), _points(pixels)
    levels = [grids.round() for grids in _levels(points)]
    exponents = [(-4, -3)] * len(network.matrices)
    rounded = Model(GRID, network.effective(exponents))
    for index, matrix in enumerate(rounded.matrices):
        for part, exponent in zip(rounded.parts(index), exponents[index], strict=True):
            assert torch.equal(matrix[:, part].detach() * 2**-exponent % 1, 0 * matrix[:, part])
    with loss.worker("cpu") as work:
        grids = Grids(levels, 0, 1e-3)
        assert work.backward(network, points, grids, exponents) == work.backward(
            rounded, points, grids
        )
        assert work.loss(network, points, grids, exponents) == work.loss(rounded, points, grids)
    for matrix, other in zip(network.matrices, rounded.matrices, strict=True):
        assert matrix.grad is not None
        assert other.grad is not None
        assert torch.equal(matrix.grad, other.grad)


def test_a_stride_stands_for_all_parts(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_parts(monkeypatch)
    network, points = _grid_model(), _points(pixels)
    grids = Grids(_levels(points), 0, 1e-3)
    with loss.worker("cpu") as work:
        whole = work.loss(network, points, grids)
        sample = work.loss(network, points, grids, stride=3)
    assert sample.error == pytest.approx(whole.error, rel=0.3)
    assert sample.bits == pytest.approx(whole.bits, rel=0.1)


def test_clipping_only_helps(pixels: Pixels) -> None:
    network, points = _grid_model(), _points(pixels)
    with torch.no_grad():
        network.matrices[network.depth - 1] *= 10
    grids = Grids(_levels(points), 0, 1e-3)
    with loss.worker("cpu") as work:
        plain, clipped = (work.loss(network, points, grids, clip=clip) for clip in (False, True))
    assert clipped.error < plain.error
    assert clipped.bits == plain.bits


# The optimisers


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


def test_adam_is_torchs() -> None:
    generator = torch.Generator().manual_seed(0)
    values = [torch.randn(5, generator=generator) for _ in range(2)]
    ours = [value.clone() for value in values]
    theirs = [value.clone().requires_grad_() for value in values]
    adam, other = Adam(ours), torch.optim.Adam(theirs, lr=0.1, eps=1e-15)
    for _ in range(5):
        for value in theirs:
            value.grad = torch.randn(5, generator=generator)
        adam.step([value.grad for value in theirs if value.grad is not None], [0.1, 0.1])
        other.step()
    for mine, value in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, value.detach())


def test_adam_leaves_alone_what_has_no_rate() -> None:
    still, moving = torch.ones(3), torch.ones(3)
    adam = Adam([still, moving])
    for _ in range(3):
        adam.step([torch.ones(3), torch.ones(3)], [0.0, 0.1])
    assert torch.equal(still, torch.ones(3))
    assert (moving < 1).all()
    # Its moments begin with its first step: a full one.
    adam.step([torch.full((3,), 5.0), torch.ones(3)], [0.1, 0.1])
    torch.testing.assert_close(still, torch.full((3,), 0.9))


# Quantisation


def test_steps_trade_rate_for_distortion(pixels: Pixels) -> None:
    """A higher price of a bit gives coarser steps, and the search leaves the weights alone."""
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)

    def choose(lambda_: float) -> list[tuple[int, int]]:
        return choose_exponents(
            network, lambda _: work.loss(network, points).objective, lambda *_: lambda_
        )

    with loss.worker("cpu") as work:
        before = network.state()
        free, dear = choose(1e-12), choose(1e3)
    assert all(
        fine <= coarse
        for layers in zip(free, dear, strict=True)
        for fine, coarse in zip(*layers, strict=True)
    )
    assert sum(map(sum, dear)) > sum(map(sum, free)) + 3
    for matrix, saved in zip(network.matrices, before, strict=True):
        assert torch.equal(matrix, saved)


def test_steps_keep_within_the_bits_allowed(pixels: Pixels) -> None:
    network, points = start.siren(SMALL, seed=0, device="cpu"), _points(pixels)

    def spend(most_bits: float) -> float:
        with loss.worker("cpu") as work:
            exponents = choose_exponents(
                network,
                lambda _: work.loss(network, points).objective,
                lambda *_: 1e-12,
                most_bits,
            )
        layers = network.quantised(exponents)
        return sum(cost(layer.weight.values) + cost(layer.bias.values) for layer in layers)

    free = spend(math.inf)
    for share in (0.97, 0.92):
        assert 0.6 * share * free < spend(share * free) <= share * free


def test_lambda_is_a_price_in_proportion() -> None:
    assert coordinate_lambda(0.01, 1000.0) == pytest.approx(3.3e-6)


def test_lambda_falls_with_quality() -> None:
    assert quality_lambda(50) == pytest.approx(1e-3)
    assert quality_lambda(58) == pytest.approx(5e-4)
    prices = [quality_lambda(quality) for quality in range(1, 101)]
    assert prices == sorted(set(prices), reverse=True)


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
    neighbours = field.architecture.neighbours
    return [
        float(reference_bits(grid, matrices, index, neighbours)) for index, grid in enumerate(grids)
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
    assert all((progress.bpp > 0) == bool(architecture.grids) for progress in seen)


def _failing(monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], bool]) -> None:
    """Make the loss of some calls, counted from 0, not finite."""
    backward, calls = loss.Worker.backward, iter(range(10**6))

    def broken(self: loss.Worker, *args: object) -> Loss:
        found = backward(self, *args)  # type: ignore[arg-type]
        return replace(found, error=math.nan) if fails(next(calls)) else found

    monkeypatch.setattr(loss.Worker, "backward", broken)


@BOTH
def test_a_loss_that_is_not_finite_is_rolled_back(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch, architecture: Architecture, schedule: Schedule
) -> None:
    _failing(monkeypatch, lambda call: call in (5, 25, 30))
    found = fit(pixels, architecture=architecture, schedule=schedule)
    assert math.isfinite(found.quantised_psnr)
    assert found.quantised_psnr > 10


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

    def broken(*args: object) -> object:
        gradients = grad(*args)  # type: ignore[call-overload]
        if next(calls) in (0, 14, 30):
            gradients[which].view(-1)[0] = math.nan
        return gradients

    monkeypatch.setattr(torch.autograd, "grad", broken)
    found = fit(pixels, architecture=architecture, schedule=schedule)
    assert found.quantised_psnr > 10
    assert all((np.abs(grids) < 1000).all() for grids in found.field.latents)


@BOTH
def test_a_loss_that_stays_not_finite_is_an_error(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch, architecture: Architecture, schedule: Schedule
) -> None:
    _failing(monkeypatch, lambda call: call >= 10)
    with pytest.raises(FitError, match="not finite after 3 roll-backs"):
        fit(pixels, architecture=architecture, schedule=schedule)


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


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_gradients_on_a_gpu_are_those_of_the_cpu(pixels: Pixels) -> None:
    found = []
    for device in ("cpu", "cuda"):
        network, points = _grid_model(device), _points(pixels, device=device)
        levels = [grids.to(device) for grids in _levels(points)]
        gradients = [torch.zeros_like(grids) for grids in levels]
        with loss.worker(device) as work:
            got = work.backward(network, points, Grids(levels, 0, 1e-3, gradients))
        matrices = [matrix.grad for matrix in network.matrices if matrix.grad is not None]
        found.append((got, [part.cpu() for part in [*matrices, *gradients]]))
    (on_cpu, cpu_gradients), (on_gpu, gpu_gradients) = found
    assert on_gpu.error == pytest.approx(on_cpu.error, rel=1e-4)
    assert on_gpu.bits == pytest.approx(on_cpu.bits, rel=1e-4)
    for theirs, ours in zip(gpu_gradients, cpu_gradients, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-2, atol=1e-5)


def _points(pixels: Pixels, level: int = 0, *, device: str = "cpu") -> Lattice:
    """Return the lattice of a picture, averaged as a stage's."""
    samples = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1) / 127.5 - 1
    return averaged(samples.to(device), level, levels=len(GRID.features))


def _grid_model(device: str = "cpu") -> Model:
    """Return a GRID model whose context network predicts something."""
    network = start.siren(GRID, seed=0, device="cpu")
    generator = torch.Generator().manual_seed(0)
    moved = [
        matrix.detach()
        + (0.2 if index >= network.depth else 0.0) * torch.randn(matrix.shape, generator=generator)
        for index, matrix in enumerate(network.matrices)
    ]
    return Model(GRID, [matrix.to(device) for matrix in moved])


def _levels(points: Lattice) -> list[Tensor]:
    """Return random real grids of GRID, none of whose latents is beyond what bits tell apart."""
    grids = Latents(GRID, points.width, points.height, "cpu")
    grids.flat = 0.5 * torch.randn(grids.flat.shape, generator=torch.Generator().manual_seed(3))
    return grids.levels()


def _assert_gradients(network: Model, expected: Sequence[Tensor]) -> None:
    for matrix, gradient in zip(network.matrices, expected, strict=False):
        assert matrix.grad is not None
        torch.testing.assert_close(matrix.grad.double(), gradient, rtol=1e-3, atol=2e-6)
