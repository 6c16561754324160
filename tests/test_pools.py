"""Encoding and decoding in threads and processes of whoever calls them."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from conftest import make_field
from goldens import GOLDEN

import siren_codec
from siren_codec import stream
from siren_codec.field import Field
from siren_codec.field.threads import available_cores

FILES = [GOLDEN / f"{name}.siren" for name in ("rgb_8_prior_1", "rgba_8_alpha", "grey_16_grid")]


@pytest.mark.parametrize(
    "pool",
    [
        lambda: ThreadPoolExecutor(3),
        lambda: ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
        lambda: ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
    ],
    ids=["threads", "fork", "spawn"],
)
@pytest.mark.filterwarnings("ignore:.*fork.* may lead to deadlocks:DeprecationWarning")
def test_pools_decode(pool: Callable[[], Executor]) -> None:
    """Fields go to processes and come back; what forks has used every library before."""
    expected = [siren_codec.decode(path, scale=2) for path in FILES]
    fields = [siren_codec.open(path) for path in FILES]
    with pool() as executor:
        decoded = list(executor.map(siren_codec.decode, FILES * 2))
        opened = list(executor.map(siren_codec.open, FILES))
        rendered = list(executor.map(Field.render, fields))
    for number, pixels in enumerate(decoded):
        assert np.array_equal(pixels, fields[number % 3].render())
    for number, field in enumerate(opened):
        assert np.array_equal(field.render(scale=2), expected[number])
        assert np.array_equal(rendered[number], field.render())


def test_asyncio_decodes_beside_its_loop() -> None:
    async def all_of_them() -> Any:
        tasks = [asyncio.to_thread(siren_codec.decode, path, scale=3) for path in FILES * 2]
        return await asyncio.gather(*tasks)

    for number, pixels in enumerate(asyncio.run(all_of_them())):
        assert np.array_equal(pixels, siren_codec.decode(FILES[number % 3], scale=3))


def test_asyncio_encodes_beside_its_loop() -> None:
    """Two at once, with the same bytes as one after another, and the loop goes on."""
    pixels = [np.full((8, 8), level, np.uint8) for level in (20, 90)]
    options: dict[str, Any] = {"steps": 3, "hidden_layers": 1, "hidden_features": 4}
    options |= {"device": "cpu"}
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    async def both() -> list[bytes]:
        counting = asyncio.create_task(count())
        tasks = [asyncio.to_thread(siren_codec.encode, each, **options) for each in pixels]
        found = await asyncio.gather(*tasks)
        counting.cancel()
        return found

    assert asyncio.run(both()) == [siren_codec.encode(each, **options) for each in pixels]
    assert turns > 1


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes busy meanwhile."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def quickest(task: Callable[[], object], runs: int = 7) -> float:
    """Return the seconds of the quickest of several runs."""
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        task()
        times.append(time.perf_counter() - began)
    return min(times)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="cores cannot be counted here")
def test_a_thread_renders_like_the_main_thread_beside_other_work() -> None:
    """With a busy process for each core: BLAS's own threads would wait for each other."""
    data = stream.write(make_field(1, width=160, height=120, hidden_features=32))
    in_thread: list[float] = []

    def task() -> object:
        return siren_codec.decode(data, scale=1.5)

    with busy(available_cores()):
        in_main = quickest(task)
        thread = threading.Thread(target=lambda: in_thread.append(quickest(task)))
        thread.start()
        thread.join()
    assert in_thread[0] < 3 * in_main
