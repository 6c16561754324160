"""Where the kernels' machine code is kept, so that a machine compiles it once.

Each kernel has a file, named after the processor and the versions, that begins with a hash of its
code and of all sources of this package. A file that cannot be read, or written, costs the time of a
compilation and nothing else.
"""

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from llvmlite import binding

from siren_codec.fit.kernels import layout

__all__ = ["Code", "one_process", "read", "write"]

Code = tuple[str, bytes]
"""A symbol, and the object file that defines it."""
_DIGEST = hashlib.sha256().digest_size


def read(name: str) -> Code | None:
    """Return the code of a kernel, None if there is none of these sources."""
    for folder in folders():
        try:
            data = _path(folder, name).read_bytes()
        except OSError:
            continue
        digest, rest = data[:_DIGEST], data[_DIGEST:]
        if digest == _digest(rest):
            symbol, code = rest.split(b"\n", 1)
            return symbol.decode(), code
    return None


def write(name: str, code: Code) -> None:
    """Keep the code of a kernel in the first folder that takes it."""
    data = code[0].encode() + b"\n" + code[1]
    for folder in folders():
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            _replace(_path(folder, name), _digest(data) + data)
            return


@contextmanager
def one_process() -> Iterator[None]:
    """Let one process at a time compile: the others find what it made. Where it can be had."""
    with ExitStack() as stack:
        for folder in folders():
            with suppress(ImportError, OSError):
                import fcntl

                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(folder / "kernels.lock", "wb"))
                fcntl.flock(file, fcntl.LOCK_EX)
                break
        yield


def folders() -> list[Path]:
    """Return where code is kept: NUMBA_CACHE_DIR, else beside the source or for the user."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return [Path(os.environ["NUMBA_CACHE_DIR"]) / "siren_codec"]
    if sys.platform == "win32":
        user = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        user = "~/Library/Caches"
    else:
        user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [Path(__file__).parent / "__pycache__", Path(user).expanduser() / "siren_codec"]


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}-{_machine()}.kernel"


def _replace(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _digest(data: bytes) -> bytes:
    """Return what tells that code is whole, and made of these sources."""
    return hashlib.sha256(_sources() + data).digest()


@cache
def _sources() -> bytes:
    """Return a hash of all sources of this package."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.digest()


@cache
def _machine() -> str:
    """Return a name for the processor and the versions that machine code depends on."""
    known = [binding.get_process_triple(), binding.get_host_cpu_name(), layout.features()]
    known += [os.environ.get("NUMBA_CPU_NAME", ""), sys.version]
    for package in ("numba", "llvmlite"):
        with suppress(PackageNotFoundError):
            known.append(f"{package} {version(package)}")
    return hashlib.sha256("\n".join(known).encode()).hexdigest()[:16]
