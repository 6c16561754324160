"""Whole folders: make what is missing, go on after failures, say what became of each."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from siren_codec import output
from siren_codec.cli import bars, files, forecast
from siren_codec.cli.folders import Job, Kind, Plan, plan
from siren_codec.cli.interrupt import Interruption
from siren_codec.cli.jobs import Decode, Encode, Failure, Product, Result, Results, attempt
from siren_codec.cli.records import Entry, digest
from siren_codec.cli.verdicts import Judge, State, source_of
from siren_codec.errors import SirenError

__all__ = ["Batch"]

_INTERRUPTED = "interrupted: ending the pictures under way; again to write nothing"


@dataclass
class Batch:
    """A folder that is mirrored by a command."""

    command: str
    source: Path
    target: Path
    kind: Kind
    recipe: Encode | Decode
    count: int = 1
    """Pictures at a time."""
    address: str | None = None
    """Of a Ray cluster."""
    dry_run: bool = False
    """Say what would be done, and do nothing."""
    force: bool = False
    preserve: bool = True
    """Give outputs the mode and the modification time of their sources."""
    verbose: bool = False
    quiet: bool = False
    as_json: bool = False

    written: int = 0
    cut_short: int = 0
    missed: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
    waiting: dict[Path, None] = field(default_factory=dict)
    """Sources that have neither output nor failure yet, in order."""
    unwritable: set[Path] = field(default_factory=set)
    """Records that cannot be written."""
    judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        defaults = type(self.recipe)().settings()
        settings = self.recipe.settings()
        self.judge = Judge(self.kind.unknown, settings, defaults, force=self.force)

    def run(self) -> int:
        """Do it all and return the exit code. Raises SirenError if it cannot begin."""
        todo = plan(self.source, self.target, self.kind, self.judge)
        self._announce(todo)
        if self.dry_run:
            return self._foretell(todo)
        self.waiting = dict.fromkeys(job.source for job in todo.jobs)
        message = None if self.quiet else f"{self.command}: {_INTERRUPTED}"
        interruption = Interruption(message, begun=True)
        with ExitStack() as stack:
            results = stack.enter_context(closing(self._results(todo, stack, interruption)))
            show = stack.enter_context(
                bars.of_folder(self.command, len(todo.jobs), shown=not self.quiet)
            )
            for job, result in results:
                self._finish(job, result, todo)
                show(len(todo.jobs) - len(self.waiting), len(self.failures))
        self._sum_up(todo)
        if interruption.requested:
            return 130
        return 1 if self.failures else 3 if self.missed else 0

    def _foretell(self, todo: Plan) -> int:
        """Say what would be done with each job, and with all."""
        seconds, known = 0.0, True
        for job in todo.jobs:
            try:
                facts = forecast.of_file(self.recipe, job.source)
            except SirenError as error:
                self._fail(job.source, str(error).removeprefix(f"{job.source}: "))
                continue
            forecast.say(str(job.source), str(job.target), facts, as_json=self.as_json)
            seconds += facts["seconds"] or 0.0
            known = known and facts["seconds"] is not None
        if not self.quiet:
            count = sum(job.source not in self.failures for job in todo.jobs)
            time = f" in about {bars.interval(seconds)}" if count and known else ""
            parts = [(todo.done, "done before"), (len(todo.kept), "kept")]
            parts += [(len(self.failures), "would fail"), (len(todo.passed_over), "passed over")]
            others = [f"{number} {what}" for number, what in parts if number]
            self._say(", ".join([f"would make {count}{time}", *others]))
        for path, why in sorted(self.failures.items()):
            self._say(f"would fail: {path}: {why}")
        return 1 if self.failures else 0

    def _results(self, todo: Plan, stack: ExitStack, interruption: Interruption) -> Results:
        """Return jobs with their results, as they are done, here or elsewhere."""
        jobs = self._ready(todo)
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
        while not interruption.requested and (job := next(jobs, None)):
            title = f"{self.command}: {job.source.relative_to(self.source)}"
            with bars.of_picture(title, shown=not self.quiet, position=1) as progress:
                result = attempt(self.recipe, job.source, progress=progress, stop=interruption.stop)
            yield job, result

    def _ready(self, todo: Plan) -> Iterator[Job]:
        """Yield the jobs whose output can be written, each when it is asked for."""
        for job in todo.jobs:
            try:
                self._make_folders(job)
                if self._is_settled(job, todo):
                    continue
                output.check(job.target, force=True)
            except (OSError, SirenError) as error:
                self._fail(job.source, _reason(error, job))
            else:
                yield replace(job, like=files.model(job.source) if self.preserve else None)

    def _make_folders(self, job: Job) -> None:
        """Make the folders of an output that are missing, with the modes of its source's."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        inner = job.target.parent.relative_to(self.target)
        for step in (*reversed(inner.parents), inner) if inner.parts else (inner,):
            like = (self.source / step).stat() if self.preserve else None
            output.make_folder(self.target / step, like=like)

    def _is_settled(self, job: Job, todo: Plan) -> bool:
        """Tell whether a job is no longer to be done: another process may have worked here too."""
        verdict = self.judge.verdict(job)
        if verdict.state is State.MAKE:
            return False
        if verdict.state is State.REFUSED:
            raise SirenError(f"{job.target}: {verdict.why}")
        todo.add(job, verdict)
        if verdict.state is State.KEPT:
            self._keep(job, verdict.why, said=not self.quiet)
        del self.waiting[job.source]
        return True

    def _finish(self, job: Job, result: Result, todo: Plan) -> None:
        """Write an output and say so."""
        if isinstance(result, Failure):
            self._fail(job.source, result.error)
        elif result is not None:
            try:
                if self._is_settled(job, todo):
                    return
                self._note(job, result)
                output.write(job.target, result.data, force=True, like=job.like)
            except (OSError, SirenError) as error:
                self._fail(job.source, _reason(error, job))
            else:
                self._succeed(job, result)

    def _note(self, job: Job, product: Product) -> None:
        """Put into the record what an output is made of, before there is an output."""
        entry = Entry(
            output=job.target.name,
            output_digest=digest(product.data),
            source=source_of(job),
            source_digest=product.source_digest,
            settings=self.judge.settings,
            cut_short=product.interrupted,
        )
        record = self.judge.record(job.target.parent)
        try:
            record.add(entry)
        except OSError as error:
            if record.path not in self.unwritable and not self.quiet:
                reason = error.strerror or error
                self._say(f"{record.path}: cannot be written, so nothing will be known: {reason}")
            self.unwritable.add(record.path)

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
            again = {"again": job.why} if job.why else {}
            facts = {"input": str(job.source), "output": str(job.target), **product.facts, **again}
            self._print_json(facts)
        if not self.quiet and not (self.as_json and bars.is_terminal()):
            bars.say(f"{name}: {product.line}", error=self.as_json)

    def _fail(self, source: Path, error: str) -> None:
        self.waiting.pop(source, None)
        self.failures[source] = error
        if self.as_json:
            self._print_json({"input": str(source), "error": error})
        if not self.quiet and not bars.is_terminal() and not self.dry_run:
            self._say(f"{source}: {error}")

    def _keep(self, job: Job, why: str, *, said: bool) -> None:
        if self.as_json:
            self._print_json({"input": str(job.source), "output": str(job.target), "kept": why})
        if said:
            self._say(f"kept: {job.target}: {why}")

    def _announce(self, todo: Plan) -> None:
        """Say before the work what is passed over, left, refused, or made again."""
        for path, error in todo.failures.items():
            self._fail(path, error)
        for each in todo.passed_over:
            if self.as_json:
                self._print_json({"input": str(each.path), "passed_over": each.why})
            if self.verbose:
                self._say(f"passed over: {each.path}: {each.why}")
        for job, why in todo.kept.items():
            self._keep(job, why, said=self.verbose)
        again = [job for job in todo.jobs if job.why]
        if self.verbose:
            for job in again:
                self._say(f"made again: {job.target}: the old one {job.why}")
        elif not self.quiet:
            for why, count in Counter(job.why for job in again).items():
                self._say(f"{count} made again: the old one {why}")

    def _sum_up(self, todo: Plan) -> None:
        """Say what became of all, and list what is wrong."""
        if not self.quiet:
            unreadable = [each.kind for each in todo.passed_over if each.kind]
            parts = [
                (self.written, "done"),
                (self.cut_short, "of them cut short"),
                (self.missed, "of them missed the target"),
                (todo.done, "done before"),
                (len(todo.kept), "kept (-v says why, --force makes them again)"),
                (len(self.failures), "failed"),
                (len(self.waiting), "not done"),
                (len(todo.passed_over) - len(unreadable), "other files passed over"),
            ]
            said = [f"{count} {what}" for count, what in parts if count or what == "done"]
            self._say(", ".join(said))
            for kind, count in Counter(unreadable).items():
                self._say(f"{count} {kind.name} picture{'s' * (count > 1)}: {kind.advice}")
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
