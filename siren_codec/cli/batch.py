"""Folders and several files: the report of each, and the exit code."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from siren_codec.cli import console, forecast
from siren_codec.cli.common import CommonOptions
from siren_codec.cli.interrupt import Interruption
from siren_codec.cli.operands import Operands
from siren_codec.errors import SirenError
from siren_codec.many.mirror import Mirror, Outcome
from siren_codec.many.plan import Job, Kind, Plan
from siren_codec.many.recipes import Decode, Encode, Product, Results, one_by_one
from siren_codec.progress import ProgressCallback

__all__ = ["Batch"]

_INTERRUPTED = "interrupted: ending the pictures under way; Ctrl-C again to write nothing"


@dataclass
class Batch:
    """A folder that a command mirrors, or files whose outputs it puts into one."""

    command: str
    named: Operands
    kind: Kind
    recipe: Encode | Decode
    common: CommonOptions
    address: str | None = None
    """Of a Ray cluster."""

    written: int = 0
    cut_short: int = 0
    missed: int = 0
    done: int = 0
    """Outputs that were of these very inputs already."""
    kept: int = 0
    failures: dict[Path, str] = field(default_factory=dict)
    waiting: dict[Path, None] = field(default_factory=dict)
    """Sources of which nothing has become yet, in order."""

    @property
    def sources(self) -> Path | Sequence[Path]:
        """The folder, or the files."""
        return self.named.sources

    @property
    def target(self) -> Path:
        """The folder of the outputs."""
        return Path(str(self.named.output))

    def run(self) -> int:
        """Do it all and return the exit code. Raises SirenError if it cannot begin."""
        mirror = Mirror(
            *(self.sources, self.target, self.kind, self.recipe),
            force=self.common.force,
            preserve=self.common.preserve,
        )
        todo = mirror.plan()
        self._announce(todo)
        if self.common.dry_run:
            return self._dry_run(todo)
        self.waiting = dict.fromkeys(job.source for job in todo.jobs)
        message = None if self.common.quiet else f"{self.command}: {_INTERRUPTED}"
        interruption = Interruption(message, begun=True)
        with ExitStack() as stack:
            by = self._enter(len(todo.jobs), stack, interruption)
            outcomes = stack.enter_context(closing(mirror.run(todo.jobs, by)))
            show = stack.enter_context(
                console.folder_progress(self.command, len(todo.jobs), shown=not self.common.quiet)
            )
            for outcome in outcomes:
                self._tell(outcome)
                show(len(todo.jobs) - len(self.waiting), len(self.failures))
        self._sum_up(todo)
        if interruption.requested:
            return 130
        return 1 if self.failures else 3 if self.missed else 0

    def _dry_run(self, todo: Plan) -> int:
        """Say what would be done with each job, and with all."""
        seconds, known = 0.0, True
        for job in todo.jobs:
            try:
                facts = forecast.of_file(self.recipe, job.source)
            except SirenError as error:
                self._fail(job.source, str(error).removeprefix(f"{job.source}: "))
                continue
            forecast.say(str(job.source), str(job.target), facts, as_json=self.common.as_json)
            seconds += facts["seconds"] or 0.0
            known = known and facts["seconds"] is not None
        if not self.common.quiet:
            count = sum(job.source not in self.failures for job in todo.jobs)
            time = f" in about {console.duration(seconds)}" if count and known else ""
            parts = [(todo.done, "done before"), (len(todo.kept), "kept")]
            parts += [(len(self.failures), "would fail"), (len(todo.skipped), "skipped")]
            others = [f"{number} {what}" for number, what in parts if number]
            self._say(", ".join([f"would make {count}{time}", *others]))
        for path, why in sorted(self.failures.items()):
            self._say(f"would fail: {path}: {why}")
        return 1 if self.failures else 0

    def _enter(
        self, jobs: int, stack: ExitStack, interruption: Interruption
    ) -> Callable[[Iterator[Job]], Results]:
        """Return what does the jobs, here or elsewhere, with what it needs on the stack."""
        stop, count = interruption.stop, self.common.jobs or 1
        if self.address is not None and jobs:
            from siren_codec.cli.cluster import Cluster

            cluster = stack.enter_context(Cluster(self.address))
            # After Ray, which has handlers of its own.
            stack.enter_context(interruption)
            return partial(cluster.run, recipe=self.recipe, count=count, stop=stop)
        stack.enter_context(interruption)
        count = min(count, jobs)
        if count > 1:
            from siren_codec.many import workers

            return partial(workers.run, recipe=self.recipe, count=count, stop=stop)

        def watching(job: Job) -> AbstractContextManager[ProgressCallback | None]:
            title = f"{self.command}: {self._name(job.source)}"
            return console.picture_progress(title, shown=not self.common.quiet, position=1)

        return partial(one_by_one, recipe=self.recipe, stop=stop, watching=watching)

    def _tell(self, outcome: Outcome) -> None:
        """Count what became of a job, and say so."""
        job, product = outcome.job, outcome.product
        if outcome.status == "failed":
            self._fail(job.source, outcome.why)
            return
        del self.waiting[job.source]
        if product is not None:
            self._succeed(job, product, outcome.notices)
        elif outcome.status == "kept":
            self.kept += 1
            self._keep(job, outcome.why, shown=not self.common.quiet)
        else:
            self.done += 1

    def _succeed(self, job: Job, product: Product, notices: Sequence[str]) -> None:
        self.written += 1
        self.cut_short += product.interrupted
        self.missed += product.missed is not None
        name = job.target.relative_to(self.target)
        if not self.common.quiet:
            for notice in notices:
                self._say(f"{self._name(job.source)}: {notice}")
            if self.common.verbose and product.details:
                console.say(*product.details.splitlines(), error=True)
        if product.missed is not None:
            self._say(f"{name}: {product.missed}")
        if self.common.as_json:
            again = {"again": job.why} if job.why else {}
            paths = {"input": str(job.source), "output": str(job.target)}
            console.say_json({**paths, **product.facts, **again})
        if not self.common.quiet and not (self.common.as_json and console.is_terminal()):
            console.say(f"{name}: {product.line}", error=self.common.as_json)

    def _name(self, source: Path) -> Path:
        """Return what a source is called: in a tree, where it is there."""
        return source.relative_to(self.sources) if isinstance(self.sources, Path) else source

    def _fail(self, source: Path, error: str) -> None:
        self.waiting.pop(source, None)
        self.failures[source] = error
        if self.common.as_json:
            console.say_json({"input": str(source), "error": error})
        if not self.common.quiet and not console.is_terminal() and not self.common.dry_run:
            self._say(f"{source}: {error}")

    def _keep(self, job: Job, why: str, *, shown: bool) -> None:
        if self.common.as_json:
            console.say_json({"input": str(job.source), "output": str(job.target), "kept": why})
        if shown:
            self._say(f"kept: {job.target}: {why}")

    def _announce(self, todo: Plan) -> None:
        """Say before the work what is skipped, left, refused, or made again."""
        self.done, self.kept = len(todo.done), len(todo.kept)
        for path, error in todo.failures.items():
            self._fail(path, error)
        for each in todo.skipped:
            if self.common.as_json:
                console.say_json({"input": str(each.path), "skipped": each.why})
            if self.common.verbose:
                self._say(f"skipped: {each.path}: {each.why}")
        for job, why in todo.kept.items():
            self._keep(job, why, shown=self.common.verbose)
        again = [job for job in todo.jobs if job.why]
        if self.common.verbose:
            for job in again:
                self._say(f"made again: {job.target}: the old one {job.why}")
        elif not self.common.quiet:
            for why, count in Counter(job.why for job in again).items():
                self._say(f"{count} made again: the old one {why}")

    def _sum_up(self, todo: Plan) -> None:
        """Say what became of all, and list what is wrong."""
        if not self.common.quiet:
            unreadable = [each.kind for each in todo.skipped if each.kind]
            parts = [
                (self.written, "done"),
                (self.cut_short, "of them cut short"),
                (self.missed, "of them missed the target"),
                (self.done, "done before"),
                (self.kept, "kept (-v says why, --force makes them again)"),
                (len(self.failures), "failed"),
                (len(self.waiting), "not done"),
                (len(todo.skipped) - len(unreadable), "other files skipped"),
            ]
            counts = [f"{count} {what}" for count, what in parts if count or what == "done"]
            self._say(", ".join(counts))
            for kind, count in Counter(unreadable).items():
                self._say(f"{count} {kind.name} picture{'s' * (count > 1)}: {kind.advice}")
        for path, error in sorted(self.failures.items()):
            self._say(f"failed: {path}: {error}")
        for path in self.waiting:
            self._say(f"not done: {path}")

    def _say(self, text: str) -> None:
        console.say(f"{self.command}: {text}", error=True)
