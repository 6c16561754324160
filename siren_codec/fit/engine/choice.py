"""Which engine a device gets, and what its threads are."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from siren_codec.field.threads import available_cores
from siren_codec.fit import kernels
from siren_codec.fit.engine.base import Engine
from siren_codec.fit.engine.by_torch import TorchEngine

__all__ = ["engine", "one_torch_thread"]


@contextmanager
def engine(
    device: str, *, compiled: bool = True, tile: tuple[int, int] | None = None
) -> Iterator[Engine]:
    """Yield the engine of a device; its threads end with the context.

    On a CPU it is that of the compiled kernels, where there are any and they are wanted. A `tile`
    has at most so many rows and columns (torch only).
    """
    if device != "cpu":
        yield TorchEngine(device, tile=tile)
        return
    threads = available_cores()
    pool = ThreadPoolExecutor(threads, initializer=_prepare_thread)
    with one_torch_thread(), pool:
        found = kernels.load() if compiled else None
        if found is None:
            yield TorchEngine(device, pool, threads, tile)
        else:
            from siren_codec.fit.engine.by_kernels import KernelEngine

            yield KernelEngine(found, pool, threads)


class _OneTorchThread:
    """What `one_torch_thread` is; it knows which threads are inside, and how often.

    torch's number is each thread's own, and a new thread begins with the one that was set last,
    wherever that was: so each sets its own, and takes back what there was before any was inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = Counter[int]()
        self._before = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        thread = threading.get_ident()
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
            self._inside[thread] += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self._lock:
                self._inside[thread] -= 1
                if not self._inside[thread]:
                    del self._inside[thread]
                    torch.set_num_threads(self._before)


one_torch_thread = _OneTorchThread()
"""A context in which torch computes each thing on one thread: results then do not depend on how
many there are."""


def _prepare_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
