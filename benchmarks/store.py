"""Records: files of rows in benchmarks/results, in the format of siren-bench's results.

A row of a picture is siren-bench's own. One of an experiment names it instead of a codec, and has
settings, figures, and the same facts of where it comes from: device, version, commit, date,
command.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from siren_codec.bench import environment
from siren_codec.bench.codecs import by_name
from siren_codec.bench.results import Results, Row, newest

__all__ = [
    "NOTES",
    "RESULTS",
    "Task",
    "about",
    "codec_version",
    "is_stale",
    "make",
    "path_of",
    "rows_of",
]

RESULTS = Path(__file__).parent / "results"

NOTES = {
    "efforts": "The machine did other work beside efforts 1, 2, 7 and 9: their times are too long.",
}
"""What records cannot say of themselves."""


@dataclass(frozen=True)
class Task:
    """One measurement that a record needs."""

    facts: Mapping[str, Any]
    """What its rows have: the picture and the codec, or the experiment; and the settings."""
    make: Callable[[], Iterable[Row]]
    """Measures, and returns the rows, of which one has the facts. Raises SirenError."""

    def is_of(self, row: Row) -> bool:
        """Tell whether a row is this measurement's."""
        return all(row.get(name) == value for name, value in self.facts.items())


def path_of(name: str) -> Path:
    """Return where a record lies."""
    return RESULTS / f"{name}.jsonl"


def rows_of(name: str) -> list[Row]:
    """Return the last row of each measurement of a record; none if there is no such file."""
    return newest(Results(path_of(name)).rows)


@cache
def codec_version() -> str:
    """Return the version of our codec that this checkout has, as rows give it."""
    return by_name("grid").version


def about(device: str = "cpu") -> dict[str, str]:
    """Return where a row of an experiment comes from that this process makes."""
    program = Path(sys.argv[0])
    # Where a folder lies on this machine is nobody's business.
    words = (Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:])
    command = ["bin/bench", program.stem, *words]
    return {"version": codec_version(), **environment.describe(command, device)}


def is_stale(row: Row) -> bool:
    """Tell whether our codec has changed since a row was made; libraries' rows never are stale.

    A version that makes the same files, by the word of `benchmarks.same`, is no other.
    """
    codec, version = row.get("codec"), row["version"]
    is_ours = version is not None if codec is None else by_name(codec).is_ours
    return is_ours and version not in _versions(codec_version(), RESULTS)


@cache
def _versions(version: str, results: Path) -> set[str]:
    """Return a version, and all that make the same files."""
    found = {version}
    # The last comparison first: what it compared may itself be the same as an older one.
    for row in reversed(Results(results / "same.jsonl").rows):
        if row["version"] in found:
            found.add(row["settings"]["version"])
    return found


def make(name: str, tasks: Iterable[Task], say: Callable[[str], object]) -> None:
    """Make the tasks one by one, and add each one's rows to the record. Raises SirenError."""
    results = Results(path_of(name))
    for task in tasks:
        settings = ", ".join(f"{key} {value}" for key, value in task.facts["settings"].items())
        say(f"{name}: {task.facts.get('image', '')} {settings}")
        for row in task.make():
            results.add(row)
