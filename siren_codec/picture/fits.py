"""FITS of one plane (standard 4.0): Pillow reads it without its sign, scale and zero."""

import numpy as np

from siren_codec.errors import PictureError
from siren_codec.picture.picture import Picture, check_size
from siren_codec.picture.samples import Samples, grey_of_floats, grey_of_integers

__all__ = ["is_fits", "read"]

_BLOCK, _CARD = 2880, 80
_TYPES = {8: ">u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}


def is_fits(head: bytes) -> bool:
    """Tell whether a file that begins so is FITS."""
    return head.startswith(b"SIMPLE  =")


def read(data: bytes, max_pixels: int) -> Picture:
    """Return the Picture of a FITS file's first plane. Raises PictureError or LimitError."""
    cards, start = _cards(data)
    bits, axes = int(cards.get("BITPIX", 0)), int(cards.get("NAXIS", 0))
    sizes = [int(cards.get(f"NAXIS{axis}", 0)) for axis in range(1, axes + 1)]
    if bits not in _TYPES or axes < 2 or any(size != 1 for size in sizes[2:]):
        raise PictureError(f"expected FITS of one plane, found {bits} bits and sizes {sizes}")
    width, height = sizes[:2]
    check_size(width, height, max_pixels)
    stored = np.dtype(_TYPES[bits])
    if len(data) < start + width * height * stored.itemsize:
        raise PictureError("broken picture: the FITS is truncated")
    values = np.frombuffer(data, stored, width * height, start).reshape(height, width, 1)[::-1]
    if bits > 0 and "BLANK" in cards and (values == int(cards["BLANK"])).any():
        raise PictureError("expected a value for each sample, found blank ones")
    zero, scale = float(cards.get("BZERO", 0)), float(cards.get("BSCALE", 1))
    if bits == 8 and (zero, scale) == (0, 1):
        samples = Samples(values.astype(np.uint8))
    elif bits > 0 and scale == 1 and zero.is_integer():
        samples = grey_of_integers(values.astype(np.int64) + int(zero))
    else:
        samples = grey_of_floats(values * scale + zero)
    return Picture(np.ascontiguousarray(samples.pixels), {}, samples.notices)


def _cards(data: bytes) -> tuple[dict[str, str], int]:
    """Return the values of a header by their keywords, and where the pixels begin."""
    cards: dict[str, str] = {}
    for at in range(0, len(data) - _CARD + 1, _CARD):
        card = data[at : at + _CARD].decode("ascii", "replace")
        keyword, value = card[:8].strip(), card[10:].partition("/")[0].strip()
        if keyword == "END":
            return cards, -(-(at + _CARD) // _BLOCK) * _BLOCK
        if card[8:10] == "= ":
            cards.setdefault(keyword, value.replace("D", "E"))
    raise PictureError("broken picture: a FITS header without an end")
