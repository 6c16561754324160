"""The best state of a stage, and the way back to it."""

import math
from collections.abc import Mapping

from torch import Tensor

from siren_codec.errors import FitError
from siren_codec.fit.state import State

__all__ = ["Best"]

_MAX_ROLLBACKS = 3
_DIVERGED = 1.5
"""A loss of so many times the best one yet is taken back as a non-finite one is."""


class Best:
    """The best weights and grids of a stage.

    By error and the grids' bits: the weights' own hardly change within a stage. A step moves on
    before its loss is known, so the state that the loss is of is marked first.
    """

    def __init__(self, state: State, *, moving: bool) -> None:
        """Begin with a state as it is; its grids are left alone unless they are `moving`."""
        found = [*state.model.matrices, *([state.latents.flat] if moving else [])]
        self._tensors = [tensor.detach() for tensor in found]
        self._best = [tensor.clone() for tensor in self._tensors]
        self._marked = [tensor.clone() for tensor in self._tensors]
        self.error = math.inf
        self.rollbacks = 0

    @property
    def damping(self) -> float:
        """What the learning rates are multiplied by: they halve with every roll-back."""
        return 0.5**self.rollbacks

    def mark(self) -> None:
        """Remember the state that the next loss is of."""
        _copy(self._tensors, self._marked)

    def offer(self, error: float) -> None:
        """Take the marked state for the best one if its loss is the least."""
        if error < self.error:
            self.error = error
            self._best, self._marked = self._marked, self._best

    def begin_anew(self) -> None:
        """Take the state as it is for the best one, whatever came before."""
        self.error = math.inf
        _copy(self._tensors, self._best)

    def accepts(self, error: float) -> bool:
        """Tell whether a loss is finite, and no sign that the fit has lost its way."""
        lost = error > _DIVERGED * self.error and self.rollbacks < _MAX_ROLLBACKS
        return math.isfinite(error) and not lost

    def roll_back(self) -> None:
        """Go back to the best state, and on from there more slowly. Raises FitError in the end."""
        if self.rollbacks == _MAX_ROLLBACKS:
            raise FitError(f"the loss is not finite after {_MAX_ROLLBACKS} roll-backs")
        self.rollbacks += 1
        self.restore()

    def restore(self) -> None:
        """Go back to the best state."""
        _copy(self._best, self._tensors)

    def save(self) -> tuple[dict[str, object], dict[str, Tensor]]:
        """Return everything that is remembered, as facts and tensors by name."""
        error = self.error if math.isfinite(self.error) else None
        tensors = {f"best.{index}": tensor for index, tensor in enumerate(self._best)}
        return {"error": error, "rollbacks": self.rollbacks}, tensors

    def take(self, facts: Mapping[str, object], tensors: Mapping[str, Tensor]) -> None:
        """Take back what `save` returned."""
        error, rollbacks = facts["error"], facts["rollbacks"]
        assert error is None or isinstance(error, float)
        assert isinstance(rollbacks, int)
        self.error = math.inf if error is None else error
        self.rollbacks = rollbacks
        _copy([tensors[f"best.{index}"] for index in range(len(self._best))], self._best)


def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source)
