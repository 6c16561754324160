"""A recipe for processes whose sources say by their names what becomes of them."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from siren_codec.errors import SirenError
from siren_codec.many import workers
from siren_codec.many.plan import Job
from siren_codec.many.recipes import Product, Result

__all__ = ["ByName", "results", "wait_for"]


@dataclass(frozen=True)
class ByName:
    """What the processes are given in these tests: a source's name says what becomes of it."""

    folder: Path
    device: str = "cpu"

    def on(self, device: str) -> "ByName":
        return replace(self, device=device)

    def __call__(
        self, source: Path | bytes, *, progress: Any = None, stop: Callable[[], bool] | None = None
    ) -> Product | None:
        assert isinstance(source, Path)
        assert stop is not None
        (self.folder / source.name).write_text(str(os.getpid()))
        if source.name == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if source.name == "fail":
            raise SirenError(f"{source}: as it should")
        while source.name.startswith("wait") and not stop():
            time.sleep(0.01)
        facts = {"cores": sorted(os.sched_getaffinity(0)), "pid": os.getpid()}
        return Product(b"", "", facts, interrupted=stop())


def wait_for(folder: Path, *names: str) -> None:
    until = time.monotonic() + 120
    while not all((folder / name).exists() for name in names):
        assert time.monotonic() < until
        time.sleep(0.01)


def _jobs(*names: str) -> Iterator[Job]:
    return (Job(Path(name), Path(f"{name}.siren")) for name in names)


def results(
    folder: Path, *names: str, count: int = 2, stop: Callable[[], bool] = lambda: False
) -> dict[str, Result]:
    results = workers.run(_jobs(*names), ByName(folder), count=count, stop=stop)
    return {str(job.source): result for job, result in results}
