"""Faults in the middle of a fit: losses that are no numbers, and memory that runs out."""

import math
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from small_fits import GRID, SMALL, Pixels, smooth_pixels
from torch import Tensor

from siren_codec import stream
from siren_codec.errors import FitError
from siren_codec.field import Architecture
from siren_codec.fit import Control, Fit, Schedule, Stage, fit, lattice
from siren_codec.fit.best import Best
from siren_codec.fit.engine import Engine, Loss, by_torch, is_of_memory
from siren_codec.fit.engine.by_kernels import KernelEngine
from siren_codec.fit.engine.by_torch import TorchEngine
from siren_codec.fit.soap import SOAP

SCHEDULE = Schedule((Stage(0, 6),), (Stage(0, 4),))
GRID_SCHEDULE = replace(SCHEDULE, lambda_=1e-3, learning_rate=1e-2, betas=(0.9, 0.99))
ARCHITECTURES = pytest.mark.parametrize(
    ("architecture", "schedule"),
    [(SMALL, SCHEDULE), (GRID, GRID_SCHEDULE)],
    ids=["coordinate", "grid"],
)
BY_TORCH = Control(compiled=False)
NO_NUMBERS = (math.nan, math.inf, -math.inf)


@pytest.fixture
def pixels() -> Pixels:
    """A smooth 24 x 16 colour picture."""
    return smooth_pixels()


def assert_sound(found: Fit) -> None:
    """Check that a fit's numbers are finite, and that its file is written, read and rendered."""
    assert math.isfinite(found.real_psnr)
    assert math.isfinite(found.quantised_psnr)
    assert all(np.isfinite(tensor.dequantise()).all() for tensor in found.field.tensors())
    again = stream.read(stream.write(found.field))
    np.testing.assert_array_equal(again.render(), found.field.render())
    assert np.isfinite(again.at(3, 4.5)).all()


# Losses that are no numbers


@dataclass
class Watch:
    """What a fit does: the damping of each step that counts, the state it goes back to."""

    steps: list[float] = field(default_factory=list)
    states: list[list[Tensor]] = field(default_factory=list)
    """The networks before each loss."""
    restored: list[list[Tensor]] = field(default_factory=list)
    """The networks after each roll-back."""


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    found = Watch()
    accepts, roll_back = Best.accepts, Best.roll_back

    def accepting(self: Best, error: float) -> bool:
        accepted = accepts(self, error)
        if accepted:
            found.steps.append(self.damping)
        return accepted

    def rolling(self: Best) -> None:
        roll_back(self)
        found.restored.append([tensor.clone() for tensor in self._tensors])

    monkeypatch.setattr(Best, "accepts", accepting)
    monkeypatch.setattr(Best, "roll_back", rolling)
    return found


def failing(
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    faults: dict[int, float],
    *,
    kind: type[Engine] = KernelEngine,
) -> None:
    """Give the losses of some calls, counted from 0, other errors."""
    backward, calls = kind.backward, iter(range(10**6))

    def broken(self: Engine, model: object, *rest: object) -> Tensor:
        watch.states.append(model.state())  # type: ignore[attr-defined]
        found = backward(self, model, *rest)  # type: ignore[arg-type]
        call = next(calls)
        if call not in faults:
            return found
        return torch.tensor([faults[call], float(found[1])], dtype=torch.float64)

    monkeypatch.setattr(kind, "backward", broken)


def same(left: list[torch.Tensor], right: list[torch.Tensor]) -> bool:
    return all(map(torch.equal, left, right))


@ARCHITECTURES
@pytest.mark.parametrize("fault", NO_NUMBERS)
def test_the_first_loss_of_all(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    architecture: Architecture,
    schedule: Schedule,
    fault: float,
) -> None:
    """Nothing is better yet than the first weights: with these the second step is taken."""
    failing(monkeypatch, watch, {0: fault})
    found = fit(pixels, architecture=architecture, schedule=schedule)
    assert_sound(found)
    assert same(watch.states[0], watch.states[1])
    assert not same(watch.states[1], watch.states[2])
    # Of ten steps one was lost; the stage of rounded weights begins anew.
    assert watch.steps == [0.5] * 5 + [1.0] * 4


@ARCHITECTURES
@pytest.mark.parametrize("fault", NO_NUMBERS)
def test_a_later_loss(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    architecture: Architecture,
    schedule: Schedule,
    fault: float,
) -> None:
    """The best weights before it are taken back, at half the rate, in either part of a fit."""
    failing(monkeypatch, watch, {3: fault, 8: fault})
    found = fit(pixels, architecture=architecture, schedule=schedule)
    assert_sound(found)
    assert len(watch.restored) == 2
    assert any(same(watch.restored[0], state) for state in watch.states[:3])
    assert any(same(watch.restored[1], state) for state in watch.states[6:8])
    assert watch.steps == [1.0] * 3 + [0.5] * 2 + [1.0] * 2 + [0.5]


@ARCHITECTURES
@pytest.mark.parametrize("first", [0, 2])
def test_three_roll_backs_and_no_more(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    architecture: Architecture,
    schedule: Schedule,
    first: int,
) -> None:
    three = dict.fromkeys(range(first, first + 3), math.nan)
    failing(monkeypatch, watch, three)
    assert_sound(fit(pixels, architecture=architecture, schedule=schedule))
    assert watch.steps[first : 6 - 3] == [0.125] * (3 - first)
    assert len(watch.restored) == 3
    assert same(watch.restored[0], watch.restored[2])
    monkeypatch.undo()

    failing(monkeypatch, Watch(), three | {first + 3: math.nan})
    with pytest.raises(FitError, match=r"^the loss is not finite after 3 roll-backs$"):
        fit(pixels, architecture=architecture, schedule=schedule)


@ARCHITECTURES
@pytest.mark.parametrize("last", [5, 9])
def test_weights_that_a_stage_s_last_step_makes_not_finite(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture,
    schedule: Schedule,
    last: int,
) -> None:
    """No loss of the stage sees them any more: they are taken back."""
    step, calls = SOAP.step, iter(range(10**6))

    def broken(self: SOAP, rate: float) -> None:
        step(self, rate)
        if next(calls) == last:
            for parameter in self.parameters:
                parameter.data.fill_(math.nan)

    monkeypatch.setattr(SOAP, "step", broken)
    assert_sound(fit(pixels, architecture=architecture, schedule=schedule))


@ARCHITECTURES
@pytest.mark.parametrize("size", [1e15, 1e25, 1e36])
def test_gradients_whose_squares_overflow(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture,
    schedule: Schedule,
    size: float,
) -> None:
    """Finite as they are: but the optimiser takes eigenvectors of what would be infinite."""
    grad, calls = torch.autograd.grad, iter(range(10**6))

    def broken(*args: object) -> object:
        gradients = grad(*args)  # type: ignore[call-overload]
        return tuple(x * size for x in gradients) if next(calls) in (0, 4) else gradients

    monkeypatch.setattr(torch.autograd, "grad", broken)
    found = fit(pixels, architecture=architecture, schedule=schedule, control=BY_TORCH)
    assert_sound(found)


# Memory that runs out


def of_torch() -> Exception:
    """Return what torch itself raises on a CPU."""
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8)
    return caught.value


FAULTS = {
    "torch on a CPU": of_torch(),
    "torch on a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "Python": MemoryError(),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_lack_of_memory_looks_like(name: str) -> None:
    assert is_of_memory(FAULTS[name])
    assert len(str(FAULTS[name]).splitlines()) <= 1


@pytest.fixture
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of 8 x 8 pixels, six of the picture, and so small that none is the least."""
    monkeypatch.setattr(lattice, "_CPU_TILE", (8, 8))
    monkeypatch.setattr(by_torch, "_LEAST_TILE", 8)


def running_out(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, *, call: int, part: int
) -> list[int]:
    """Let memory run out once: in a part of a call for gradients, both counted from 0.

    Return what will hold the number of tiles of each call.
    """
    grad, backward = torch.autograd.grad, TorchEngine._backward
    parts = iter(range(10**6))
    tiles: list[int] = []

    def out_of_memory(*args: object) -> object:
        if len(tiles) == call + 1 and next(parts) == part:
            raise fault
        return grad(*args)  # type: ignore[call-overload]

    def watched(self: TorchEngine, model: object, lattice: object, *rest: object) -> Tensor:
        tiles.append(len(lattice.tiles(self._tile)))  # type: ignore[attr-defined]
        return backward(self, model, lattice, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.autograd, "grad", out_of_memory)
    monkeypatch.setattr(TorchEngine, "_backward", watched)
    return tiles


@ARCHITECTURES
@pytest.mark.parametrize(
    ("name", "call", "part"),
    [("Python", 0, 3), ("torch on a GPU", 2, 2), ("torch on a CPU", 7, 0)],
    ids=["first step", "later", "rounded"],
)
@pytest.mark.usefixtures("small_tiles")
def test_a_fit_goes_on_with_half_the_tile(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    architecture: Architecture,
    schedule: Schedule,
    name: str,
    call: int,
    part: int,
) -> None:
    """The step is taken again, and nothing of the parts that were done counts twice."""
    with monkeypatch.context() as patch:
        tiles = running_out(patch, FAULTS[name], call=call, part=part)
        found = fit(pixels, architecture=architecture, schedule=schedule, control=BY_TORCH)
    # Where bits have a price, the loss of the weights' integers is looked at once more.
    last = int(architecture.grids > 0)
    assert tiles == [6] * (call + 1) + [12] * (10 + last - call)
    assert_sound(found)
    with monkeypatch.context() as patch:
        halving(patch, call)
        wanted = fit(pixels, architecture=architecture, schedule=schedule, control=BY_TORCH)
    assert stream.write(found.field) == stream.write(wanted.field)
    if call == 0 and not architecture.grids:
        # Sums of other parts are rounded otherwise, which a few steps of a SIREN magnify.
        whole = fit(pixels, architecture=architecture, schedule=schedule, control=BY_TORCH)
        assert found.quantised_psnr == pytest.approx(whole.quantised_psnr, abs=0.1)


def halving(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Halve the tiles before a call for gradients, counted from 0, without any fault."""
    backward, calls = TorchEngine._backward, iter(range(10**6))

    def halved(self: TorchEngine, *rest: object) -> Tensor:
        if next(calls) == at:
            assert self._tile is not None
            self._tile = self._tile[0] // 2, self._tile[1]
        return backward(self, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(TorchEngine, "_backward", halved)


@pytest.mark.parametrize("name", FAULTS)
def test_memory_that_runs_out_beside_the_gradients_is_one_line(
    pixels: Pixels, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def out_of_memory(*_: object, **__: object) -> Loss:
        raise FAULTS[name]

    monkeypatch.setattr(KernelEngine, "loss", out_of_memory)
    with pytest.raises(FitError, match=r"^cpu ran out of memory: ") as caught:
        fit(pixels, architecture=GRID, schedule=GRID_SCHEDULE, device="cpu")
    assert len(str(caught.value).splitlines()) == 1


def test_another_error_is_not_hidden(pixels: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    running_out(monkeypatch, RuntimeError("size mismatch"), call=2, part=0)
    with pytest.raises(RuntimeError, match="size mismatch"):
        fit(pixels, architecture=SMALL, schedule=SCHEDULE, control=BY_TORCH)


@ARCHITECTURES
@pytest.mark.usefixtures("small_tiles")
def test_both_faults_in_one_fit(
    pixels: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    watch: Watch,
    architecture: Architecture,
    schedule: Schedule,
) -> None:
    tiles = running_out(monkeypatch, MemoryError(), call=1, part=1)
    failing(monkeypatch, watch, {3: math.nan}, kind=TorchEngine)
    assert_sound(fit(pixels, architecture=architecture, schedule=schedule, control=BY_TORCH))
    assert tiles == [6] * 2 + [12] * (9 + int(architecture.grids > 0))
    assert watch.steps == [1.0] * 2 + [1.0] + [0.5] * 2 + [1.0] * 4
