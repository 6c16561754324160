"""Output files that are whole or absent."""

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from siren_codec.errors import SirenError

__all__ = ["are_same", "attributes", "check", "is_special", "make_folder", "write"]

_PRIVATE = 0o600
_PERMISSIONS = 0o777
"""Of a mode: never the bits that give a file its owner's rights."""


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


def write(
    path: Path,
    data: bytes,
    *,
    force: bool,
    like: os.stat_result | None = None,
    private: bool = False,
) -> None:
    """Write a file beside the path and rename it, so that no reader ever meets half of it.

    The file has the mode, the group and the modification time of what it is `like`; else the mode
    of the file that it replaces; else only its owner may read it if it is `private`. Until it has
    its mode nobody else may. A device, a pipe or an open file (/dev/fd/3) is written to directly.
    Raises SirenError; nothing is then left behind.
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
    _write_whole(path, data, like=like, private=private)


def _write_whole(path: Path, data: bytes, *, like: os.stat_result | None, private: bool) -> None:
    target = _target(path)
    # Never the name of one that a killed process left: its id may have come round again.
    temporary = target.with_name(f".siren-{os.getpid()}-{os.urandom(8).hex()}.part")
    began = False
    try:
        replaced = target.stat() if target.exists() else None
        model = like or replaced
        opener = _open_private if model or private else None
        with open(temporary, "xb", opener=opener) as file:
            began = True
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if model:
            _take_over(temporary, model)
        if like:
            _date(temporary, like)
        os.replace(temporary, target)
    except OSError as error:
        raise SirenError(f"{path}: cannot be written: {error.strerror}") from None
    finally:
        if began:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def are_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Tell whether two names are those of one file, that may not be there yet."""
    try:
        return os.path.samefile(one, other) and not is_special(Path(one))
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            return os.path.realpath(one) == os.path.realpath(other)
        return False


def attributes(source: str | Path) -> os.stat_result | None:
    """Return what an output may be `like`: None if its source is no file."""
    try:
        found = os.stat(source)
    except (OSError, ValueError):
        return None
    return found if stat.S_ISREG(found.st_mode) else None


def make_folder(path: Path, *, like: os.stat_result | None = None) -> None:
    """Make a folder if it is not there, with the mode of what it is `like`. Raises OSError."""
    try:
        path.mkdir(mode=_PERMISSIONS if like is None else 0o700)
    except FileExistsError:
        if not path.is_dir():
            raise
    else:
        if like is not None:
            _take_over(path, like, least=0o700)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, _PRIVATE)


def _take_over(path: Path, like: os.stat_result, *, least: int = 0) -> None:
    """Give a file the group and the permissions of another; where that fails it has fewer."""
    now = path.stat()
    # A folder may hand its group down to what is made in it.
    mode = like.st_mode & _PERMISSIONS | least | now.st_mode & stat.S_ISGID
    if hasattr(os, "chown") and now.st_gid != like.st_gid:
        try:
            os.chown(path, -1, like.st_gid)
        except OSError:
            # This other group may do what everybody may.
            mode &= ~0o070 | (mode & 0o007) << 3
    with suppress(OSError):
        os.chmod(path, mode)


def _date(path: Path, like: os.stat_result) -> None:
    with suppress(OSError, OverflowError):
        os.utime(path, ns=(like.st_atime_ns, like.st_mtime_ns))


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
