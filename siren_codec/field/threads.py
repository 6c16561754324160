"""Threads: how many cores there are, and settings that all threads of a process share."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

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


@cache
def _blas() -> list[Any]:
    """Return what sets the threads of each BLAS that is loaded: numpy's has been, by now.

    To look for them takes half a millisecond, a quarter of what a small part of a picture does.
    """
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


def _limit_blas() -> Callable[[], object]:
    libraries = _blas()
    before = [(library, library.num_threads) for library in libraries]
    _set_threads((library, 1) for library in libraries)
    return lambda: _set_threads(before)


def _set_threads(counts: Iterable[tuple[Any, int]]) -> None:
    """Set how many threads each library may use, in all threads of the process.

    From version 3.8 on threadpoolctl lets one thread alone set OpenBLAS's number, the first that
    did, as long as it lives, and ignores all others without a word. `shared` sees to it that
    there is one at a time, so that it is given free before and after.
    """
    for library, count in counts:
        give_free = getattr(library, "clear_controlling_thread", lambda **_: None)
        give_free(force=True)
        library.set_num_threads(count)
        give_free(force=True)


one_blas_thread = contextmanager(shared(_limit_blas))
"""A context in which each BLAS call stays on its own thread."""
