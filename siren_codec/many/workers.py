"""Processes that share the cores, each with one picture at a time.

They are spawned, and hand back bytes: only the parent writes files, so that a process can be ended
at any moment. One that dies costs the picture that it had, and is replaced.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from typing import Any

from siren_codec.many.recipes import Failure, Recipe, Result, Results, attempt
from siren_codec.many.verdicts import Job

__all__ = ["GUARD", "pin", "run", "shares"]

GUARD = 'does the script have `if __name__ == "__main__":` around its work?'
"""A process imports the script that has begun it, which must not begin others in turn."""
_STOP = "stop"
_TURN = 0.25
"""Seconds after which the parent looks whether it was told to stop."""


def run(
    jobs: Iterator[Job], recipe: Recipe, *, count: int, stop: Callable[[], bool] = lambda: False
) -> Results:
    """Yield jobs with their results, as they are done, by `count` processes.

    Once `stop` says so no more jobs are taken, and those under way end at once. The processes end
    with the generator: at its end, or when it is closed.
    """
    crew: list[_Worker] = []
    try:
        for index, cores in enumerate(shares(count)):
            crew.append(_Worker(recipe, index, cores))
        while True:
            for worker in crew:
                if worker.job is None and not stop():
                    job = next(jobs, None)
                    if job is not None:
                        worker.give(job)
            busy = {worker.connection: worker for worker in crew if worker.job}
            if not busy:
                return
            if stop():
                for worker in busy.values():
                    worker.stop()
            for connection in wait(list(busy), timeout=_TURN):
                yield busy[connection].take()  # type: ignore[index]
    finally:
        for worker in crew:
            worker.end()


def shares(count: int) -> list[list[int]]:
    """Return the cores of each of `count` processes: all of this one's, shared out evenly.

    With more processes than cores each has one; where cores cannot be chosen the lists are empty.
    """
    if not hasattr(os, "sched_getaffinity"):
        return [[] for _ in range(count)]
    cores = sorted(os.sched_getaffinity(0))
    if count >= len(cores):
        return [[cores[index % len(cores)]] for index in range(count)]
    ends = [index * len(cores) // count for index in range(count + 1)]
    return [cores[first:last] for first, last in pairwise(ends)]


def pin(cores: Sequence[int]) -> None:
    """Keep this process on some cores; the thread pools of torch and numpy follow if they are
    not there yet.
    """
    if cores and hasattr(os, "sched_setaffinity"):
        with suppress(OSError):
            os.sched_setaffinity(0, cores)


class _Worker:
    """A process as its parent sees it."""

    def __init__(self, recipe: Recipe, index: int, cores: Sequence[int]) -> None:
        self.recipe = recipe
        self.index = index
        self.cores = cores
        self.job: Job | None = None
        self.stopping = False
        self._start()

    def give(self, job: Job) -> None:
        """Let the process begin a job."""
        self.job = job
        # If it has died in between, `take` will find out.
        with suppress(OSError):
            self.connection.send(job.source)

    def stop(self) -> None:
        """Ask the process to end its job with the best there is."""
        if not self.stopping:
            self.stopping = True
            with suppress(OSError):
                self.connection.send(_STOP)

    def take(self) -> tuple[Job, Result]:
        """Return the job and its result, which is there; replace the process if it is not."""
        job, self.job = self.job, None
        assert job is not None
        try:
            return job, self.connection.recv()
        except (EOFError, OSError):
            self.process.join()
            code = self.process.exitcode
        self.connection.close()
        self._start()
        killed = isinstance(code, int) and code < 0
        if code == 1:
            # What it does after its beginning ends in a result.
            return job, Failure(f"its process ended before it began; {GUARD}")
        how = f"was killed by signal {-code}" if killed and code else f"ended with code {code}"
        return job, Failure(f"its process {how}; is there enough memory?")

    def end(self) -> None:
        """End the process, whatever it does."""
        self.connection.close()
        if self.job:
            self.process.kill()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, its_end = context.Pipe()
        self.process = context.Process(
            target=_serve, args=(its_end, self.recipe, self.index, self.cores), daemon=True
        )
        with _without_interrupts():
            self.process.start()
        its_end.close()


class _without_interrupts:  # noqa: N801
    """A context in which new processes are born deaf to the Ctrl-C of the terminal.

    They inherit the mask; the parent hears what came in between at the end.
    """

    def __enter__(self) -> None:
        if hasattr(signal, "pthread_sigmask"):
            from multiprocessing import resource_tracker

            # The first process starts it, which would take the mask away again.
            resource_tracker.ensure_running()
            self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})

    def __exit__(self, *_: object) -> None:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _serve(
    connection: "Connection[Any, Any]", recipe: Recipe, index: int, cores: Sequence[int]
) -> None:
    """Do one job after another until the parent hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    pin(cores)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if recipe.device != "cpu":
        _take_gpu(index)
    with suppress(EOFError, OSError):
        while True:
            source = connection.recv()
            # A request to stop that came too late is for nobody.
            if source != _STOP:
                connection.send(attempt(recipe, source, stop=_listener(connection)))


def _listener(connection: "Connection[Any, Any]") -> Callable[[], bool]:
    """Return what tells whether the parent has asked for an end."""
    stopped = False

    def stop() -> bool:
        nonlocal stopped
        if not stopped and connection.poll():
            stopped = connection.recv() == _STOP
        return stopped

    return stop


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _take_gpu(index: int) -> None:
    """Let this process see one GPU only, if there are any; they go round."""
    import torch

    # Counting them does not start CUDA, which would no longer look at the variable.
    count = torch.cuda.device_count()
    if count > 1:
        listed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(count)))
        os.environ["CUDA_VISIBLE_DEVICES"] = listed.split(",")[index % count]
