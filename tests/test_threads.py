"""Settings that all threads of a process share: each thread has them, and they are taken back."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from siren_codec.field.threads import one_blas_thread
from siren_codec.fit.engine import one_torch_thread


def of_blas() -> int:
    """Return how many threads BLAS may use."""
    found: list[int] = [one["num_threads"] for one in threadpool_info() if is_blas(one)]
    return found[0]


def is_blas(library: dict[str, object]) -> bool:
    return library["user_api"] == "blas"


needs_blas = pytest.mark.skipif(
    not any(map(is_blas, threadpool_info())), reason="no BLAS whose threads can be set"
)


def elsewhere(task: Callable[[], object]) -> None:
    """Do a task in another thread, and wait for its end."""
    thread = threading.Thread(target=task)
    thread.start()
    thread.join(timeout=60)


@needs_blas
def test_blas_is_limited_from_a_thread_that_is_not_the_first() -> None:
    """The first keeps OpenBLAS's number to itself, in threadpoolctl from 3.8 on."""
    found = []

    def limited() -> None:
        with one_blas_thread():
            found.append(of_blas())

    with threadpool_limits(3, user_api="blas"):
        limited()
        elsewhere(limited)
        limited()
        assert found == [1, 1, 1]
        assert of_blas() == 3
        # Whoever sets it after us still can.
        elsewhere(lambda: threadpool_limits(2, user_api="blas"))
        assert of_blas() == 2


def overlapping(context: Callable[[], AbstractContextManager[None]]) -> list[int]:
    """Enter here, then elsewhere; leave here, then elsewhere; return torch's numbers there."""
    inside, left = threading.Event(), threading.Event()
    seen = []

    def second() -> None:
        with context():
            seen.append(torch.get_num_threads())
            inside.set()
            left.wait(timeout=60)
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=second)
    with context():
        thread.start()
        inside.wait(timeout=60)
    left.set()
    thread.join(timeout=60)
    return seen


@needs_blas
def test_the_last_of_several_threads_gives_blas_back() -> None:
    with threadpool_limits(3, user_api="blas"):
        overlapping(one_blas_thread)
        assert of_blas() == 3


def test_each_of_several_threads_gets_torch_s_number_back() -> None:
    """It is a thread's own, and what a new thread begins with is what was set last."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert overlapping(one_torch_thread) == [1, 3]
        assert torch.get_num_threads() == 3
        of_new: list[int] = []
        elsewhere(lambda: of_new.append(torch.get_num_threads()))
        assert of_new == [3]
    finally:
        torch.set_num_threads(before)


def test_one_torch_thread_within_another() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with one_torch_thread():
            with one_torch_thread():
                pass
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
