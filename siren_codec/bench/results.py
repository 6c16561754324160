"""Rows of measurements as a file: a line of JSON for each, added as it comes.

A run that was ended at any moment can be taken up again: what the file has is not measured a second
time, and half a line counts for nothing. Nothing is ever rewritten, for another process
may be adding; where two lines are of the same measurement the later one counts.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from siren_codec.errors import SirenError

__all__ = ["Results", "Row", "identity", "latest", "newest"]

Row = Mapping[str, Any]

_IDENTITY = ("experiment", "image", "sha256", "codec")


def identity(row: Row) -> tuple[Any, ...]:
    """Return what makes two rows the same measurement, made anew or not."""
    return *(row.get(name) for name in _IDENTITY), json.dumps(row["settings"], sort_keys=True)


def newest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each measurement."""
    found: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        # Taken out first, so that the order is that of the last rows.
        found.pop(identity(row), None)
        found[identity(row)] = row
    return list(found.values())


def latest(rows: Iterable[Row]) -> list[Row]:
    """Return the last row of each measurement, and of each codec only those made as the last one.

    So no curve has points of two versions, or of two devices.
    """
    rows = newest(rows)
    made = {row["codec"]: (row["version"], row["device"]) for row in rows}
    return [row for row in rows if (row["version"], row["device"]) == made[row["codec"]]]


class Results:
    """The rows of a file, which may not exist yet."""

    def __init__(self, path: Path, *, accepts: Callable[[Row], bool] = lambda _: True) -> None:
        """Read a file; half a line, as a kill leaves it, is left out.

        Raises SirenError for what cannot be read, is no row, or is none that the reader `accepts`.
        """
        self.path = path
        self._accepts = accepts
        self.rows: list[Row] = []
        try:
            data = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise SirenError(f"{path}: {error.strerror}") from None
        *lines, _ = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            row = self._parse(number, line)
            if row is not None:
                self.rows.append(row)

    def add(self, row: Row) -> None:
        """Add a row to the file: one write of a whole line.

        After half a line it begins with a line's end, so that only the half is lost.
        """
        line = json.dumps(row, allow_nan=False) + "\n"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with open(self.path, "a+b", buffering=0) as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())
        self.rows.append(row)

    def _parse(self, number: int, line: bytes) -> Row | None:
        """Return a line's row; None for a blank line and for half a line."""
        if not line.strip():
            return None
        try:
            row = json.loads(line)
            identity(row)
            if not self._accepts(row):
                raise TypeError
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, ValueError) and line.startswith(b"{"):
                return None
            raise SirenError(
                f"{self.path}, line {number}: expected a result, found {line[:60]!r}"
            ) from None
        return dict(row)
