"""Output files that are whole or absent."""

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from siren_codec.errors import SirenError

__all__ = ["check", "is_special", "write"]


def check(path: Path, *, force: bool) -> None:
    """Raise SirenError if `write` to this path would fail, as far as can be told beforehand."""
    try:
        descriptor = _descriptor(path)
        if descriptor is not None:
            os.write(descriptor, b"")
            return
        if path.is_dir():
            raise SirenError(f"{path}: is a directory")
        if _target(path).is_symlink():
            raise SirenError(f"{path}: is a link to itself")
        if path.exists() and not force and stat.S_ISREG(path.stat().st_mode):
            raise SirenError(f"{path}: exists already; --force overwrites it")
        if is_special(path):
            if not os.access(path, os.W_OK):
                raise SirenError(f"{path}: cannot be written")
            return
        with tempfile.TemporaryFile(dir=_target(path).parent):
            pass
    except OSError as error:
        raise SirenError(f"{path}: cannot be written: {error.strerror}") from None


def write(path: Path, data: bytes, *, force: bool) -> None:
    """Write a file beside the path and rename it, so that no reader ever meets half of it.

    A device, a pipe or an open file (/dev/fd/3) is written to directly. Raises SirenError; nothing
    is then left behind.
    """
    check(path, force=force)
    if is_special(path):
        descriptor = _descriptor(path)
        try:
            # An open file goes on from where it is.
            with open(path if descriptor is None else os.dup(descriptor), "wb") as file:
                file.write(data)
        except OSError as error:
            raise SirenError(f"{path}: cannot be written: {error.strerror}") from None
        return
    _write_whole(path, data)


def _write_whole(path: Path, data: bytes) -> None:
    target = _target(path)
    # Never the name of one that a killed process left: its id may have come round again.
    temporary = target.with_name(f".siren-{os.getpid()}-{os.urandom(8).hex()}.part")
    began = False
    try:
        with open(temporary, "xb") as file:
            began = True
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    except OSError as error:
        raise SirenError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if began:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _target(path: Path) -> Path:
    """Return the file that a path means, links followed, so that a link stays one."""
    return Path(os.path.realpath(path))


def _descriptor(path: Path) -> int | None:
    """Return the number of a file that is open already, if a path says so."""
    found = re.fullmatch(r"/(?:dev|proc/self)/fd/(\d{1,9})", str(path))
    return int(found[1]) if found else 2 if str(path) == "/dev/stderr" else None


def is_special(path: Path) -> bool:
    """Tell whether a path is a device, a pipe or an open file, whose name says nothing."""
    if _descriptor(path) is not None:
        return True
    return os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path)
