"""The Picture: pixels with their depth, and the metadata that goes with them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.errors import LimitError, PictureError, UsageError

__all__ = ["METADATA", "MODES", "Picture", "Pixels", "broken", "check_size", "from_array", "strip"]

Pixels = npt.NDArray[Any]

MODES = ("L", "LA", "RGB", "RGBA")
"""What Pillow calls pictures of 1, 2, 3 and 4 channels."""
METADATA = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp"}
"""The metadata that a picture may have, and what Pillow calls them."""


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels (height, width, channels) of uint8 or uint16, and what came with them.

    1, 2, 3 or 4 channels are L, LA, RGB and RGBA. `metadata` maps names of METADATA to raw bytes.
    `notices` says in words what was converted on the way in.
    """

    pixels: Pixels
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    notices: tuple[str, ...] = ()


def from_array(array: npt.ArrayLike, *, max_pixels: int) -> Picture:
    """Return the Picture of a (height, width) or (height, width, 1..4) uint8 or uint16 array."""
    try:
        pixels = np.asarray(array)
    except ValueError as error:
        raise UsageError(f"pixels: expected an array: {error}") from None
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise UsageError(f"pixels: expected uint8 or uint16, found {pixels.dtype}")
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (1, 2, 3, 4)):
        raise UsageError(
            f"pixels: expected (height, width) or (height, width, 1..4), found {pixels.shape}"
        )
    check_size(pixels.shape[1], pixels.shape[0], max_pixels)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Picture(np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")))


def strip(picture: Picture) -> Picture:
    """Return a picture without its metadata.

    Nothing of it is needed to see the picture upright: the orientation was applied to the pixels.
    Its colours are those of the profile that goes, and are taken for sRGB from then on.
    """
    return replace(picture, metadata={})


def broken(error: Exception) -> PictureError:
    """Return what a library says of a broken picture as an error of one line."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return PictureError(f"broken picture: {reason}")


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise PictureError or LimitError for a picture that has no pixels, or too many."""
    if width < 1 or height < 1:
        raise PictureError(f"expected at least 1x1 pixels, found {width}x{height}")
    if width * height > max_pixels:
        raise LimitError(f"{width}x{height}: expected at most {max_pixels} pixels")
