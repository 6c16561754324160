"""SOAP and Adam."""

from typing import Any

import pytest
import torch

from siren_codec.fit.soap import SOAP, Adam


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
        adam.step([value.grad for value in theirs if value.grad is not None], 0.1)
        other.step()
    for mine, value in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, value.detach())


def test_adam_s_tensors_count_their_own_steps() -> None:
    still, moving = torch.ones(3), torch.ones(3)
    adam = Adam([still, moving])
    for _ in range(3):
        adam.move(1, torch.ones(3), 0.1)
    assert torch.equal(still, torch.ones(3))
    assert (moving < 1).all()
    # Its moments begin with its first step: a full one.
    adam.move(0, torch.full((3,), 5.0), 0.1)
    torch.testing.assert_close(still, torch.full((3,), 0.9))


@pytest.mark.parametrize("kind", [SOAP, Adam])
def test_a_rate_may_be_a_tensor_and_a_state_is_taken_back(kind: type[SOAP | Adam]) -> None:
    """Three steps, of which the last two are taken by another one that has the first's state."""

    def run(optimiser: SOAP | Adam, parameter: torch.Tensor, steps: range, rate: Any) -> None:
        for step in steps:
            gradient = torch.sin(torch.arange(12.0) + step).view(3, 4)
            parameter.grad = gradient
            if isinstance(optimiser, SOAP):
                optimiser.step(rate)
            else:
                optimiser.step([gradient], rate)

    whole, parted = torch.ones(3, 4), torch.ones(3, 4)
    run(kind([whole]), whole, range(12), 0.1)
    first, second = kind([parted]), kind([parted])
    run(first, parted, range(9), torch.tensor(0.1))
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    run(second, parted, range(9, 12), torch.tensor(0.1))
    torch.testing.assert_close(parted, whole)
