"""What of a picture is shown, and how large."""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, SupportsFloat, SupportsIndex, get_args

from siren_codec.errors import LimitError, UsageError

__all__ = ["SHOWS", "Crop", "Show", "Size", "View"]

Show = Literal["colour", "gradient", "laplacian"]
"""`colour`, or the magnitude of the `gradient`, or the `laplacian`."""
SHOWS = get_args(Show)
Size = tuple[int, int]
"""(width, height) of the output, in pixels."""
Crop = tuple[int, int, int, int]
"""(x, y, width, height) in pixels of the original."""


@dataclass(frozen=True)
class View:
    """A part of a picture, and the size at which it is shown: by default all of it, as it is.

    Raises UsageError for what fits no picture; `frame` says whether it fits one.

    >>> siren_codec.View(scale=3, crop=(10, 10, 20, 16)).frame(96, 64)
    ((10, 10, 20, 16), (60, 48))
    """

    size: Size | None = None
    """(width, height) in pixels; a proportion other than the part's stretches it."""
    scale: float | None = None
    """Instead of a size: a multiple of the part's, rounded, and at least one pixel."""
    crop: Crop | None = None
    """(x, y, width, height) of the part, in pixels of the original."""

    def __post_init__(self) -> None:
        if self.size is not None:
            size = _integers("size", self.size, 2)
            if min(size) < 1:
                raise UsageError(f"size {size[0]}x{size[1]}: expected at least 1x1")
            object.__setattr__(self, "size", size)
        if self.crop is not None:
            object.__setattr__(self, "crop", _integers("crop", self.crop, 4))
        if self.scale is not None:
            if self.size is not None:
                raise UsageError("expected a size or a scale, found both")
            object.__setattr__(self, "scale", _positive("scale", self.scale))

    def frame(self, width: int, height: int) -> tuple[Crop, Size]:
        """Return the part of a width x height picture that is meant, and the output's size.

        Raises UsageError if the picture has no such part, LimitError if no output is that large.
        """
        crop = (0, 0, width, height) if self.crop is None else self.crop
        left, top, across, down = crop
        inside = min(left, top) >= 0 and left + across <= width and top + down <= height
        if across < 1 or down < 1 or not inside:
            raise UsageError(
                f"crop {left},{top},{across},{down}: expected a part of the {width}x{height} "
                "picture"
            )
        if self.size is not None:
            return crop, self.size
        scale = 1.0 if self.scale is None else self.scale
        if not math.isfinite(max(across, down) * scale):
            raise LimitError(f"scale {scale}: expected an output that can be counted")
        return crop, (
            max(1, math.floor(across * scale + 0.5)),
            max(1, math.floor(down * scale + 0.5)),
        )


def _integers(name: str, values: Sequence[SupportsIndex], count: int) -> Any:
    """Return a tuple of so many integers, whatever sequence of them was given."""
    try:
        numbers = tuple(operator.index(value) for value in values)
    except TypeError:
        numbers = ()
    if len(numbers) != count:
        raise UsageError(f"{name}: expected {count} integers, found {values!r}")
    return numbers


def _positive(name: str, value: SupportsFloat) -> float:
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"{name} {value}: expected a finite number above 0")
    return number
