"""What becomes of each file: made, made again, left as it is, or refused."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from siren_codec.errors import SirenError
from siren_codec.many.records import Entry, Record, digest

__all__ = [
    "FORCE",
    "Job",
    "Judge",
    "State",
    "Verdict",
    "of_picture",
    "of_siren",
    "source_of",
    "stamps",
]

Stamps = tuple[tuple[int, ...] | None, ...]
"""Of a job's source and target: what changes with a file; None where there is none."""

FORCE = "--force overwrites it"
"""The end of a reason that is none with --force."""
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
    stamps: Stamps | None = field(default=None, compare=False)
    """Those of before the verdict: while they are the same, so is the verdict."""


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
    of_tree: bool = True
    """Whether all files of a source's folder are in view, so that their outputs' names may change
    hands; else one that is made of another file is not ours to overwrite."""
    records: dict[Path, Record] = field(default_factory=dict)

    def verdict(self, job: Job, source_digest: str | None = None) -> Verdict:
        """Return the verdict of a job; of the source's `digest` where that is known already."""
        try:
            if not job.target.exists():
                return Verdict(State.MAKE)
            if not job.target.is_file():
                return Verdict(State.REFUSED, "exists already, and is not a file")
            with suppress(OSError):
                if job.target.samefile(job.source):
                    return Verdict(State.REFUSED, "is the input itself")
            if self.force:
                return Verdict(State.MAKE)
            return self._of_what_is_there(job, digest(job.target), source_digest)
        except OSError as error:
            return Verdict(State.REFUSED, error.strerror or str(error))
        except SirenError as error:
            return Verdict(State.REFUSED, str(error).removeprefix(f"{job.target}: "))

    def record(self, folder: Path) -> Record:
        """Return the record of a folder."""
        return self.records.setdefault(folder, Record(folder))

    def _of_what_is_there(self, job: Job, target_digest: str, source_digest: str | None) -> Verdict:
        try:
            source_digest = source_digest or digest(job.source)
        except SirenError:
            # It is tried, and fails.
            source_digest = ""
        made = self.record(job.source.parent).find(job.source.name, source_digest)
        if made and made.source_digest == target_digest and made.source.endswith(".siren"):
            return Verdict(State.KEPT, "its picture was decoded from it")
        entry = self.record(job.target.parent).find(job.target.name, target_digest)
        if entry is None:
            return self.unknown(job)
        if entry.source_digest != source_digest:
            return self._of_another_source(job, entry)
        if entry.cut_short:
            return Verdict(State.MAKE, "was cut short")
        found = {**self.defaults, **entry.settings}
        if found != dict(self.settings):
            return Verdict(State.MAKE, f"was made with {_differences(found, self.settings)}")
        return Verdict(State.DONE)

    def _of_another_source(self, job: Job, entry: Entry) -> Verdict:
        """Judge an output of ours that is not of this source."""
        other = Path(os.path.realpath(job.target.parent), entry.source)
        # In one folder files may change their names; but two trees with one mirror would undo each
        # other's outputs.
        if other.exists() and not self._may_replace(other, job.source):
            name = os.path.normpath(other)
            return Verdict(State.REFUSED, f"was made from {name}, which is still there; {FORCE}")
        return Verdict(State.MAKE, "was made from another file")

    def _may_replace(self, other: Path, source: Path) -> bool:
        if self.of_tree:
            return other.parent.samefile(source.parent)
        return source.exists() and other.samefile(source)


def stamps(job: Job) -> Stamps:
    """Return the stamps of a job's files as they are."""
    return _stamp(job.source), _stamp(job.target)


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last change of the file's own entry, which no tool sets back.
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def source_of(job: Job) -> str:
    """Return the path of a job's source as seen from its output's folder, links followed."""
    source = os.path.join(os.path.realpath(job.source.parent), job.source.name)
    try:
        return os.path.relpath(source, os.path.realpath(job.target.parent))
    except ValueError:
        # On another drive.
        return source


def of_siren(job: Job) -> Verdict:
    """Judge a `.siren` file that is in no record: only what is broken may be overwritten."""
    from siren_codec.stream.format import MAGIC

    with open(job.target, "rb") as file:
        head = file.read(len(MAGIC))
    if head != MAGIC[: len(head)]:
        return Verdict(State.REFUSED, f"exists already, and is not a .siren file; {FORCE}")
    if _is_broken(job.target):
        return Verdict(State.MAKE, "is broken")
    if job.target.stat().st_mtime_ns + _SLACK < job.source.stat().st_mtime_ns:
        return Verdict(State.REFUSED, f"exists already, older than its picture; {FORCE}")
    return Verdict(State.KEPT, "no record says what it was made from")


def of_picture(job: Job) -> Verdict:  # noqa: ARG001
    """Judge a picture that is in no record: it may be an original."""
    return Verdict(State.REFUSED, f"exists already, and may be an original; {FORCE}")


def _is_broken(path: Path) -> bool:
    """Tell whether a file with a `.siren` file's beginning is not whole, as far as we know it."""
    from siren_codec.decoding import read_limited
    from siren_codec.limits import UNBOUNDED
    from siren_codec.stream.format import MAGIC, VERSION, parse

    with open(path, "rb") as file:
        version = file.read(len(MAGIC) + 1)[len(MAGIC) :]
        file.seek(0)
        try:
            parse(read_limited(file), UNBOUNDED)
        except SirenError:
            return version in (b"", bytes([VERSION]))
    return False


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Return in words which options are others: quality 50 (now 90)."""
    names = [name for name in {**found, **wanted} if found.get(name) != wanted.get(name)]
    texts = [
        f"{name.replace('_', ' ')} {_text(found.get(name))} (now {_text(wanted.get(name))})"
        for name in names
    ]
    return ", ".join(texts)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else str(value)
