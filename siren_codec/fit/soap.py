"""Adam, and SOAP: Adam in the eigenbasis of Shampoo's preconditioner.

Neither is a `torch.optim.Optimizer`: to make one imports torch._dynamo, which takes seconds.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["SOAP", "Adam"]


class Adam:
    """Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1) for a list of tensors.

    Each tensor counts its own steps: some may begin later than others.
    """

    def __init__(
        self, parameters: Sequence[Tensor], *, betas: tuple[float, float] = (0.9, 0.999)
    ) -> None:
        self.parameters = parameters
        self.betas = betas
        self.forget()

    def forget(self) -> None:
        """Forget all moments, as after a step that was taken back."""
        self._means = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self.parameters]
        self._steps = _zeros(self.parameters, len(self.parameters))

    def state(self) -> dict[str, Tensor]:
        """Return everything that is remembered, by name."""
        return {
            "steps": self._steps,
            **{f"mean{index}": tensor for index, tensor in enumerate(self._means)},
            **{f"square{index}": tensor for index, tensor in enumerate(self._squares)},
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self._steps = state["steps"]
        self._means = [state[f"mean{index}"] for index in range(len(self._means))]
        self._squares = [state[f"square{index}"] for index in range(len(self._squares))]

    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Let the moments be those of gradients so many times as large."""
        for mean, square in zip(self._means, self._squares, strict=True):
            mean *= factor
            square *= factor**2

    def step(self, gradients: Sequence[Tensor], rate: float | Tensor) -> None:
        """Take one step along the gradients of all tensors."""
        for index, gradient in enumerate(gradients):
            self.move(index, gradient, rate)

    @torch.no_grad()
    def move(self, index: int, gradient: Tensor, rate: float | Tensor) -> None:
        """Take one step of one tensor. The rate may be a tensor, so that nothing is read back."""
        beta1, beta2 = self.betas
        self._steps[index] += 1
        count, (mean, square) = self._steps[index], self.moments(index)
        mean.lerp_(gradient, 1 - beta1)
        square.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        root = (square / (1 - beta2**count)).sqrt_().add_(_TINY)
        self.parameters[index].sub_(mean / root * (rate / (1 - beta1**count)))

    def advance(self, index: int) -> tuple[float, float]:
        """Count a step of one tensor, that is taken elsewhere; return what corrects its moments."""
        self._steps[index] += 1
        count = int(self._steps[index])
        beta1, beta2 = self.betas
        return 1 - beta1**count, 1 - beta2**count

    def moments(self, index: int) -> tuple[Tensor, Tensor]:
        """Return the running means of a tensor's gradients and of their squares."""
        return self._means[index], self._squares[index]


class SOAP:
    """SOAP (Vyas et al. 2024, arXiv 2409.11321, algorithm 3) for a list of small matrices.

    Each gradient is rotated by the eigenvectors of the running averages of G G^T and G^T G, Adam
    is run there, and the step is rotated back. The eigenvectors are renewed every `frequency`
    steps by one power iteration and a QR decomposition (algorithm 4). Directions in which the
    gradient is less than `floor` of its average are not scaled up to full steps.
    """

    def __init__(
        self,
        parameters: Sequence[Tensor],
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        shampoo_beta: float = 0.98,
        frequency: int = 10,
        floor: float = 1e-3,
    ) -> None:
        self.parameters = parameters
        self.betas = betas
        self.shampoo_beta = shampoo_beta
        self.frequency = frequency
        self.floor = floor
        self._states: list[_State] = []
        self.forget()

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor) -> None:
        """Take one step along the gradients that the parameters hold.

        The rate may be a tensor: nothing is read back but when eigenvectors are found.
        """
        gradients = [parameter.grad for parameter in self.parameters]
        if not self._states:
            self._states = [_State(gradient) for gradient in gradients if gradient is not None]
        self._taken += 1
        self._steps += 1
        for parameter, gradient, state in zip(
            self.parameters, gradients, self._states, strict=True
        ):
            assert gradient is not None
            parameter.sub_(self._direction(gradient, state) * learning_rate)
            state.average(gradient, 1 - self.shampoo_beta)
            if self._taken % self.frequency == 0:
                state.turn()

    def forget(self) -> None:
        """Forget all moments and averages, as after a step that was taken back."""
        self._taken = 0
        self._steps = _zeros(self.parameters)
        self._states = []

    def state(self) -> dict[str, Tensor]:
        """Return everything that is remembered, by name."""
        return {
            "steps": self._steps,
            **{
                f"{name}{i}": t
                for i, state in enumerate(self._states)
                for name, t in vars(state).items()
            },
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self._steps = state["steps"]
        self._taken = int(self._steps)
        self._states = [
            _State.of({name: state[f"{name}{index}"] for name in _REMEMBERED})
            for index in range(len(self.parameters))
            if f"mean{index}" in state
        ]

    def _direction(self, gradient: Tensor, state: "_State") -> Tensor:
        """Return Adam's direction in the eigenbasis, rotated back."""
        beta1, beta2 = self.betas
        state.mean.lerp_(gradient, 1 - beta1)
        state.square.lerp_(state.rotate(gradient).square(), 1 - beta2)
        mean = state.rotate(state.mean) / (1 - beta1**self._steps)
        root = (state.square / (1 - beta2**self._steps)).sqrt_()
        scaled = mean / (root + self.floor * root.square().mean().sqrt() + _TINY)
        return state.basis_left @ scaled @ state.basis_right.T


_REMEMBERED = ("mean", "square", "left", "right", "basis_left", "basis_right")
_TINY = 1e-15
"""Keeps a gradient of zeros from a division by zero."""


class _State:
    """What SOAP remembers of one matrix: moments, covariances and their eigenvectors."""

    def __init__(self, gradient: Tensor) -> None:
        left, right = gradient @ gradient.T, gradient.T @ gradient
        self.mean, self.square = torch.zeros_like(gradient), torch.zeros_like(gradient)
        self.left, self.right = torch.zeros_like(left), torch.zeros_like(right)
        self.basis_left, self.basis_right = _eigenvectors(left), _eigenvectors(right)

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> "_State":
        """Return what `vars` gave of another one."""
        found = cls.__new__(cls)
        vars(found).update(tensors)
        return found

    def rotate(self, matrix: Tensor) -> Tensor:
        """Return a matrix in the eigenbasis."""
        return self.basis_left.T @ matrix @ self.basis_right

    def average(self, gradient: Tensor, share: float) -> None:
        """Take a gradient into the running averages of G G^T and G^T G."""
        self.left.lerp_(gradient @ gradient.T, share)
        self.right.lerp_(gradient.T @ gradient, share)

    def turn(self) -> None:
        """Renew the eigenvectors, and carry the second moments over into the new basis.

        There the gradient's components are mixtures of the old ones, sum_k r_k g_k; if those are
        uncorrelated, as in the true eigenbasis, their second moments mix by r_k^2. Without this a
        long memory of squares (beta2 = 0.999) goes with a basis that is no more.
        """
        new_left = torch.linalg.qr(self.left @ self.basis_left)[0]
        new_right = torch.linalg.qr(self.right @ self.basis_right)[0]
        mix_left = (self.basis_left.T @ new_left).square()
        mix_right = (self.basis_right.T @ new_right).square()
        self.square = mix_left.T @ self.square @ mix_right
        self.basis_left, self.basis_right = new_left, new_right


def _zeros(tensors: Sequence[Tensor], *shape: int) -> Tensor:
    """Return zeros for counting, on the device of tensors."""
    device = tensors[0].device if tensors else "cpu"
    return torch.zeros(shape, dtype=torch.float64, device=device)


def _eigenvectors(matrix: Tensor) -> Tensor:
    vectors: Tensor = torch.linalg.eigh(matrix.double())[1]
    return vectors.to(matrix.dtype)
