"""What becomes of each file of a folder: made, made again, left as it is, or refused."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from siren_codec.cli.records import Entry, Record, digest
from siren_codec.errors import SirenError

__all__ = ["Job", "Judge", "State", "Verdict", "of_png", "of_siren"]

_FORCE = "--force overwrites it"
_SLACK = 2 * 10**9
"""Nanoseconds to which some disks round a date."""


@dataclass(frozen=True)
class Job:
    """One file to make of another."""

    source: Path
    target: Path
    like: os.stat_result | None = field(default=None, compare=False)
    """The source, as it was before the work: what its output's mode and date follow."""
    why: str = ""
    """What is wrong with the output that is there, if it is made again."""


class State(Enum):
    """What is to be done with a job."""

    MAKE = "make"
    DONE = "done"
    """The output is of this very source, with these options."""
    KEPT = "kept"
    """Nobody knows what the output is made of, and nothing speaks against it."""
    REFUSED = "refused"
    """Something else is in the place of the output."""


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a job, and why, where it is not plain."""

    state: State
    why: str = ""


@dataclass(frozen=True)
class Judge:
    """Decides by the record of the output's folder; what is not in it is left to `unknown`."""

    unknown: Callable[[Job], Verdict]
    """The verdict of outputs that are in no record."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The options that decide the result."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What holds for options that a record does not mention, being older than they are."""
    force: bool = False
    """Make everything again."""
    records: dict[Path, Record] = field(default_factory=dict)

    def verdict(self, job: Job) -> Verdict:
        """Return the verdict of a job."""
        try:
            if not job.target.exists():
                return Verdict(State.MAKE)
            if not job.target.is_file():
                return Verdict(State.REFUSED, "exists already, and is no file")
            with suppress(OSError):
                if job.target.samefile(job.source):
                    return Verdict(State.REFUSED, "is the input itself")
            if self.force:
                return Verdict(State.MAKE)
            entry = self.record(job).find(job.target.name, digest(job.target))
            return self._of_known(job, entry) if entry else self.unknown(job)
        except OSError as error:
            return Verdict(State.REFUSED, error.strerror or str(error))
        except SirenError as error:
            return Verdict(State.REFUSED, str(error).removeprefix(f"{job.target}: "))

    def record(self, job: Job) -> Record:
        """Return the record of a job's output."""
        folder = job.target.parent
        return self.records.setdefault(folder, Record(folder))

    def _of_known(self, job: Job, entry: Entry) -> Verdict:
        """Judge an output that is as we wrote it: it may be written anew."""
        if entry.cut_short:
            return Verdict(State.MAKE, "was cut short")
        try:
            is_same = digest(job.source) == entry.source_digest
        except SirenError:
            # It is tried, and fails.
            is_same = False
        if not is_same:
            return Verdict(State.MAKE, "was made of another file")
        found = {**self.defaults, **entry.settings}
        if found != dict(self.settings):
            return Verdict(State.MAKE, f"was made with {_differences(found, self.settings)}")
        return Verdict(State.DONE)


def of_siren(job: Job) -> Verdict:
    """Judge a `.siren` file that is in no record: only what is broken may be overwritten."""
    from siren_codec.stream.format import MAGIC

    with open(job.target, "rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC[: len(head)]:
        return Verdict(State.REFUSED, f"exists already, and is no .siren file; {_FORCE}")
    if not _is_whole(job.target):
        return Verdict(State.MAKE, "is broken")
    if job.target.stat().st_mtime_ns + _SLACK < job.source.stat().st_mtime_ns:
        return Verdict(State.REFUSED, f"exists already, older than its picture; {_FORCE}")
    return Verdict(State.KEPT, "nothing is known of what it was made of")


def of_png(job: Job) -> Verdict:  # noqa: ARG001
    """Judge a PNG that is in no record: it may be an original."""
    return Verdict(State.REFUSED, f"exists already, and may be an original; {_FORCE}")


def _is_whole(path: Path) -> bool:
    from siren_codec.decoding import read_limited
    from siren_codec.limits import UNBOUNDED
    from siren_codec.stream import format

    try:
        with open(path, "rb") as file:
            format.parse(read_limited(file), UNBOUNDED)
    except SirenError:
        return False
    return True


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in words which options are others: quality 50 (now 90)."""
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    texts = [
        f"{name.replace('_', ' ')} {_text(found.get(name))} (now {_text(wanted.get(name))})"
        for name in names
    ]
    return ", ".join(texts)


def _text(value: Any) -> str:
    if value is None or value is False:
        return "none"
    return "on" if value is True else str(value)
