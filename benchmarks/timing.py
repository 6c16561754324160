"""How long actions take."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

__all__ = ["Actions", "Row", "all_timed", "finished", "in_turn", "timed"]

Row = dict[str, Any]
Actions = dict[str, Callable[[], object]]


def timed(action: Callable[[], object], runs: int) -> dict[str, float]:
    """Return the median and the least of the seconds that an action takes, after one run more."""
    action()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return {"median": round(statistics.median(seconds), 4), "least": round(min(seconds), 4)}


def all_timed(name: str, actions: Actions, runs: int, device: str = "cpu") -> list[Row]:
    """Return a row for each action, named after `name`; on a GPU, with what it has queued."""
    return [
        {"what": f"{name}: {what}", **timed(finished(action, device), runs)}
        for what, action in actions.items()
    ]


def finished(action: Callable[[], object], device: str) -> Callable[[], object]:
    """Return an action that ends when the device has done what it queued."""

    def run() -> None:
        action()
        if device == "cuda":
            torch.cuda.synchronize()

    return run


def in_turn(
    actions: Mapping[str, Callable[[], object]], runs: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the medians and the least of the seconds of actions, after one run more of each.

    Every run takes each action once: what else the machine does meanwhile meets them all alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(runs + 1):
        for name, action in actions.items():
            began = time.perf_counter()
            action()
            seconds[name].append(time.perf_counter() - began)
    counted = {name: found[1:] for name, found in seconds.items()}
    medians = {name: round(statistics.median(found), 6) for name, found in counted.items()}
    return medians, {name: round(min(found), 6) for name, found in counted.items()}
