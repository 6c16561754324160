"""Functions that say which keywords they take."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["named"]

P = ParamSpec("P")
R = TypeVar("R")


def named(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose TypeError for a wrong keyword names the right ones."""
    parameters = inspect.signature(function).parameters
    options = [name for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY]

    @wraps(function)
    def wrapper(*args: P.args, **keywords: P.kwargs) -> R:
        for name in keywords:
            if name not in parameters:
                raise TypeError(f"no option {name!r}{_advice(name, options)}")
        return function(*args, **keywords)

    return wrapper


def _advice(name: str, known: list[str]) -> str:
    from difflib import get_close_matches  # only for a mistake

    near = get_close_matches(name, known, 1)
    return f", did you mean {near[0]!r}?" if near else f": expected one of {', '.join(known)}"
