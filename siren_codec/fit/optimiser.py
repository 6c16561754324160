"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["SOAP"]


class SOAP(torch.optim.Optimizer):
    """SOAP (Vyas et al. 2024, arXiv 2409.11321, algorithm 3) for a list of small matrices.

    Each gradient is rotated by the eigenvectors of the running averages of G G^T and G^T G, Adam
    is run there, and the step is rotated back. The eigenvectors are renewed every `frequency`
    steps by one power iteration and a QR decomposition (algorithm 4).
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        shampoo_beta: float = 0.98,
        frequency: int = 10,
        eps: float = 1e-3,
    ) -> None:
        super().__init__(
            parameters,
            {
                "lr": lr,
                "betas": betas,
                "shampoo_beta": shampoo_beta,
                "frequency": frequency,
                "eps": eps,
            },
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step along the gradients that the parameters hold."""
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                self._step_matrix(parameter, self.state[parameter], group)

    def _step_matrix(self, parameter: Tensor, state: dict[str, Any], group: dict[str, Any]) -> None:
        gradient = parameter.grad
        assert gradient is not None
        left, right = gradient @ gradient.T, gradient.T @ gradient
        if not state:
            state["step"] = 0
            state["mean"], state["square"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            state["left"], state["right"] = torch.zeros_like(left), torch.zeros_like(right)
            state["basis_left"], state["basis_right"] = _eigenvectors(left), _eigenvectors(right)
        state["step"] += 1
        beta1, beta2 = group["betas"]
        basis_left, basis_right = state["basis_left"], state["basis_right"]
        rotated = basis_left.T @ gradient @ basis_right
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].lerp_(rotated.square(), 1 - beta2)
        mean = basis_left.T @ state["mean"] @ basis_right / (1 - beta1 ** state["step"])
        root = (state["square"] / (1 - beta2 ** state["step"])).sqrt_()
        direction = (
            basis_left
            @ (mean / (root + group["eps"] * root.square().mean().sqrt()))
            @ basis_right.T
        )
        parameter.sub_(direction, alpha=group["lr"])
        state["left"].lerp_(left, 1 - group["shampoo_beta"])
        state["right"].lerp_(right, 1 - group["shampoo_beta"])
        if state["step"] % group["frequency"] == 0:
            _turn(state)


def _turn(state: dict[str, Any]) -> None:
    """Renew the eigenvectors, and carry the second moments over into the new basis.

    There the gradient's components are mixtures of the old ones, sum_k r_k g_k; if those are
    uncorrelated, as in the true eigenbasis, their second moments mix by r_k^2. Without this, a
    long memory of squares (beta2 = 0.999) goes with a basis that is no more, and steps explode.
    """
    old_left, old_right = state["basis_left"], state["basis_right"]
    new_left = torch.linalg.qr(state["left"] @ old_left)[0]
    new_right = torch.linalg.qr(state["right"] @ old_right)[0]
    mix_left, mix_right = (old_left.T @ new_left).square(), (old_right.T @ new_right).square()
    state["square"] = mix_left.T @ state["square"] @ mix_right
    state["basis_left"], state["basis_right"] = new_left, new_right


def _eigenvectors(matrix: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix.double())[1]
    return vectors.to(matrix.dtype)
