"""Processes that share the cores: what becomes of their work when they die, wait or are stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from named_recipes import results, wait_for

from siren_codec.many import workers
from siren_codec.many.recipes import Failure, Product


def test_a_process_that_dies_costs_one_picture(tmp_path: Path) -> None:
    found = results(tmp_path, "a", "die", "fail", "b", "c")
    assert found.pop("die") == Failure(
        f"its process was killed by signal {signal.SIGKILL.value}; is there enough memory?"
    )
    assert found.pop("fail") == Failure("as it should")
    assert sorted(found) == ["a", "b", "c"]
    assert all(isinstance(result, Product) for result in found.values())


def test_processes_share_the_cores(tmp_path: Path) -> None:
    stop = threading.Event()

    def interrupt() -> None:
        # They wait, so that both are under way at the same time.
        wait_for(tmp_path, "wait 1", "wait 2")
        stop.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    found = results(tmp_path, "wait 1", "wait 2", "never begun", stop=stop.is_set)
    thread.join()
    assert sorted(found) == ["wait 1", "wait 2"]
    products = [result for result in found.values() if isinstance(result, Product)]
    assert all(product.interrupted for product in products)
    assert sorted(product.facts["cores"] for product in products) == workers.shares(2)


@pytest.mark.parametrize(
    ("cores", "count", "shares"),
    [
        ({0, 1, 2, 3}, 2, [[0, 1], [2, 3]]),
        ({0, 1, 2}, 2, [[0], [1, 2]]),
        ({3, 5}, 1, [[3, 5]]),
        ({3, 5}, 5, [[3], [5], [3], [5], [3]]),
    ],
)
def test_shares(
    monkeypatch: pytest.MonkeyPatch, cores: set[int], count: int, shares: list[list[int]]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: cores)
    assert workers.shares(count) == shares


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    """Even if it is killed, in the middle of their work."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import named_recipes
named_recipes.results(Path({str(tmp_path)!r}), "wait 1", "wait 2")
"""
    with subprocess.Popen([sys.executable, "-c", code]) as parent:
        wait_for(tmp_path, "wait 1", "wait 2")
        parent.kill()
    until = time.monotonic() + 30
    for name in ("wait 1", "wait 2"):
        process = int((tmp_path / name).read_text())
        while _is_alive(process):
            assert time.monotonic() < until
            time.sleep(0.01)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A child that nobody has waited for is none.
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
