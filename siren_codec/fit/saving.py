"""Saving a fit under way, and taking it up again."""

from typing import Any

import torch
from torch import Tensor

from siren_codec.fit.best import Best
from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.clock import Clock
from siren_codec.fit.state import State

__all__ = ["Saving"]


class Saving:
    """Keeps a fit in a checkpoint, if there is one: its state, its clock, its stage's best."""

    def __init__(self, checkpoint: Checkpoint | None, state: State, clock: Clock) -> None:
        self._checkpoint = checkpoint
        self._state = state
        self._clock = clock
        self._best: tuple[dict[str, Any], dict[str, Tensor]] | None = None
        self.stage, self._done = 0, 0

    def resume(self) -> bool:
        """Take back the state of the checkpoint, if there is one."""
        found = self._checkpoint.load() if self._checkpoint else None
        if found is None:
            return False
        facts, arrays = found
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        self._state.restore(facts["state"], tensors)
        self._clock.resume(*facts["clock"])
        self.stage, self._done = facts["place"]
        self._best = facts["best"], tensors
        return True

    def enter(self, stage: int, best: Best) -> int:
        """Give a stage its best state back, if it was under way; return the steps that are done."""
        if self._best is None or stage != self.stage:
            return 0
        best.take(*self._best)
        return self._done

    def save(self, stage: int, done: int, best: Best, *, now: bool) -> None:
        """Save the state after so many steps of a stage, if it is time, or at once."""
        if not self._checkpoint or not (now or self._checkpoint.is_due()):
            return
        facts, tensors = self._state.save()
        of_best, best_tensors = best.save()
        clock = self._clock.step, self._clock.done, self._clock.seconds()
        self._checkpoint.save(
            {"place": (stage, done), "clock": clock, "state": facts, "best": of_best},
            {name: t.cpu().numpy() for name, t in {**tensors, **best_tensors}.items()},
        )

    def remove(self) -> None:
        """Remove what was saved: the fit is done."""
        if self._checkpoint:
            self._checkpoint.remove()
