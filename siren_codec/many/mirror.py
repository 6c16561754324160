"""A folder of outputs that follows its inputs: each is made if it is missing, and noted."""

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from siren_codec import output
from siren_codec.errors import SirenError
from siren_codec.many.plan import Job, Kind, Plan, plan_files, plan_tree
from siren_codec.many.recipes import Decode, Encode, Failure, Product, Results
from siren_codec.many.records import Entry, digest
from siren_codec.many.verdicts import Judge, State, source_of, stamps

__all__ = ["Mirror", "Outcome", "Status"]

Status = Literal["made", "done", "kept", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a job."""

    job: Job
    status: Status
    """`done`: the output is of this very input; `kept`: nobody knows what it is of."""
    why: str = ""
    """The error; or why the output was kept, or made again."""
    product: Product | None = None
    """What was made; it is written already."""
    notices: tuple[str, ...] = ()


@dataclass
class Mirror:
    """A folder of outputs, of a tree or of a few files."""

    sources: Path | Sequence[Path]
    """A folder, whose tree is mirrored, or files from anywhere."""
    target: Path
    kind: Kind
    recipe: Encode | Decode
    force: bool = False
    """Make everything again, and overwrite what is there."""
    preserve: bool = True
    """Give outputs the mode and the modification time of their sources."""
    _judge: Judge = field(init=False)
    _unwritable: set[Path] = field(default_factory=set, init=False)
    """Records that cannot be written."""

    def __post_init__(self) -> None:
        self._judge = Judge(
            self.kind.unknown,
            self.recipe.settings(),
            type(self.recipe)().settings(),
            force=self.force,
            of_tree=isinstance(self.sources, Path),
        )

    def plan(self) -> Plan:
        """Return what is to be done. Raises SirenError where a folder is expected and is not."""
        if isinstance(self.sources, Path):
            return plan_tree(self.sources, self.target, self.kind, self._judge)
        return plan_files(self.sources, self.target, self.kind, self._judge)

    def run(
        self, jobs: Sequence[Job], by: Callable[[Iterator[Job]], Results]
    ) -> Generator[Outcome, None, None]:
        """Yield what becomes of each job, as they are done `by` this process or by others.

        `by` takes jobs one after another, and yields them with their results. What it leaves out,
        because an end was asked for, has no outcome.
        """
        settled: deque[Outcome] = deque()
        with closing(by(self._ready(jobs, settled))) as results:
            for job, result in results:
                yield from _taken(settled)
                if result is not None:
                    yield self._finish(job, result)
        yield from _taken(settled)

    def _ready(self, jobs: Sequence[Job], settled: deque[Outcome]) -> Iterator[Job]:
        """Yield the jobs whose output can be written, each when it is asked for.

        The others, and those that another process has done meanwhile, are `settled`.
        """
        for job in jobs:
            try:
                self._make_folders(job)
                # What is as it was for the plan is not read again here; `_finish` does that.
                outcome = None if stamps(job) == job.stamps else self._settled(job)
                if outcome is None:
                    output.check(job.target, force=True)
            except (OSError, SirenError) as error:
                outcome = _failed(job, error)
            if outcome is None:
                yield replace(job, like=output.attributes(job.source) if self.preserve else None)
            else:
                settled.append(outcome)

    def _make_folders(self, job: Job) -> None:
        """Make the folders of an output that are missing, with the modes of its source's."""
        self.target.parent.mkdir(parents=True, exist_ok=True)
        models = self.sources if self.preserve and isinstance(self.sources, Path) else None
        inner = job.target.parent.relative_to(self.target)
        for step in (*reversed(inner.parents), inner) if inner.parts else (inner,):
            like = None if models is None else (models / step).stat()
            output.make_folder(self.target / step, like=like)

    def _settled(self, job: Job, source_digest: str | None = None) -> Outcome | None:
        """Return the outcome of a job that is no longer to be done: others may work here too."""
        verdict = self._judge.verdict(job, source_digest)
        if verdict.state is State.MAKE:
            return None
        if verdict.state is State.REFUSED:
            return Outcome(job, "failed", f"{job.target}: {verdict.why}")
        return Outcome(job, "done" if verdict.state is State.DONE else "kept", verdict.why)

    def _finish(self, job: Job, result: Product | Failure) -> Outcome:
        """Write an output."""
        if isinstance(result, Failure):
            return Outcome(job, "failed", result.error)
        try:
            settled = self._settled(job, result.source_digest)
            if settled is not None:
                return settled
            notices = self._note(job, result)
            output.write(job.target, result.data, force=True, like=job.like)
        except (OSError, SirenError) as error:
            return _failed(job, error)
        return Outcome(job, "made", job.why, result, (*notices, *result.notices))

    def _note(self, job: Job, product: Product) -> tuple[str, ...]:
        """Put into the record what an output is made of, before there is an output.

        Returns a notice if that cannot be, the first time.
        """
        entry = Entry(
            output=job.target.name,
            output_digest=digest(product.data),
            source=source_of(job),
            source_digest=product.source_digest,
            settings=self._judge.settings,
            cut_short=product.interrupted,
        )
        record = self._judge.record(job.target.parent)
        try:
            record.add(entry)
        except OSError as error:
            if record.path not in self._unwritable:
                self._unwritable.add(record.path)
                reason = error.strerror or error
                return (f"{record.path}: cannot be written, so nothing is recorded: {reason}",)
        return ()


def _taken(settled: deque[Outcome]) -> Iterator[Outcome]:
    while settled:
        yield settled.popleft()


def _failed(job: Job, error: Exception) -> Outcome:
    """Return the outcome of an output that cannot be, without saying twice where."""
    if isinstance(error, OSError):
        why = f"{job.target}: cannot be written: {error.strerror or error}"
    else:
        why = " ".join(str(error).split())
    return Outcome(job, "failed", why)
