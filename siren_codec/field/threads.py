"""Threads: how many cores there are, and settings that all threads of a process share."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

__all__ = ["available_cores", "one_blas_thread", "shared"]


def available_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shared(enter: Callable[[], Callable[[], object]]) -> Callable[[], Iterator[None]]:
    """Return a generator function, for `contextmanager`, around a setting of the whole process.

    `enter` makes the setting and returns what takes it back. However many threads are inside, it
    is made once, by the first, and taken back once, by the last: each for itself would take back
    what another had made.
    """
    lock = threading.Lock()
    inside = 0
    leave: Callable[[], object] = lambda: None  # noqa: E731

    def within() -> Iterator[None]:
        nonlocal inside, leave
        with lock:
            if inside == 0:
                leave = enter()
            inside += 1
        try:
            yield
        finally:
            with lock:
                inside -= 1
                if inside == 0:
                    leave()

    return within


def _limit_blas() -> Callable[[], object]:
    return threadpool_limits(1, user_api="blas").restore_original_limits  # type: ignore[no-any-return]


one_blas_thread = contextmanager(shared(_limit_blas))
"""A context in which each BLAS call stays on its own thread."""
