"""How kernels are compiled: by numba, for the processor at hand, and kept on disk.

numba's own cache asks for the file of a function alone whether it has changed; a kernel here also
depends on the files that it calls. So each kernel's machine code is kept in a file of its own,
named after the processor and the versions, with a hash of it and of all sources of this package. A
file that cannot be read, or written, costs the time of a compilation and nothing else.
"""

import hashlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite
import numba
import numba.extending
from llvmlite import binding
from numba.core import config
from numba.core.caching import NullCache
from numba.core.compiler import CompileResult
from numba.core.serialize import dumps

__all__ = [
    "LANES",
    "cached",
    "compile_all",
    "entry",
    "inner",
    "intrinsic",
    "one_process",
    "summing",
]

F = TypeVar("F", bound=Callable[..., Any])

_EXACT = frozenset({"contract", "nsz"})
"""What the compiler may do to arithmetic: fuse a product with a sum."""
_REORDERED = frozenset({*_EXACT, "reassoc", "arcp"})
"""And add up in another order: sums then take whole vectors."""

_entries: list[tuple[Any, str]] = []


def _features() -> str:
    """Return the processor's features as numba sees them (NUMBA_CPU_FEATURES)."""
    return str(config.CPU_FEATURES or binding.get_host_cpu_features().flatten())


LANES = 16 if "+avx512f" in _features() else 8
"""float32 numbers of a vector, as the blocks use it."""


def inner(function: F) -> F:
    """Compile a function that kernels call."""
    return _compiled(function, _EXACT)


def summing(function: F) -> F:
    """Compile a function that kernels call, whose sums may be reordered."""
    return _compiled(function, _REORDERED)


def entry(signature: str) -> Callable[[F], F]:
    """Compile a function that Python calls, of one signature of numba's, with `compile_all`."""

    def register(function: F) -> F:
        found: Any = _compiled(function, _EXACT)
        found._cache = _Cache(function.__name__)
        _entries.append((found, signature))
        return cast(F, found)

    return register


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let kernels call what a function writes in LLVM's language (`numba.extending`).

    The function has the typing context as an argument more, and returns a signature and what
    generates the code.
    """
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def _compiled(function: F, liberties: frozenset[str]) -> F:
    found = numba.njit(function, fastmath=set(liberties), error_model="numpy", nogil=True)
    return cast(F, found)


def cached() -> bool:
    """Tell whether all kernels lie on disk, made of these sources."""
    return all(found._cache.read() is not None for found, _ in _entries)


def compile_all() -> None:
    """Compile all kernels, or load them from disk."""
    for found, signature in _entries:
        found.compile(signature)


@contextmanager
def one_process() -> Iterator[None]:
    """Let one process at a time compile: the others find what it made. Where it can be had."""
    with ExitStack() as stack:
        for folder in _folders():
            with suppress(ImportError, OSError):
                import fcntl

                folder.mkdir(parents=True, exist_ok=True)
                file = stack.enter_context(open(folder / "kernels.lock", "wb"))
                fcntl.flock(file, fcntl.LOCK_EX)
                break
        yield


class _Cache(NullCache):  # type: ignore[misc]
    """Keeps the machine code of one kernel beside its source or, failing that, for the user."""

    def __init__(self, name: str) -> None:
        self._name = name

    def load_overload(self, sig: Any, target_context: Any) -> Any:  # noqa: ARG002
        """Return the kernel from disk, None if it is not there as it was written."""
        code = self.read()
        if code is None:
            return None
        try:
            target_context.refresh()
            return CompileResult._rebuild(target_context, *pickle.loads(code))
        except Exception:
            # What numba and pickle make of strange code can be anything.
            return None

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ARG002
        """Write the kernel to the first folder that takes it."""
        code = dumps(data._reduce())
        for path in self._paths():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                _replace(path, _digest(code) + code)
            except OSError:
                continue
            return

    def read(self) -> bytes | None:
        """Return the code on disk, None if there is none of these sources."""
        for path in self._paths():
            try:
                found = path.read_bytes()
            except OSError:
                continue
            digest, code = found[:_DIGEST], found[_DIGEST:]
            if digest == _digest(code):
                return code
        return None

    def _paths(self) -> list[Path]:
        """Return where the code may lie."""
        return [folder / f"{self._name}-{_machine()}.kernel" for folder in _folders()]


def _replace(path: Path, data: bytes) -> None:
    """Write a file that is whole or absent."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _folders() -> list[Path]:
    """Return where kernels are kept: NUMBA_CACHE_DIR, else beside the source or for the user."""
    if config.CACHE_DIR:
        return [Path(config.CACHE_DIR) / "siren_codec"]
    if sys.platform == "win32":
        user = os.environ.get("LOCALAPPDATA", "~/AppData/Local")
    elif sys.platform == "darwin":
        user = "~/Library/Caches"
    else:
        user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return [Path(__file__).parent / "__pycache__", Path(user).expanduser() / "siren_codec"]


_DIGEST = hashlib.sha256().digest_size


def _digest(code: bytes) -> bytes:
    """Return what tells that code is whole, and made of these sources."""
    return hashlib.sha256(_sources() + code).digest()


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
    processor = config.CPU_NAME or binding.get_host_cpu_name(), _features()
    versions = sys.version, numba.__version__, llvmlite.__version__
    known = repr((binding.get_process_triple(), *processor, *versions))
    return hashlib.sha256(known.encode()).hexdigest()[:16]
