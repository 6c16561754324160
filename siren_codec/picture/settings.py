"""Pillow's limit and the filters of warnings, both the process's: set by a thread at a time."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import RLock

from PIL import Image

__all__ = ["at_least_pixels", "collected_warnings", "notices_of"]

_LOCK = RLock()


@contextmanager
def at_least_pixels(max_pixels: int) -> Iterator[None]:
    """Let Pillow open pictures of so many pixels, where its own limit is lower."""
    with _LOCK:
        before = Image.MAX_IMAGE_PIXELS
        if before is not None and before < max_pixels:
            Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


@contextmanager
def collected_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect all warnings, of which none is shown or raised."""
    with _LOCK, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield warned


def notices_of(warned: Sequence[warnings.WarningMessage]) -> tuple[str, ...]:
    """Return what Pillow says of broken files, each once and in a line."""
    lines = [" ".join(str(each.message).split()) for each in warned if each.category is UserWarning]
    return tuple(dict.fromkeys(f"Pillow: {line}" for line in lines))
