"""Standard output and error: a message that cannot be written never costs the work."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

__all__ = ["ReaderGoneError", "forget", "guarded", "printable"]


class ReaderGoneError(Exception):
    """Whoever was to read standard output, where the product goes, has gone."""


class _Unfailing:
    """A text stream that is forgotten when it can no longer be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            forget(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            forget(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def guarded() -> Iterator[None]:
    """Keep the places of the standard streams, and let what is written to standard error not fail.

    A file that is opened takes the place of a stream that is closed, and would have what libraries
    print written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = sys.stderr
    with open(os.devnull, "w") as nowhere:
        sys.stderr = cast(TextIO, nowhere if before is None else _Unfailing(before))
        try:
            yield
        finally:
            sys.stderr = before


def forget(stream: TextIO) -> None:
    """Send a stream nowhere: Python would write what it holds, and complain, once more at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        stream.flush()


def printable(line: str, encoding: str | None = None) -> str:
    """Return a line that a terminal can take, with escapes: names of files may hold anything."""
    safe = "".join(c if c.isprintable() else _escape(c) for c in line)
    return safe.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")


def _escape(character: str) -> str:
    """Return the escape of a character, or of the byte that is none, as Python has them."""
    byte = ord(character) - 0xDC00
    if 0x80 <= byte <= 0xFF:
        return f"\\x{byte:02x}"
    return character.encode("unicode_escape").decode()
