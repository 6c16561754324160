"""Is all of a JPEG there? libjpeg-turbo says so (by simplejpeg), at an eighth the size.

libjpeg fills up with grey what is missing, or goes on after damage, with a warning that neither
Pillow nor imagecodecs passes on. Of scans that are not there at all it says nothing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from siren_codec.errors import PictureError

__all__ = ["fault", "is_jpeg", "lost_metadata"]

_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD9))
_APP1, _APP2 = 0xE1, 0xE2
_ICC, _XMP_EXTENSION = b"ICC_PROFILE\0", b"http://ns.adobe.com/xmp/extension/\0"
_OF_METADATA = (*range(0xE1, 0xEE), 0xEF, 0xFE)
"""All of the applications' segments but JFIF's and Adobe's, which say what the colours are."""
_SOF_PROGRESSIVE, _SOS, _EOI = 0xC2, 0xDA, 0xD9
_MOST_SCANS = 500
_FAULTS = ("Corrupt JPEG data", "Premature end", "Inconsistent progression")
"""How libjpeg's warnings of missing or damaged pixels begin; others are of no matter."""


class _Segment(NamedTuple):
    marker: int
    payload: bytes
    start: int
    end: int


def is_jpeg(head: bytes) -> bool:
    """Tell a JPEG by its first bytes."""
    return head.startswith(b"\xff\xd8\xff")


def fault(data: bytes) -> str:
    """Return what is wrong with the pixels of a JPEG file that libjpeg decodes; "" is nothing.

    Raises PictureError for more scans than any encoder writes, each of which takes time.
    """
    import simplejpeg

    missing, data = _missing_scans(data), _without_metadata(data)
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
        reason = str(error)
        return reason if reason.startswith(_FAULTS) else missing
    return missing


def lost_metadata(data: bytes) -> tuple[str, ...]:
    """Return notices of metadata that Pillow leaves out without saying so."""
    notices, numbers, count = list[str](), set[int](), 0
    for marker, segment, *_ in _segments(data):
        if marker == _SOS:
            break
        if marker == _APP2 and segment.startswith(_ICC) and len(segment) > len(_ICC) + 2:
            numbers.add(segment[len(_ICC)])
            count = max(count, segment[len(_ICC) + 1])
        if marker == _APP1 and segment.startswith(_XMP_EXTENSION) and not notices:
            notices.append("dropped the extension of the XMP, beyond its first 64 KB")
    if numbers and numbers != set(range(1, count + 1)):
        notices.append("dropped the ICC, of which parts are missing")
    return tuple(notices)


def _missing_scans(data: bytes) -> str:
    """Return what scans a progressive JPEG lacks: those of a coefficient's last bits (T.81, G)."""
    bits: dict[int, list[int]] = {}
    scans = 0
    for marker, segment, *_ in _segments(data):
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


def _without_metadata(data: bytes) -> bytes:
    """Return a JPEG without the segments that libjpeg warns of for other reasons."""
    kept, at = [], 0
    for segment in _segments(data):
        if segment.marker in _OF_METADATA:
            kept.append(data[at : segment.start])
            at = segment.end
    return b"".join([*kept, data[at:]])


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield the markers and segments of a JPEG; the codes of its scans are skipped."""
    at = 0
    while match := _MARKER.search(data, at):
        marker, at = match[1][0], match.end()
        if marker == _EOI:
            return
        if marker not in _WITHOUT_LENGTH:
            end = at + max(int.from_bytes(data[at : at + 2], "big"), 2)
            yield _Segment(marker, data[at + 2 : end], match.start(), end)
            at = end
