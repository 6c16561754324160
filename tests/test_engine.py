"""The engines of the fit: loss and gradients, by torch and by the compiled kernels."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from references import reference_bits
from small_fits import GRID, SMALL
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from siren_codec.errors import FitError
from siren_codec.field import Architecture, spline
from siren_codec.fit import lattice, start
from siren_codec.fit.engine import Engine, Grids, base, by_torch, choice, engine
from siren_codec.fit.engine.by_kernels import KernelEngine
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Model
from siren_codec.fit.rate import to_unit
from siren_codec.fit.samples import averaged
from siren_codec.fit.soap import Adam
from siren_codec.fit.state import State
from siren_codec.fit.step import Step
from siren_codec.fit.step_settings import StepSettings

DEFAULT = Architecture(3, 2, 32, 3.0, 10.0, (1, 1, 3, 3, 3, 3, 3), 24, 16)
COIN = Architecture(channels=3, hidden_layers=10, hidden_features=28)
NOW = StepSettings(1e-3, 2e-3, 3e-2, 0.2, 0.2)
WIDTH, HEIGHT = 24, 16


@pytest.fixture(params=["torch", "kernels"])
def computing(request: pytest.FixtureRequest) -> Iterator[Engine]:
    with engine("cpu", compiled=request.param == "kernels") as found:
        yield found


@dataclass
class Problem:
    """What an engine is given: networks, samples and real grids."""

    model: Model
    lattice: Lattice
    grids: Grids

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        width: int = WIDTH,
        height: int = HEIGHT,
        *,
        level: int = 0,
        price: float = 1e-3,
        weighted: bool = False,
        seed: int = 0,
        device: str = "cpu",
    ) -> "Problem":
        """Return random networks, samples and grids, moved away from where gradients vanish."""
        generator = torch.Generator().manual_seed(seed)
        matrices = [
            matrix.detach() + 0.1 * torch.randn(matrix.shape, generator=generator)
            if index >= len(architecture.shapes) - 1
            else matrix.detach()
            for index, matrix in enumerate(
                start.siren(architecture, seed=seed, device="cpu").matrices
            )
        ]
        samples = torch.rand(architecture.channels, height, width, generator=generator) * 2 - 1
        weights = torch.rand(samples.shape, generator=generator).round() if weighted else None
        latents = Latents.of_picture(architecture, width, height, "cpu")
        latents.flat.copy_(0.8 * torch.randn(latents.flat.shape, generator=generator))
        gradient = torch.full_like(latents.flat, 7.0)
        latents.flat = latents.flat.to(device)
        points = averaged(
            samples.to(device),
            level,
            levels=len(architecture.features),
            weights=None if weights is None else weights.to(device),
        )
        price = price if architecture.grids else 0.0
        return cls(
            Model(architecture, [matrix.to(device) for matrix in matrices]),
            points,
            Grids(
                latents,
                latents.flat,
                level if architecture.grids else 0,
                price,
                gradient.to(device),
            ),
        )

    def gradients(self, computing: Engine, *rest: Any) -> tuple[list[float], list[Tensor]]:
        """Return error and bits, and the gradients by all matrices and by the grids."""
        for matrix in self.model.matrices:
            matrix.grad = None
        assert self.grids.gradient is not None
        self.grids.gradient.fill_(7.0)
        found = computing.backward(self.model, self.lattice, self.grids, *rest).tolist()
        matrices = [m.grad.clone() for m in self.model.matrices if m.grad is not None]
        return found, [*matrices, self.grids.gradient.clone()]

    def step(self, computing: Engine) -> Step:
        """Return what takes steps of it."""
        state = State(
            self.model,
            self.grids.latents,
            pixels=1,
            betas=(0.9, 0.99),
            lambda_=to_unit(self.grids.price),
            noise=Noise(seed=3, device=computing.device),
        )
        return Step(state, computing)


# Against plain formulas over the whole picture


def _spline(pixels: Any, level: int, cells: int) -> Tensor:
    """Return the (points, cells) weights of sharpened splines; the outermost cells go on."""

    def cubic(away: Tensor) -> Tensor:
        near, far = away.abs(), (2 - away.abs()).clamp_min(0)
        return torch.where(near < 1, 2 / 3 - near**2 + near**3 / 2, far**3 / 6)

    away = torch.from_numpy((pixels + 0.5) / 2**level - 0.5)[:, None] - torch.arange(-3, cells + 3)
    beside = cubic(away - 1) + cubic(away + 1)
    weights = cubic(away) + spline._SHARPNESS * (2 * cubic(away) - beside)
    weights[:, 3] += weights[:, :3].sum(1)
    weights[:, -4] += weights[:, -3:].sum(1)
    return weights[:, 3:-3]


def _reference(problem: Problem) -> tuple[float, float, list[Tensor]]:
    """Return the mean squared error, the bits and the gradients of error + price * bits.

    In float64, without any tile or band.
    """
    architecture, points, grids = problem.model.architecture, problem.lattice, problem.grids
    matrices = [m.detach().double().requires_grad_() for m in problem.model.matrices]
    levels = [x.double().requires_grad_() for x in grids.latents.levels(grids.values)]
    x = (2 * torch.from_numpy(points.xs) + 1) / points.width - 1
    y = (2 * torch.from_numpy(points.ys) + 1) / points.height - 1
    planes = [x.expand(len(y), -1), y[:, None].expand(-1, len(x))]
    bits, index = torch.zeros((), dtype=torch.float64), 0
    depth, every = problem.model.depth, [grid for values in levels for grid in values]
    for level, values in enumerate(levels):
        for grid in values:
            taken = level >= grids.first_level
            down = _spline(points.ys, level, grid.shape[0])
            across = _spline(points.xs, level, grid.shape[1])
            planes.append(down @ grid @ across.T * taken)
            if taken and grids.price:
                bits = bits + reference_bits(every, index, matrices[depth:], architecture)
            index += 1
    inputs = hidden = torch.stack(planes).reshape(len(planes), -1)
    for matrix, omega in zip(matrices, architecture.omegas, strict=False):
        hidden = torch.sin(omega * (matrix[:, :-1] @ hidden + matrix[:, -1:]))
    if every:
        hidden = torch.cat([hidden, inputs / 8])
    outputs = matrices[depth - 1][:, :-1] @ hidden + matrices[depth - 1][:, -1:]
    assert points.target is not None
    squares = (outputs - points.target.reshape(len(outputs), -1)).square()
    if points.weights is not None:
        squares = squares * points.weights.reshape(squares.shape)
    error = squares.mean()
    found = torch.autograd.grad(
        error + grids.price * bits,
        [*matrices, *levels],
        allow_unused=True,
        materialize_grads=True,
    )
    flat = [g.reshape(-1) for g in found[len(matrices) :]]
    of_grids = torch.cat(flat) if flat else torch.zeros(0)
    # Levels that take no part are left as they are.
    of_grids[: grids.latents.starts[grids.first_level]] = 7.0
    moved = found[: len(matrices) if grids.price else depth]
    return float(error.detach()), float(bits.detach()), [*moved, of_grids]


def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut even a tiny picture into many tiles, strips and bands."""
    by_kernels = pytest.importorskip("siren_codec.fit.engine.by_kernels")
    monkeypatch.setattr(lattice, "_CPU_TILE", (5, 7))
    monkeypatch.setattr(by_torch, "_CPU_SYMBOLS", 20)
    monkeypatch.setattr(by_kernels, "_TILE", (5, 7))
    monkeypatch.setattr(by_kernels, "_SYMBOLS", 20)


def _assert_close(found: Sequence[Tensor], expected: Sequence[Tensor], share: float) -> None:
    """Hold each tensor to another one, within a share of its largest entry."""
    for ours, theirs in zip(found, expected, strict=True):
        if theirs.numel():
            most = share * float(theirs.abs().max()) + 1e-12
            assert float((ours.double() - theirs.double()).abs().max()) <= most


@pytest.mark.parametrize("small_parts", [False, True])
@pytest.mark.parametrize(
    ("architecture", "level", "price"),
    [
        *((SMALL, 0, 0.0), (SMALL, 1, 0.0)),
        *((GRID, 0, 1e-3), (GRID, 1, 1e-3), (GRID, 3, 1e-3), (GRID, 0, 0.0), (GRID, 3, 0.0)),
    ],
)
def test_gradients_agree_with_the_whole(
    computing: Engine,
    monkeypatch: pytest.MonkeyPatch,
    small_parts: bool,
    architecture: Architecture,
    level: int,
    price: float,
) -> None:
    """By all matrices and all grids, of error and rate together, on every stage's lattice."""
    if small_parts:
        _small_parts(monkeypatch)
    problem = Problem.of(architecture, level=level, price=price)
    (error, bits), gradients = problem.gradients(computing)
    wanted_error, wanted_bits, expected = _reference(problem)
    assert error == pytest.approx(wanted_error, rel=1e-5)
    assert bits == pytest.approx(wanted_bits, rel=1e-5)
    _assert_close(gradients, expected, 1e-4)
    again = computing.loss(problem.model, problem.lattice, problem.grids)
    assert again.error == pytest.approx(error, rel=1e-5)
    assert again.bits == pytest.approx(bits, rel=1e-5)
    assert again.objective == again.error + price * again.bits


@pytest.mark.parametrize("architecture", [SMALL, GRID])
def test_parts_that_take_turns_are_the_whole_in_the_mean(
    computing: Engine, monkeypatch: pytest.MonkeyPatch, architecture: Architecture
) -> None:
    """Weighed by their shares: loss, bits, and all gradients."""
    monkeypatch.setattr(lattice, "STRIPE", 4)
    problem = Problem.of(architecture, weighted=True, price=1e-3)
    wanted, expected = problem.gradients(computing)
    parts = problem.lattice.in_turn(3)
    assert len(parts) == 3
    found = [replace(problem, lattice=part).gradients(computing) for part in parts]
    shares = torch.tensor([part.share for part in parts])
    losses = (shares[:, None] * torch.tensor([loss for loss, _ in found])).sum(0)
    assert losses.tolist() == pytest.approx(wanted, rel=1e-5)
    gradients = [
        sum(share * tensor for share, tensor in zip(shares, tensors, strict=True))
        for tensors in zip(*(gradients for _, gradients in found), strict=True)
    ]
    _assert_close(gradients, expected, 1e-5)


def test_rounded_weights_are_what_the_loss_sees(computing: Engine) -> None:
    problem = Problem.of(GRID)
    model = problem.model
    exponents = [(-4, -3)] * len(model.matrices)
    rounded = Model(GRID, model.effective(exponents))
    for index, matrix in enumerate(rounded.matrices):
        for part, exponent in zip(rounded.parts(index), exponents[index], strict=True):
            assert torch.equal(matrix[:, part].detach() * 2**-exponent % 1, 0 * matrix[:, part])
    other = Problem(rounded, problem.lattice, problem.grids)
    found, gradients = problem.gradients(computing, exponents)
    wanted, expected = other.gradients(computing)
    assert found == wanted
    assert all(map(torch.equal, gradients, expected))
    points, grids = problem.lattice, problem.grids
    assert computing.loss(model, points, grids, exponents) == computing.loss(rounded, points, grids)


def test_some_tiles_stand_for_all(computing: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    _small_parts(monkeypatch)
    problem = Problem.of(GRID)
    everything = problem.model, problem.lattice, problem.grids
    whole, sample = computing.loss(*everything), computing.loss(*everything, tiles=5)
    assert sample.error == pytest.approx(whole.error, rel=0.3)
    assert sample.bits == pytest.approx(whole.bits, rel=0.1)
    assert sample != whole
    parts = [
        computing.loss(*everything, distortion=distortion, rate=not distortion)
        for distortion in (True, False)
    ]
    assert [parts[0].error, parts[1].bits] == [whole.error, whole.bits]
    assert [parts[0].bits, parts[1].error] == [0, 0]


def test_clipping_only_helps(computing: Engine) -> None:
    problem = Problem.of(GRID)
    with torch.no_grad():
        problem.model.matrices[problem.model.depth - 1] *= 10
    everything = problem.model, problem.lattice, problem.grids
    plain, clipped = (computing.loss(*everything, clip=clip) for clip in (False, True))
    assert clipped.error < plain.error
    assert clipped.bits == plain.bits


def test_what_is_not_finite_is_told_and_moves_nothing(computing: Engine) -> None:
    """Wherever it comes from; and it leaves nothing behind for the next evaluation."""
    problem = Problem.of(GRID)
    before = problem.gradients(computing)
    for index in (0, problem.model.depth):
        saved = problem.model.matrices[index].detach().clone()
        for bad in (np.nan, np.inf):
            with torch.no_grad():
                problem.model.matrices[index][0, 0] = bad
            (error, _), _ = problem.gradients(computing)
            if bad != 1e30 or index == 0:
                assert np.isnan(error)
                assert all(
                    (m.grad == 0).all() for m in problem.model.matrices if m.grad is not None
                )
            with torch.no_grad():
                problem.model.matrices[index].copy_(saved)
    after = problem.gradients(computing)
    assert after[0] == before[0]
    assert all(map(torch.equal, after[1], before[1]))


# Kernels against torch


def _both(problem: Problem) -> list[tuple[list[float], list[Tensor]]]:
    found = []
    for compiled in (False, True):
        with engine("cpu", compiled=compiled) as computing:
            found.append(problem.gradients(computing))
    return found


def _assert_alike(problem: Problem) -> None:
    """Hold the kernels' loss to torch's within 1e-6, and gradients within 1e-5 of the largest."""
    (expected, by_torch_), (found, by_kernels) = _both(problem)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-30)
    _assert_close(by_kernels, by_torch_, 1e-5)


@pytest.mark.parametrize(
    ("width", "height"),
    [(1, 1), (1, 2), (2, 1), (1, 131), (257, 1), (7, 5), (13, 67), (64, 33), (513, 3), (129, 130)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_kernels_do_what_torch_does_on_odd_sizes(width: int, height: int, weighted: bool) -> None:
    _assert_alike(Problem.of(DEFAULT, width, height, weighted=weighted, price=1e-5))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("level", range(7))
def test_kernels_do_what_torch_does_on_every_stage(channels: int, level: int) -> None:
    features = (1, 1) + (channels,) * 5
    architecture = Architecture(channels, 2, 32, 3.0, 10.0, features, 24, 16)
    _assert_alike(Problem.of(architecture, 67, 53, level=level, weighted=True, price=1e-5))


@pytest.mark.parametrize("seed", range(16))
def test_kernels_do_what_torch_does_for_any_network(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = tuple(int(n) for n in rng.integers(0, 4, rng.integers(0, 5)))
    architecture = Architecture(
        int(rng.integers(1, 5)),
        int(rng.integers(1, 6)),
        int(rng.integers(1, 40)),
        first_omega_0=float(rng.uniform(1, 10)),
        omega_0=float(rng.uniform(5, 30)),
        features=features if sum(features) else (),
        neighbours=int(rng.integers(1, 25)) if sum(features) else 0,
        context_features=int(rng.integers(1, 30)) if sum(features) else 0,
    )
    width, height = rng.integers(1, 90, 2)
    _assert_alike(Problem.of(architecture, int(width), int(height), seed=seed, price=1e-4))


def test_kernels_do_what_torch_does_for_a_deep_network() -> None:
    _assert_alike(Problem.of(COIN, 53, 41))


def test_kernels_are_as_exact_as_torch_where_arguments_are_in_the_hundreds() -> None:
    """There float32 itself is no more exact than 1e-5: both are held to float64."""
    problem = Problem.of(COIN, 53, 41)
    with torch.no_grad():
        problem.model.matrices[0] *= 10
    error, _, expected = _reference(problem)
    (by_torch_, others), (by_kernels, gradients) = _both(problem)
    assert abs(by_kernels[0] - error) <= 2 * abs(by_torch_[0] - error) + 1e-6 * error
    for ours, theirs, exact in zip(gradients, others, expected, strict=True):
        if exact.numel():
            off, usual = ((x.double() - exact).abs().max() for x in (ours, theirs))
            assert off <= 2 * usual + 1e-5 * exact.abs().max()


def test_kernels_do_what_torch_does_in_small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    _small_parts(monkeypatch)
    _assert_alike(Problem.of(GRID, 37, 29, weighted=True))


@pytest.mark.parametrize("level", [0, 2])
@pytest.mark.parametrize("architecture", [GRID, SMALL, DEFAULT])
def test_nothing_is_left_in_a_thread_s_scratch(
    monkeypatch: pytest.MonkeyPatch, architecture: Architecture, level: int
) -> None:
    """Whatever it holds, results are the same: which thread takes what is chance."""
    found = []
    for value in (0.0, 1e3, np.nan):
        monkeypatch.setattr(
            KernelEngine,
            "scratch",
            lambda _, size, value=value: np.full(size, value, np.float32),
        )
        problem = Problem.of(architecture, 45, 35, level=level)
        with engine("cpu") as computing:
            loss = computing.loss(problem.model, problem.lattice, problem.grids)
            found.append((loss, *problem.gradients(computing)))
    for loss, values, gradients in found[1:]:
        assert (loss, values) == found[0][:2]
        assert all(map(torch.equal, gradients, found[0][2]))


def test_soft_rounding_is_the_same() -> None:
    found = []
    for compiled in (False, True):
        problem = Problem.of(DEFAULT, 300, 201)
        latents = problem.grids.latents
        noise = Noise(seed=1, device="cpu")
        noise.next(len(latents.chunks(1)))
        soft, slope = torch.full_like(latents.flat, 9.0), torch.full_like(latents.flat, 9.0)
        with engine("cpu", compiled=compiled) as computing:
            computing.soften(latents, noise, computing.prepared(NOW), 1, soft, slope)
        assert (soft[: latents.starts[1]] == 9).all()
        found.append((soft, slope))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)


def test_adam_is_the_same() -> None:
    found = []
    for compiled in (False, True):
        generator = torch.Generator().manual_seed(0)
        tensors = [torch.randn(n, generator=generator) for n in (5, 1000, 33)]
        adam = Adam(tensors)
        with engine("cpu", compiled=compiled) as computing:
            for step in range(4):
                gradients = [torch.randn(t.shape, generator=generator) for t in tensors]
                slopes = [torch.rand(t.shape, generator=generator) for t in tensors]
                last = 0 if step else 1
                settings = computing.prepared(NOW)
                computing.move(adam, gradients[last:], slopes[last:], settings)
        found.append([*tensors, *adam.state().values()])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_steps_of_both_engines_come_to_the_same() -> None:
    losses = []
    for compiled in (False, True):
        problem = Problem.of(GRID, 40, 30)
        with engine("cpu", compiled=compiled) as computing:
            step = problem.step(computing)
            losses.append([step(problem.lattice, NOW).objective for _ in range(10)])
    assert losses[1][:2] == pytest.approx(losses[0][:2], rel=2e-6)
    # Each step carries on what the one before was rounded to, as each processor does it.
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert losses[0][-1] < losses[0][0] * 0.9


@pytest.mark.parametrize("architecture", [DEFAULT, COIN])
def test_a_sum_does_not_depend_on_the_number_of_threads(
    monkeypatch: pytest.MonkeyPatch, architecture: Architecture
) -> None:
    _small_parts(monkeypatch)
    found = []
    for threads in (1, 2, 4):
        monkeypatch.setattr(choice, "available_cores", lambda count=threads: count)
        problem = Problem.of(architecture, 61, 47)
        with engine("cpu") as computing:
            step = problem.step(computing)
            losses = [step(problem.lattice, NOW) for _ in range(3)]
        found.append((losses, [m.detach() for m in problem.model.matrices], problem.grids.values))
    for losses, matrices, grids in found[1:]:
        assert losses == found[0][0]
        assert all(map(torch.equal, matrices, found[0][1]))
        assert torch.equal(grids, found[0][2])


# Threads


def test_results_are_taken_in_order_however_long_parts_take(
    computing: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With more parts than may wait for their turn, the first of which takes the longest."""
    monkeypatch.setattr(base, "_AHEAD", 3)

    def part(index: int) -> int:
        time.sleep(0.05 if index == 0 else 0.0005 * (index % 3))
        return index

    assert computing.map(part, range(100)) == list(range(100))
    assert computing.map(part, []) == []


def test_a_part_that_fails_ends_the_others(computing: Engine) -> None:
    done: list[int] = []

    def part(index: int) -> int:
        if index == 7:
            raise ValueError("the seventh")
        time.sleep(0.05 if index == 6 else 0.001)
        done.append(index)
        return index

    # Which of two threads is the one that fails is chance.
    for _ in range(6):
        done.clear()
        with pytest.raises(ValueError, match="the seventh"):
            computing.map(part, range(1000))
        count = len(done)
        assert count < 100
        time.sleep(0.1)
        assert len(done) == count, "a thread went on"
    assert computing.map(lambda index: index, range(5)) == list(range(5))


# What is read back


class _Reads(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts what a program reads of tensors, as a GPU would have to wait for."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> object:
        self.count += func in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.equal.default,
            torch.ops.aten.nonzero.default,
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("architecture", [GRID, SMALL])
def test_a_step_reads_nothing_back_but_its_loss(architecture: Architecture) -> None:
    """By torch, as on a GPU; the steps that find eigenvectors are the tenth and the first."""
    problem = Problem.of(architecture)
    # On this thread alone, for the counting is a thread's own.
    step = problem.step(by_torch.TorchEngine("cpu"))
    step(problem.lattice, NOW)
    with _Reads() as reads:
        found = step.take(problem.lattice, step.prepare(NOW))
        assert reads.count == 0
    assert step.loss(found).error > 0


# Memory


def test_tiles_are_halved_where_memory_runs_out(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem.of(SMALL, 64, 48)
    differentiate, seen = by_torch._differentiate, []

    def short(loss: Tensor, matrices: Sequence[Tensor], inputs: Sequence[Tensor]) -> Any:
        seen.append(inputs[0].shape[1])
        if inputs[0].shape[1] > 1000:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return differentiate(loss, matrices, inputs)

    with engine("cpu", compiled=False) as computing:
        expected, gradients = problem.gradients(computing)
    monkeypatch.setattr(by_torch, "_differentiate", short)
    with engine("cpu", compiled=False) as computing:
        found, halved = problem.gradients(computing)
        assert max(seen) > 1000
        seen.clear()
        problem.gradients(computing)
    assert max(seen) <= 1000
    assert found == pytest.approx(expected, rel=1e-6)
    _assert_close(halved, gradients, 1e-5)


def test_there_is_an_end_to_halving(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_: object) -> None:
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(by_torch, "_differentiate", short)
    problem = Problem.of(SMALL, 64, 48)
    with (
        engine("cpu", compiled=False) as computing,
        pytest.raises(torch.OutOfMemoryError, match="no room"),
    ):
        problem.gradients(computing)


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert by_torch.is_of_memory(MemoryError())
    assert by_torch.is_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory"))
    assert not by_torch.is_of_memory(RuntimeError("size mismatch"))
    assert not by_torch.is_of_memory(FitError("the loss is not finite"))


# On a GPU


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("architecture", [GRID, SMALL])
def test_gradients_on_a_gpu_are_those_of_the_cpu(architecture: Architecture) -> None:
    found = []
    for device in ("cpu", "cuda"):
        with engine(device) as computing:
            found.append(Problem.of(architecture, device=device).gradients(computing))
    (on_cpu, expected), (on_gpu, gradients) = found
    assert on_gpu == pytest.approx(on_cpu, rel=1e-4)
    _assert_close([g.cpu() for g in gradients], expected, 1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_a_step_is_captured_as_a_graph() -> None:
    problem = Problem.of(GRID, device="cuda")
    with engine("cuda") as computing:
        step = problem.step(computing)
        for _ in range(3):
            step(problem.lattice, NOW)
        settings, graph = step.prepare(NOW), torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            found = step.take(problem.lattice, settings)
        before = step.loss(found).objective
        for _ in range(3):
            graph.replay()
        assert step.loss(found).objective < before
