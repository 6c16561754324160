"""Which engine a device gets, and what its threads are."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch

from siren_codec.field.threads import available_cores, shared
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


def _limit_torch() -> Callable[[], object]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(threads)


one_torch_thread = contextmanager(shared(_limit_torch))
"""A context in which torch computes each thing on one thread: results then do not depend on how
many there are."""


def _prepare_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
