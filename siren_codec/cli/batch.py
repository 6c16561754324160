"""Whole folders: make what is missing, go on after failures, say what became of each."""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from siren_codec import output
from siren_codec.cli import bars
from siren_codec.cli.folders import Job, Kind, Plan, plan
from siren_codec.cli.interrupt import Interruption
from siren_codec.cli.jobs import Failure, Product, Recipe, Result, Results, attempt
from siren_codec.errors import SirenError

__all__ = ["Batch"]

_INTERRUPTED = "interrupted: ending the pictures under way; again to write nothing"
_OLDER = 10**9
"""Nanoseconds by which a file that was cut short is dated before its picture."""


@dataclass
class Batch:
    """A folder that is mirrored by a command."""

    command: str
    source: Path
    target: Path
    kind: Kind
    recipe: Recipe
    count: int = 1
    """Pictures at a time."""
    address: str | None = None
    """Of a Ray cluster."""
    force: bool = False
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False

    written: int = 0
    cut_short: int = 0
    missed: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
    waiting: dict[Path, None] = field(default_factory=dict)
    """Sources that have neither output nor failure yet, in order."""

    def run(self) -> int:
        """Do it all and return the exit code. Raises SirenError if it cannot begin."""
        todo = plan(self.source, self.target, self.kind, force=self.force)
        self.failures = todo.failures
        self.waiting = dict.fromkeys(job.source for job in todo.jobs)
        message = None if self.quiet else f"{self.command}: {_INTERRUPTED}"
        interruption = Interruption(message, begun=True)
        with ExitStack() as stack:
            results = stack.enter_context(closing(self._results(todo, stack, interruption)))
            show = stack.enter_context(bars.of_folder(len(todo.jobs), shown=not self.quiet))
            for job, result in results:
                self._finish(job, result)
                show(len(todo.jobs) - len(self.waiting), len(self.failures))
        self._sum_up(todo)
        if interruption.requested:
            return 130
        return 1 if self.failures else 3 if self.missed else 0

    def _results(self, todo: Plan, stack: ExitStack, interruption: Interruption) -> Results:
        """Return jobs with their results, as they are done, here or elsewhere."""
        jobs = self._ready(todo.jobs)
        if self.address is not None and todo.jobs:
            from siren_codec.cli.cluster import Cluster

            cluster = stack.enter_context(Cluster(self.address))
            # After Ray, which has handlers of its own.
            stack.enter_context(interruption)
            return cluster.run(jobs, self.recipe, count=self.count, interruption=interruption)
        stack.enter_context(interruption)
        count = min(self.count, len(todo.jobs))
        if count > 1:
            from siren_codec.cli import workers

            return workers.run(jobs, self.recipe, count=count, interruption=interruption)
        return self._in_turn(jobs, interruption)

    def _in_turn(self, jobs: Iterator[Job], interruption: Interruption) -> Results:
        """Yield jobs with their results, one after another in this process."""
        shown = not self.quiet and bars.is_terminal()
        while not interruption.requested and (job := next(jobs, None)):
            with bars.of_picture(shown=shown, position=1) as progress:
                result = attempt(self.recipe, job.source, progress=progress, stop=interruption.stop)
            yield job, result

    def _ready(self, jobs: list[Job]) -> Iterator[Job]:
        """Yield the jobs whose output can be written, each when it is asked for."""
        for job in jobs:
            try:
                job.target.parent.mkdir(parents=True, exist_ok=True)
                output.check(job.target, force=self.force or self.kind.replaces)
            except (OSError, SirenError) as error:
                self._fail(job, _reason(error, job))
            else:
                yield job

    def _finish(self, job: Job, result: Result) -> None:
        """Write an output and say so."""
        if isinstance(result, Failure):
            self._fail(job, result.error)
        elif result is not None:
            try:
                output.write(job.target, result.data, force=self.force or self.kind.replaces)
                if result.interrupted:
                    _date_before(job)
            except (OSError, SirenError) as error:
                self._fail(job, _reason(error, job))
            else:
                self._succeed(job, result)

    def _succeed(self, job: Job, product: Product) -> None:
        del self.waiting[job.source]
        self.written += 1
        self.cut_short += product.interrupted
        self.missed += product.missed is not None
        name = job.target.relative_to(self.target)
        if not self.quiet:
            for notice in product.notices:
                self._say(f"{job.source.relative_to(self.source)}: {notice}")
            if self.verbose and product.details:
                bars.say(*product.details.splitlines(), error=True)
        if product.missed is not None:
            self._say(f"{name}: {product.missed}")
        if self.as_json:
            self._print_json({"input": str(job.source), "output": str(job.target), **product.facts})
        if not self.quiet and not (self.as_json and bars.is_terminal()):
            bars.say(f"{name}: {product.line}", error=self.as_json)

    def _fail(self, job: Job, error: str) -> None:
        self.waiting.pop(job.source, None)
        self.failures[job.source] = error
        if self.as_json:
            self._print_json({"input": str(job.source), "error": error})
        if not self.quiet and not bars.is_terminal():
            self._say(f"{job.source}: {error}")

    def _sum_up(self, todo: Plan) -> None:
        """Say what became of all, and list what is wrong."""
        if not self.quiet:
            left = len(self.waiting)
            parts = [
                (self.written, "done"),
                (self.cut_short, "of them cut short"),
                (self.missed, "of them missed the target"),
                (todo.done, "done before"),
                (len(self.failures), "failed"),
                (left, "not done"),
                (todo.passed_over, "other files passed over"),
            ]
            said = [f"{count} {what}" for count, what in parts if count or what == "done"]
            self._say(", ".join(said))
        for path, error in sorted(self.failures.items()):
            self._say(f"failed: {path}: {error}")
        for path in self.waiting:
            self._say(f"not done: {path}")

    def _say(self, text: str) -> None:
        bars.say(f"{self.command}: {text}", error=True)

    def _print_json(self, facts: dict[str, Any]) -> None:
        bars.say(json.dumps(facts), error=False)


def _reason(error: Exception, job: Job) -> str:
    """Return what is wrong with an output, without saying twice where."""
    if isinstance(error, OSError):
        return f"{job.target}: cannot be written: {error.strerror or error}"
    return " ".join(str(error).split())


def _date_before(job: Job) -> None:
    """Date an output before its picture, so that the next call makes it again."""
    source, target = job.source.stat(), job.target.stat()
    os.utime(job.target, ns=(target.st_atime_ns, source.st_mtime_ns - _OLDER))
