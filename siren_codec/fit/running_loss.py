"""The loss of a picture whose parts take turns: a sum over their last losses."""

from collections import deque

from siren_codec.fit.engine import Loss

__all__ = ["RunningLoss"]


class RunningLoss:
    """The last losses of as many parts as there are, which together stand for the picture."""

    def __init__(self, count: int = 1) -> None:
        self._found: deque[tuple[Loss, float]] = deque(maxlen=count)

    @property
    def complete(self) -> bool:
        """Tell whether each part has had its turn."""
        return len(self._found) == self._found.maxlen

    def add(self, loss: Loss, share: float) -> Loss:
        """Take the loss of a part, which is a share of the picture; return that of all so far."""
        self._found.append((loss, share))
        whole = sum(share for _, share in self._found)
        error = sum(one.error * share for one, share in self._found) / whole
        bits = sum(one.bits * share for one, share in self._found) / whole
        return Loss(error, bits, loss.price)

    def forget(self) -> None:
        """Begin anew, as after a step that was taken back."""
        self._found.clear()
