"""Compiled kernels for a step of the fit on a CPU; without numba there are none."""

import sys
import threading
from collections.abc import Callable

__all__ = ["load", "load_ahead", "on_standard_error"]

_SECONDS = 15
"""About what a compilation takes."""

_lock = threading.Lock()
_found: bool | None = None


def on_standard_error(line: str) -> None:
    """Say a line on standard error, if there is one."""
    if sys.stderr is not None:
        print(f"siren_codec: {line}", file=sys.stderr, flush=True)


def load(notify: Callable[[str], None] = on_standard_error) -> bool:
    """Make the kernels ready, once in a process, and tell whether there are any.

    `notify` is called with a line if they are compiled first, which takes a while, or if there are
    none and torch takes their place.
    """
    global _found
    with _lock:
        if _found is None:
            _found = _load(notify)
        return _found


def load_ahead(notify: Callable[[str], None] = on_standard_error) -> None:
    """Begin to make the kernels ready, while other work goes on: `load` then waits for the rest."""
    if _found is None:
        threading.Thread(target=load, args=(notify,), daemon=True).start()


def _load(notify: Callable[[str], None]) -> bool:
    try:
        import numba

        if numba.config.DISABLE_JIT:
            raise ImportError("NUMBA_DISABLE_JIT is set")
        from siren_codec.fit.kernels import compiler, context, latents, siren  # noqa: F401

        if compiler.cached():
            compiler.compile_all()
            return True
        with compiler.one_process():
            if not compiler.cached():
                notify(f"compiling kernels for this machine, once: about {_SECONDS} s")
            compiler.compile_all()
    except ImportError as error:
        notify(f"no compiled kernels ({error}): a fit takes several times as long")
        return False
    except Exception as error:
        # Whatever a compiler makes of a strange machine: torch does the same, and slower.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        notify(f"kernels were not compiled ({lines[0]}): a fit takes several times as long")
        return False
    return True
