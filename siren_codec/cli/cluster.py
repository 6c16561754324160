"""Ray: pictures as tasks on the machines of a cluster.

The driver reads and writes all files; the tasks take bytes and give bytes. Ray places them, and
does them again if a machine or a process is lost. It is imported when a cluster is asked for.
"""

import os
import re
import socket
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from importlib import import_module
from typing import Any

from siren_codec import __version__, extras
from siren_codec.errors import SirenError
from siren_codec.many.recipes import Failure, Recipe, Result, Results, attempt
from siren_codec.many.verdicts import Job
from siren_codec.many.workers import pin

__all__ = ["Cluster"]

_RETRIES = 3
_ANSWER = 10.0
"""Seconds in which a cluster has to answer."""
_LOOK_EVERY = 0.25
"""Seconds after which the driver looks whether it was told to stop."""
_ASK_EVERY = 1.0
"""Seconds after which a task asks whether to stop."""


class Cluster:
    """A context of a connection to Ray: `auto`, `local`, HOST:PORT or ray://HOST:PORT."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._connected = False

    def __enter__(self) -> "Cluster":
        """Connect. Raises SirenError."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        extras.need("ray", "--ray")
        self.ray: Any = import_module("ray")
        if not self.ray.is_initialized():
            self._check_address()
            extra = {"include_dashboard": False} if self.address == "local" else {}
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    self.ray.init(self.address, log_to_driver=False, logging_level="error", **extra)
            except Exception as error:
                # Ray raises nearly anything.
                raise SirenError(f"--ray {self.address}: cannot connect: {error}") from None
            self._connected = True
        return self

    def _check_address(self) -> None:
        """Raise SirenError where nobody answers: Ray itself would try for many minutes."""
        found = re.fullmatch(r"(?:\w+://)?\[?([^/]+?)\]?:(\d+)/?", self.address)
        if found:
            try:
                socket.create_connection((found[1], int(found[2])), _ANSWER).close()
            except (OSError, OverflowError) as error:
                raise SirenError(f"--ray {self.address}: cannot connect: {error}") from None

    def __exit__(self, *_: object) -> None:
        # Tasks that still run end with the connection.
        if self._connected:
            self.ray.shutdown()

    def run(
        self, jobs: Iterator[Job], recipe: Recipe, *, count: int, stop: Callable[[], bool]
    ) -> Results:
        """Yield jobs with their results, as they are done, `count` at a time on each machine.

        Once `stop` says so no more jobs are taken, and those under way end at once.
        """
        task, cores = self._task(recipe, count)
        stopping = self.ray.remote(_StopSignal).options(num_cpus=0).remote()
        under_way: dict[Any, Job] = {}
        given = False
        while True:
            # Inputs wait in Ray's memory: twice as many as can be worked at keep all busy.
            room = 2 * max(1, int(self.ray.cluster_resources().get("CPU", 1)) // cores)
            while len(under_way) < room and not stop():
                job = next(jobs, None)
                if job is None:
                    break
                try:
                    content = job.source.read_bytes()
                except OSError as error:
                    yield job, Failure(error.strerror or str(error))
                else:
                    under_way[task(content, cores, stopping)] = job
            if not under_way:
                return
            if not given and stop():
                given = True
                stopping.give.remote()
            ready, _ = self.ray.wait(list(under_way), timeout=_LOOK_EVERY)
            for reference in ready:
                yield under_way.pop(reference), self._result(reference)

    def _task(self, recipe: Recipe, count: int) -> tuple[Callable[..., Any], int]:
        """Return what begins a task, given a file's bytes, and the cores that it takes."""
        has_gpu = self.ray.cluster_resources().get("GPU", 0) >= 1
        if recipe.device == "auto":
            # Ray hides the GPUs from tasks that ask for none: it is to be settled here.
            recipe = recipe.on("cuda" if has_gpu else "cpu")
        gpus = 1 if recipe.device == "cuda" else 0
        if gpus and not has_gpu:
            raise SirenError("--ray: expected a machine with a GPU, found none")
        cores = max(1, self._cores() // count)
        task = self.ray.remote(_task).options(
            num_cpus=cores, num_gpus=gpus, max_retries=_RETRIES, name="siren_codec"
        )
        return partial(task.remote, __version__, recipe), cores

    def _cores(self) -> int:
        """Return the cores of the smallest machine, so that a task fits on each."""
        counts = [node["Resources"].get("CPU", 0) for node in self.ray.nodes() if node["Alive"]]
        return int(min((count for count in counts if count >= 1), default=1))

    def _result(self, reference: Any) -> Result:
        try:
            result: Result = self.ray.get(reference)
        except Exception as error:
            # A task that was lost once too often, or an installation that differs over there.
            text = " ".join(str(error).split()) or type(error).__name__
            return Failure(f"Ray: {text}")
        return result


class _StopSignal:
    """An actor that tells the tasks whether to stop."""

    def __init__(self) -> None:
        self.given = False

    def give(self) -> None:
        self.given = True

    def is_given(self) -> bool:
        return self.given


def _task(version: str, recipe: Recipe, content: bytes, cores: int, stopping: Any) -> Result:
    """Make one picture, on some cores of this machine."""
    if version != __version__:
        return Failure(f"Ray: expected siren_codec {version} on all machines, found {__version__}")
    with _cores_of_our_own(cores), _listening(stopping) as stop:
        return attempt(recipe, content, stop=stop)


@contextmanager
def _listening(stopping: Any) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether the signal to stop was given; a thread asks.

    Not the main thread: Ray gives the cores of one that waits to other tasks.
    """
    ray: Any = import_module("ray")
    asked, given, over = threading.Event(), threading.Event(), threading.Event()

    def listen() -> None:
        while not given.is_set():
            with suppress(Exception):
                if ray.get(stopping.is_given.remote()):
                    given.set()
            asked.set()
            if over.wait(_ASK_EVERY):
                return

    threading.Thread(target=listen, daemon=True).start()
    asked.wait(5 * _ASK_EVERY)
    try:
        yield given.is_set
    finally:
        over.set()


@contextmanager
def _cores_of_our_own(count: int) -> Iterator[None]:
    """Keep this process on `count` cores that no other task on this machine has.

    Ray counts cores but does not say which. A task holds a locked file for as many as it has; the
    lock goes with the process. Where that does not work, Ray's count is all there is.
    """
    if not hasattr(os, "sched_getaffinity"):
        yield
        return
    import fcntl

    before = sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for first in range(0, len(before) - count + 1, count):
            name = f"siren-codec-{os.getuid()}-{count}-{first}"
            try:
                file = stack.enter_context(open(os.path.join(tempfile.gettempdir(), name), "ab"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue
            pin(before[first : first + count])
            stack.callback(pin, before)
            break
        yield
