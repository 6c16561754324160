"""Samples: pixels on the way to a Picture, and what is done to their values."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siren_codec.errors import PictureError
from siren_codec.picture.picture import Pixels

__all__ = [
    "DIVIDED",
    "Samples",
    "cmyk_to_rgb",
    "grey_of_floats",
    "grey_of_integers",
    "scaled",
    "turned",
    "whole_range",
    "with_extra",
]

DIVIDED = "divided the colours by the alpha that the file had multiplied in"
"""The notice of it."""


@dataclass(frozen=True, eq=False)
class Samples:
    """The (height, width, 1..4) uint8 or uint16 pixels of a file, and notices of their making."""

    pixels: Pixels
    notices: tuple[str, ...] = ()


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return pixels turned as EXIF's orientation, 1 to 8, says that they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def scaled(values: Pixels, peak: int) -> Pixels:
    """Return samples of 0..peak as uint16 of 0..65535, the nearest."""
    wide = values.astype(np.uint32) * np.uint32(65535) + np.uint32(peak // 2)
    return (wide // np.uint32(peak)).astype(np.uint16)


def whole_range(values: Pixels, bits: int) -> tuple[Pixels, tuple[str, ...]]:
    """Return samples of so many bits as 8 or 16, from the least to the greatest, and notices."""
    if bits in (8, 16):
        return values, ()
    wide = scaled(values, (1 << bits) - 1)
    if bits < 8:
        notices = ("converted 1 to L",) if bits == 1 else ()
        return np.rint(wide / 257).astype(np.uint8), notices
    return wide, (f"scaled samples of {bits} bits to 16",)


def grey_of_integers(values: Pixels) -> Samples:
    """Return 32-bit grey as 16 bits of the same values; refuse what does not fit."""
    least, most = values.min(), values.max()
    if least < 0 or most > 65535:
        raise PictureError(f"expected grey samples of 0..65535, found {least}..{most}")
    notice = f"kept 32-bit grey samples of {least}..{most} as 16 bits"
    return Samples(values.astype(np.uint16), (notice,))


def grey_of_floats(values: Pixels) -> Samples:
    """Return floating-point grey as 16 bits, its least value 0 and its greatest 65535."""
    least, most = values.min(), values.max()
    span = float(most) - float(least) or 1.0
    if not np.isfinite([least, most, span]).all():
        raise PictureError("expected finite samples, found infinities or NaN")
    notice = f"scaled floating-point grey samples from {least}..{most} to 16 bits"
    pixels = np.rint((values - np.float64(least)) * (65535 / span)).astype(np.uint16)
    return Samples(pixels, (notice,))


def cmyk_to_rgb(pixels: Pixels) -> Pixels:
    """Return the RGB(A) of CMYK(A), as Pillow converts it: each ink takes its part of the light."""
    peak = np.iinfo(pixels.dtype).max
    inks = pixels.astype(np.int64)
    light = peak - inks[:, :, 3:4]
    colours = light - (inks[:, :, :3] * light + peak // 2) // peak
    return np.dstack([colours.astype(pixels.dtype), pixels[:, :, 4:]])


def with_extra(pixels: Pixels, colours: int, extra: Sequence[int]) -> Samples:
    """Return L, LA, RGB or RGBA of colours and a TIFF's extra samples: alpha, or any.

    `extra` holds the kinds by TIFF's numbers: 1 is alpha that was multiplied in, 2 is alpha.
    Samples that the file does not explain are dropped.
    """
    kind = int(extra[0]) if extra else 2
    kept = colours + (kind in (1, 2) and pixels.shape[2] > colours)
    notices = []
    if pixels.shape[2] > kept:
        notices.append(f"dropped {pixels.shape[2] - kept} channels beyond colour and alpha")
    pixels = pixels[:, :, :kept]
    if kind == 1 and kept > colours:
        notices.append(DIVIDED)
        pixels = _divided(pixels)
    return Samples(pixels, tuple(notices))


def _divided(pixels: Pixels) -> Pixels:
    """Return LA or RGBA with the colours divided by alpha."""
    alpha = pixels[:, :, -1:].astype(np.uint32)
    peak = np.uint32(np.iinfo(pixels.dtype).max)
    colours = (pixels[:, :, :-1] * peak + alpha // 2) // np.maximum(alpha, 1)
    return np.dstack([np.minimum(colours, peak).astype(pixels.dtype), pixels[:, :, -1]])
