"""How long actions take."""

import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["Actions", "median_seconds", "synchronised"]

Actions = dict[str, Callable[[], object]]


def synchronised(action: Callable[[], object], device: str) -> Callable[[], object]:
    """Return an action that ends when the device has done what it queued."""
    if device != "cuda":
        return action

    def run() -> None:
        import torch

        action()
        torch.cuda.synchronize()

    return run


def median_seconds(actions: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Return the medians of the seconds of actions, after one run more of each.

    Every run takes each action once: what else the machine does meanwhile meets them all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - began)
    return {name: round(statistics.median(found[1:]), 6) for name, found in seconds.items()}
