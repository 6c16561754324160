"""Decoding from many threads at once, and many times in one process."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
import threadpoolctl
from conftest import make_field
from fuzz.corpus import corpus
from fuzz.run import resident

from siren_codec import decoding, stream
from siren_codec.errors import FormatError
from siren_codec.field import evaluate
from siren_codec.field.threads import available_cores

T = TypeVar("T")

THREADS = 8
FILES = list(corpus().values())


@pytest.fixture(autouse=True)
def switching() -> Iterator[None]:
    """Let threads take turns far more often than they usually do."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def together(count: int, function: Callable[[int], T]) -> list[T]:
    """Return what a function of 0, 1, ... gives, called by THREADS threads that start at once."""
    barrier = threading.Barrier(THREADS)

    def task(number: int) -> T:
        if number < THREADS:
            barrier.wait(timeout=60)
        return function(number)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(task, range(count)))


def test_all_files_from_eight_threads_at_once() -> None:
    """Each of them twice: by different threads at about the same time."""
    expected = [decoding.decode(data) for data in FILES]
    found = together(2 * len(FILES), lambda number: decoding.decode(FILES[number // 2]))
    for number, pixels in enumerate(found):
        assert pixels.dtype == expected[number // 2].dtype
        np.testing.assert_array_equal(pixels, expected[number // 2])


def test_a_picture_of_many_tiles_from_eight_threads_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each rendering has threads of its own, and all share the setting of the BLAS's threads."""
    monkeypatch.setattr(evaluate, "BLOCK_ELEMENTS", 1 << 12)
    data = stream.write(make_field(3, width=100, height=60))
    before = threadpoolctl.threadpool_info()
    expected = decoding.decode(data, scale=1.5)
    found = together(2 * THREADS, lambda _: decoding.decode(data, scale=1.5))
    for pixels in found:
        np.testing.assert_array_equal(pixels, expected)
    assert threadpoolctl.threadpool_info() == before


def test_one_field_from_eight_threads_at_once() -> None:
    field = stream.read((Path(__file__).parent / "golden" / "rgb_8_prior_1.siren").read_bytes())
    expected = [field.render((20 + number, 30)) for number in range(THREADS)]
    colours = [field.at(number, 3.5) for number in range(THREADS)]

    def task(number: int) -> bool:
        which = number % THREADS
        same = np.array_equal(field.render((20 + which, 30)), expected[which])
        return same and np.array_equal(field.at(which, 3.5), colours[which])

    assert all(together(4 * THREADS, task))


def test_bad_files_among_good_ones() -> None:
    """What is wrong with one is no other's error."""

    def task(number: int) -> bool:
        data = FILES[number % len(FILES)]
        if number % 3:
            return decoding.decode(data).size > 0
        with pytest.raises(FormatError):
            decoding.decode(data[:-1])
        return True

    assert all(together(3 * len(FILES), task))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_200_decodes_do_not_grow() -> None:
    """`python -m tests.fuzz --decodes 1000` prints more of it."""
    for number in range(200):
        if number == 50:
            before = resident()
        decoding.decode(FILES[number % 50])
    assert resident() - before < 32 << 20


def test_cores_where_the_system_does_not_say_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores() == 1
