"""The pictures that are compressed: files, or the photographs that scikit-image brings along.

The default is three colour photographs of scikit-image's wheel that it stores without loss, so
that nothing is downloaded: `astronaut` (512 x 512), `chelsea` (451 x 300) and `coffee` (600 x 400).
Its `rocket`, `retina` and `hubble_deep_field` are JPEG files, which would flatter JPEG.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from siren_codec import picture as pictures
from siren_codec.errors import PictureError, UsageError
from siren_codec.stream import DEFAULT_LIMITS

__all__ = ["BUNDLED", "Original", "Pixels", "bundled", "load", "middle", "shrunk", "whole"]

Pixels = npt.NDArray[np.uint8]

BUNDLED = ("astronaut", "chelsea", "coffee")
"""What is compressed where no picture is given."""


@dataclass(frozen=True, eq=False)
class Original:
    """A picture to compress: uint8 (height, width, 3)."""

    name: str
    """The file's name without its extension."""
    pixels: Pixels

    @property
    def sha256(self) -> str:
        """The digest of the pixels: a name alone does not tell one picture from another."""
        return hashlib.sha256(np.ascontiguousarray(self.pixels).data).hexdigest()


def bundled() -> list[Original]:
    """Return the pictures of BUNDLED, which are read from scikit-image's own files."""
    from skimage import data

    return [Original(name, np.asarray(getattr(data, name)(), np.uint8)) for name in BUNDLED]


def load(paths: Sequence[Path]) -> list[Original]:
    """Read RGB pictures of 8 bits, each name once. Raises SirenError."""
    found = []
    for path in paths:
        pixels = pictures.load(path, max_pixels=DEFAULT_LIMITS.pixels).pixels
        if pixels.dtype != np.uint8 or pixels.shape[2] != 3:
            depth = 8 * pixels.dtype.itemsize
            raise PictureError(
                f"{path}: expected RGB of 8 bits, found {pixels.shape[2]} channels of {depth} bits"
            )
        found.append(Original(path.stem, pixels))
    names = [original.name for original in found]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"expected pictures of different names, found {name} twice")
    return found


def middle(original: Original, side: int) -> Original:
    """Return the middle of a picture, at most `side` pixels wide and high."""
    height, width = original.pixels.shape[:2]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    part = original.pixels[top : top + side, left : left + side]
    return Original(original.name, np.ascontiguousarray(part))


def whole(pixels: Pixels, scale: int) -> Pixels:
    """Return a picture without the last rows and columns that are no whole cell of `scale`."""
    height, width = pixels.shape[:2]
    if min(height, width) < scale:
        raise UsageError(f"expected at least {scale} x {scale} pixels, found {width} x {height}")
    return pixels[: height // scale * scale, : width // scale * scale]


def shrunk(pixels: Pixels, scale: int) -> Pixels:
    """Return a `whole` picture at 1/scale of its size: means of its cells, halves rounded up."""
    height, width = (length // scale for length in pixels.shape[:2])
    cells = pixels.reshape(height, scale, width, scale, -1).sum((1, 3), dtype=np.uint32)
    return np.asarray((cells + scale**2 // 2) // scale**2, np.uint8)
