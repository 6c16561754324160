"""What a command reads and writes: files, standard input, standard output."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

from siren_codec import output
from siren_codec.cli import streams
from siren_codec.errors import SirenError

__all__ = [
    "INPUT",
    "OUTPUT",
    "attributes",
    "check_output",
    "dashed",
    "name",
    "parse",
    "read",
    "read_standard_input",
    "write_output",
]

T = TypeVar("T")

_ENDS_OF_FOLDERS = tuple(filter(None, (os.sep, os.altsep)))
INPUT = ("/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
OUTPUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")
"""What systems call standard input and output; to open it anew would begin a file again."""


def dashed(path: str, names: Sequence[str]) -> str:
    """Return - for a path that is one of the `names` of standard input or output."""
    return "-" if path in names else path


def name(path: str) -> str:
    """Return what a file is called where its folder is known."""
    return "-" if path == "-" else Path(path).name


def standard_input() -> BinaryIO:
    """Return where standard input's bytes come from. Raises SirenError, without its name."""
    if sys.stdin is None:
        raise SirenError("it is closed")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Return where standard output's bytes go. Raises SirenError."""
    if sys.stdout is None:
        raise SirenError("standard output is closed")
    return sys.stdout.buffer


def read_standard_input() -> bytes:
    """Return all of standard input's bytes. Raises SirenError."""
    with _named("-"):
        return standard_input().read()


def read(source: str) -> bytes:
    """Return the bytes of a `.siren` file; of any other no more than the first are read."""
    from siren_codec.decoding import read_limited

    with _named(source):
        if source == "-":
            return read_limited(standard_input())
        with open(source, "rb") as file:
            return read_limited(file)


def parse(source: str, data: bytes, by: Callable[[bytes], T]) -> T:
    """Return what `by` makes of a `.siren` file's bytes; its errors name the file."""
    with _named(source):
        return by(data)


@contextmanager
def _named(source: str) -> Iterator[None]:
    """Let the errors name the file that is read."""
    called = "standard input" if source == "-" else source
    try:
        yield
    except SirenError as error:
        raise type(error)(f"{called}: {error}") from None
    except (OSError, ValueError) as error:
        raise SirenError(f"{called}: {getattr(error, 'strerror', None) or error}") from None


def check_output(source: str, target: str, *, force: bool) -> None:
    """Find out before any work whether the output can be written."""
    if target == "-":
        standard_output()
        return
    if target.endswith(_ENDS_OF_FOLDERS):
        raise SirenError(f"{target}: expected the name of a file, found that of a folder")
    if Path(target).is_dir():
        raise SirenError(f"{target}: expected a file, found a folder; -o takes one")
    if source != "-" and output.are_same(source, target):
        raise SirenError(f"{target}: is the input itself")
    output.check(Path(target), force=force)


def attributes(source: str) -> os.stat_result | None:
    """Return whose mode and modification time an output is to have; None if it is no file."""
    return None if source == "-" else output.attributes(source)


def write_output(
    target: str, data: bytes, *, force: bool, like: os.stat_result | None = None
) -> None:
    """Write a file, whole or not at all, or standard output."""
    if target != "-":
        output.write(Path(target), data, force=force, like=like)
        return
    file = standard_output()
    try:
        file.write(data)
        file.flush()
    except OSError as error:
        streams.forget(sys.stdout)
        # click would take this for its own.
        if isinstance(error, BrokenPipeError):
            raise streams.ReaderGoneError from None
        reason = error.strerror or error
        raise SirenError(f"standard output: cannot be written: {reason}") from None
