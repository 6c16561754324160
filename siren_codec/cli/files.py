"""The two ends of a command: files, standard input, standard output."""

import os
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from siren_codec import output
from siren_codec.errors import SirenError

__all__ = ["check_output", "model", "name", "read", "standard_input", "write_output"]

T = TypeVar("T")


def name(path: str) -> str:
    """Return what a file is called where its folder is known."""
    return "-" if path == "-" else Path(path).name


def standard_input() -> BinaryIO:
    """Return standard input's bytes. Raises SirenError."""
    if sys.stdin is None:
        raise SirenError("standard input is closed")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Return where standard output's bytes go. Raises SirenError."""
    if sys.stdout is None:
        raise SirenError("standard output is closed")
    return sys.stdout.buffer


def read(source: str, parse: Callable[[bytes], T]) -> T:
    """Return what `parse` makes of a `.siren` file's bytes; its errors name the file."""
    from siren_codec.decoding import read_limited

    called = "standard input" if source == "-" else source
    try:
        if source == "-":
            return parse(read_limited(standard_input()))
        with open(source, "rb") as file:
            return parse(read_limited(file))
    except SirenError as error:
        raise type(error)(f"{called}: {error}") from None
    except (OSError, ValueError) as error:
        raise SirenError(f"{called}: {getattr(error, 'strerror', None) or error}") from None


def check_output(source: str, target: str, *, force: bool) -> None:
    """Find out before any work whether the output can be written."""
    if target == "-":
        standard_output()
        return
    output.check(Path(target), force=force)
    with suppress(OSError):
        if source != "-" and Path(source).samefile(target):
            raise SirenError(f"{target}: is the input itself")


def model(source: str | Path) -> os.stat_result | None:
    """Return whose mode and modification time an output is to have; None if it is no file."""
    try:
        found = os.stat(source)
    except (OSError, ValueError):
        return None
    return found if source != "-" and stat.S_ISREG(found.st_mode) else None


def write_output(
    target: str, data: bytes, *, force: bool, like: os.stat_result | None = None
) -> None:
    """Write a file, whole or not at all, or standard output."""
    if target == "-":
        file = standard_output()
        file.write(data)
        file.flush()
    else:
        output.write(Path(target), data, force=force, like=like)
