"""What was made of what: a hidden file in each output folder, with a line of JSON for each output.

A line is written before its output gets its name, and belongs to no output but one of exactly the
bytes that it names. So neither a process that is killed nor a second one at the same time can make
a record say what is not so: what it does not know it does not claim. Lines are only ever added;
those that make no sense, or are of another version, are skipped.
"""

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from siren_codec import output
from siren_codec.errors import SirenError

__all__ = ["NAME", "Entry", "Record", "digest"]

NAME = ".siren-record.jsonl"
_VERSION = 1
_KEPT = 2
"""Lines of an output that are kept: the last one's output may never have got its name."""
_SPARE = 64
"""Lines too many that are no reason to write a record anew."""


@dataclass(frozen=True)
class Entry:
    """An output, what it was made of, and how; digests are those of the files' bytes."""

    output: str
    """The file's name in its folder."""
    output_digest: str
    source: str
    """The path of what it was made of, seen from the output's folder; it may be elsewhere now."""
    source_digest: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The options that decided the result."""
    cut_short: bool = False
    """Whether Ctrl-C ended the work before its end."""


def digest(source: Path | bytes) -> str:
    """Return a hash of bytes, or of a file's. Raises SirenError."""
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=32).hexdigest()
    try:
        with open(source, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    except OSError as error:
        raise SirenError(f"{source}: {error.strerror or error}") from None


class Record:
    """What is known of a folder's outputs. A record that is absent or broken knows nothing."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._forget()

    def find(self, name: str, output_digest: str) -> Entry | None:
        """Return what is known of an output of these bytes."""
        self._refresh()
        return self._entries.get(name, {}).get(output_digest)

    def add(self, entry: Entry) -> None:
        """Note what an output is about to be made of. Raises OSError."""
        line = json.dumps({"version": _VERSION, **asdict(entry)})
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        with open(self._open(flags), "wb", buffering=0) as file:
            # It begins a line of its own whatever a killed process left, and is written at once.
            file.write(f"\n{line}\n".encode())

    def _forget(self) -> None:
        self._entries: dict[str, dict[str, Entry]] = {}
        self._read = 0
        """Bytes of the file that were read already."""
        self._id: tuple[int, int] | None = None

    def _refresh(self) -> None:
        """Read what was added since, by whomever."""
        try:
            with open(self._open(os.O_RDONLY), "rb") as file:
                found = os.fstat(file.fileno())
                begins = self._id != (found.st_dev, found.st_ino) or found.st_size < self._read
                if begins:
                    self._forget()
                    self._id = found.st_dev, found.st_ino
                file.seek(self._read)
                # A line that another process is writing is read when it is whole.
                lines = file.read().rpartition(b"\n")
        except OSError:
            self._forget()
            return
        self._read += len(lines[0]) + len(lines[1])
        count = 0
        for entry in _parse(lines[0]):
            count += 1
            known = self._entries.setdefault(entry.output, {})
            known.pop(entry.output_digest, None)
            known[entry.output_digest] = entry
        if begins and count > _KEPT * len(self._entries) + _SPARE:
            self._compact()

    def _compact(self) -> None:
        """Write a record without the lines that later ones have replaced.

        What another process adds at this very moment is lost: its outputs are not known then.
        """
        for name, known in self._entries.items():
            self._entries[name] = dict(list(known.items())[-_KEPT:])
        entries = [entry for known in self._entries.values() for entry in known.values()]
        lines = [json.dumps({"version": _VERSION, **asdict(entry)}) for entry in entries]
        with suppress(SirenError):
            output.write(self.path, "".join(f"{line}\n" for line in lines).encode(), force=True)

    def _open(self, flags: int) -> int:
        """Open the file, if it is one: a link or a pipe of its name is none of ours."""
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        number = os.open(self.path, flags | getattr(os, "O_BINARY", 0), 0o666)
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise OSError(f"{self.path}: expected a file")
        return number


def _parse(text: bytes) -> Iterator[Entry]:
    """Yield what the lines of a record say, where they make sense."""
    types = {"settings": dict, "cut_short": bool}
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(found, dict) or found.pop("version", None) != _VERSION:
            continue
        values: dict[str, Any] = {each.name: found.get(each.name) for each in fields(Entry)}
        if all(isinstance(value, types.get(name, str)) for name, value in values.items()):
            yield Entry(**values)
