"""Compiled kernels for a step of the fit on a CPU.

numba compiles them (`compiler`, `siren`, `context`, `latents` and what these import), once a
machine; from then on they are loaded (`store`, `native`) without it. Without llvmlite and numba
there are none.
"""

import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from siren_codec.fit.kernels.native import Library
    from siren_codec.fit.kernels.store import Code

__all__ = ["load", "load_ahead", "on_standard_error"]

_SECONDS = 15
"""About what a compilation takes."""

_lock = threading.Lock()
_found: "Library | str | None" = None
"""The kernels, or why there are none; None if they were not looked for."""


def on_standard_error(line: str) -> None:
    """Say a line on standard error, if there is one that can be written."""
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            print(f"siren_codec: {line}", file=sys.stderr, flush=True)


def load(notify: Callable[[str], None] = on_standard_error) -> "Library | None":
    """Return the kernels, made ready once in a process; None if there are none.

    `notify` is called with a line if they are compiled first, which takes a while, or if there are
    none and torch takes their place.
    """
    global _found
    with _lock:
        if _found is None:
            _found = _load(notify)
            if isinstance(_found, str):
                notify(f"no compiled kernels ({_found}): a fit takes several times as long")
        return None if isinstance(_found, str) else _found


def load_ahead(notify: Callable[[str], None] = on_standard_error) -> None:
    """Begin to make the kernels ready, while other work goes on: `load` then waits for the rest."""
    if _found is None:
        threading.Thread(target=load, args=(notify,), daemon=True).start()


def _load(notify: Callable[[str], None]) -> "Library | str":
    """Return the kernels, or in a few words why there are none."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    try:
        from siren_codec.fit.kernels import native, store

        found = _stored()
        if len(found) < len(native.SIGNATURES):
            with store.one_process():
                found = _stored()
                if len(found) < len(native.SIGNATURES):
                    notify(f"compiling kernels for this machine, once: about {_SECONDS} s")
                    found = _compiled()
        return native.Library(found)
    except Exception as error:
        # numba or llvmlite missing, or whatever they make of a strange machine: torch does the
        # same, and slower.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return lines[0]


def _stored() -> "dict[str, Code]":
    from siren_codec.fit.kernels import native, store

    found = {name: store.read(name) for name in native.SIGNATURES}
    return {name: code for name, code in found.items() if code is not None}


def _compiled() -> "dict[str, Code]":
    from siren_codec.fit.kernels import compiler, native, store

    found = {name: compiler.compiled(name) for name in native.SIGNATURES}
    for name, code in found.items():
        store.write(name, code)
    return found
