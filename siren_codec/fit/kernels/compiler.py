"""How kernels are compiled: by numba, for the processor at hand."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numba.extending
from numba.core.caching import NullCache

from siren_codec.fit.kernels.native import SIGNATURES, width
from siren_codec.fit.kernels.store import Code

__all__ = ["compiled", "entry", "inner", "intrinsic", "summing"]

F = TypeVar("F", bound=Callable[..., Any])

_EXACT = frozenset({"contract", "nsz"})
"""What the compiler may do to arithmetic: fuse a product with a sum."""
_REORDERED = frozenset({*_EXACT, "reassoc", "arcp"})
"""And add up in another order: sums then take whole vectors."""

_entries: dict[str, Callable[..., Any]] = {}


def inner(function: F) -> F:
    """Compile a function that kernels call."""
    return cast(F, _jitted(function, _EXACT))


def summing(function: F) -> F:
    """Compile a function that kernels call, whose sums may be reordered."""
    return cast(F, _jitted(function, _REORDERED))


def entry(function: F) -> F:
    """Let a function be a kernel, of the signature that `native` has for it."""
    _entries[function.__name__] = function
    return function


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let kernels call what a function writes in LLVM's language (`numba.extending`).

    The function has the typing context as an argument more, and returns a signature and what
    generates the code.
    """
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def _jitted(function: Any, liberties: frozenset[str]) -> Any:
    """Return numba's dispatcher of a function that holds no Python object and owns no memory."""
    return numba.njit(
        function,
        fastmath=set(liberties),
        error_model="numpy",
        nogil=True,
        no_cpython_wrapper=True,
        no_cfunc_wrapper=True,
        _nrt=False,
    )


def compiled(name: str) -> Code:
    """Compile a kernel. Raises RuntimeError where numba passes arguments in another way."""
    # All modules that define one.
    from siren_codec.fit.kernels import context, latents, siren  # noqa: F401

    dispatcher, keeper = _jitted(_entries[name], _EXACT), _Keeper()
    dispatcher._cache = keeper
    dispatcher.compile(SIGNATURES[name])
    assert keeper.code is not None
    if keeper.width != width(SIGNATURES[name]):
        raise RuntimeError(f"{name}: expected {width(SIGNATURES[name])} arguments of C")
    return keeper.code


class _Keeper(NullCache):  # type: ignore[misc]
    """Takes numba's result, as its cache does."""

    code: Code | None = None
    width = 0

    def save_overload(self, sig: Any, data: Any) -> None:  # noqa: ARG002
        """Keep a kernel's symbol, its object file, and how many arguments of C it has."""
        symbol = data.fndesc.llvm_func_name
        self.width = len(list(data.library.get_function(symbol).arguments))
        self.code = symbol, data.library._get_compiled_object()
