"""Are all pixels of a JPEG there? libjpeg-turbo says so (by simplejpeg), at an eighth the size.

libjpeg fills up with grey what is missing, or goes on after damage, with a warning that neither
Pillow nor imagecodecs passes on. Of scans that are not there at all it says nothing.
"""

import re
from collections.abc import Iterator

from siren_codec.errors import PictureError

__all__ = ["fault", "is_jpeg"]

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_SOF_PROGRESSIVE, _SOS, _EOI = 0xC2, 0xDA, 0xD9
_MOST_SCANS = 500
_FAULTS = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How libjpeg's warnings of missing or damaged pixels begin; others are of no matter."""


def is_jpeg(head: bytes) -> bool:
    """Tell a JPEG by its first bytes."""
    return head.startswith(b"\xff\xd8\xff")


def fault(data: bytes) -> str:
    """Return what is wrong with the pixels of a JPEG file that libjpeg decodes; "" is nothing.

    Raises PictureError for more scans than any encoder writes, each of which takes time.
    """
    import simplejpeg

    missing = _missing_scans(data)
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        simplejpeg.decode_jpeg(
            data,
            colorspace="CMYK" if colours in ("CMYK", "YCCK") else "GRAY",
            strict=True,
            min_height=1,
            min_width=1,
            min_factor=8,
        )
    except ValueError as error:
        said = str(error)
        return said if said.startswith(_FAULTS) else missing
    return missing


def _missing_scans(data: bytes) -> str:
    """Return what scans a progressive JPEG lacks: those of a coefficient's last bits (T.81, G)."""
    bits: dict[int, list[int]] = {}
    scans = 0
    for marker, segment in _segments(data):
        if marker == _SOF_PROGRESSIVE and len(segment) > 5:
            bits = {number: [1] * 64 for number in segment[6::3]}
        elif marker == _SOS and len(segment) > 3:
            scans += 1
            count = segment[0]
            first, last, low = (segment[1 + 2 * count :] + b"\0\0\0")[:3]
            for number in segment[1 : 1 + 2 * count : 2]:
                for k in range(first, min(last, 63) + 1):
                    bits.get(number, [0] * 64)[k] = low & 0xF
    if scans > _MOST_SCANS:
        raise PictureError(f"expected a JPEG of at most {_MOST_SCANS} scans, found {scans}")
    return "scans are missing" if any(any(each) for each in bits.values()) else ""


def _segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the markers and segments of a JPEG; the codes of its scans are passed over."""
    at = 0
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == _EOI:
            return
        if marker not in _WITHOUT_LENGTH:
            length = int.from_bytes(data[at : at + 2], "big")
            yield marker, data[at + 2 : at + length]
            at += max(length, 2)
