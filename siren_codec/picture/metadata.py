"""ICC, EXIF and XMP: raw bytes that go with a picture, of which only the orientation is changed."""

import codecs
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from siren_codec.limits import DEFAULT_LIMITS
from siren_codec.picture.picture import Picture
from siren_codec.picture.samples import Samples, turned

__all__ = ["EXIF_PREFIX", "Metadata", "upright"]

EXIF_PREFIX = b"Exif\0\0"
"""What EXIF begins with in a JPEG's APP1, and in a Picture."""

_ORIENTATION, _IFD_ENTRY = 0x0112, 12
_INTEGERS = {1: 1, 3: 2, 4: 4}
"""EXIF's types of integers, and their bytes."""
_TIFF_NAMESPACE = "http://ns.adobe.com/tiff/1.0/"
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels, as raw bytes; b"" is none.

    `orientation` is given if something else than EXIF or XMP says it. `notices` are of what could
    not be read.
    """

    icc: bytes = b""
    exif: bytes = b""
    xmp: bytes = b""
    orientation: int | None = None
    notices: tuple[str, ...] = ()

    def without_profile(self, notice: str) -> "Metadata":
        """Return these without the ICC profile, and a notice that says so."""
        return replace(self, icc=b"", notices=(*self.notices, notice))


def upright(samples: Samples, found: Metadata) -> Picture:
    """Return the Picture of samples and their metadata: turned once, and no more to be turned."""
    exif, by_exif = _exif_upright(found.exif)
    xmp, by_xmp = _xmp_upright(found.xmp)
    notices = list(samples.notices)
    if found.exif and not exif:
        notices.append("dropped the EXIF, which is broken")
    told = [each for each in (found.orientation, by_exif, by_xmp) if each is not None]
    orientation = told[0] if told else 1
    if orientation in range(2, 9):
        notices.append("applied the EXIF orientation to the pixels")
    if len(set(told)) > 1:
        notices.append(f"dropped other orientations than {orientation}, in XMP or EXIF")
    kept = {}
    for name, payload in {"icc": found.icc, "exif": exif, "xmp": xmp}.items():
        if len(payload) > DEFAULT_LIMITS.metadata_bytes:
            notices.append(f"dropped the {name.upper()}, which has {len(payload)} bytes")
        elif payload:
            kept[name] = payload
    pixels = np.ascontiguousarray(turned(samples.pixels, orientation))
    return Picture(pixels, kept, (*notices, *found.notices))


def _exif_upright(raw: bytes) -> tuple[bytes, int | None]:
    """Return EXIF with its prefix and 1 for its orientation, and the orientation that it had.

    b"" if it is none.
    """
    exif = raw
    while exif.startswith(EXIF_PREFIX):
        exif = exif[len(EXIF_PREFIX) :]
    if exif[:4] not in (b"II*\0", b"MM\0*") or len(exif) < 10:
        return b"", None
    order: Literal["little", "big"] = "little" if exif[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(exif[at : at + size], order)

    start = number(4, 4)
    for index in range(number(start, 2)):
        at = start + 2 + _IFD_ENTRY * index
        size = _INTEGERS.get(number(at + 2, 2))
        if number(at, 2) != _ORIENTATION or not size or at + _IFD_ENTRY > len(exif):
            continue
        value = number(at + 8, size)
        if value in range(2, 9):
            exif = exif[: at + 8] + (1).to_bytes(size, order) + exif[at + 8 + size :]
        return EXIF_PREFIX + exif, value if value in range(1, 9) else None
    return EXIF_PREFIX + exif, None


def _xmp_upright(raw: bytes) -> tuple[bytes, int | None]:
    """Return XMP without its orientation, and that; both as they are if it says nothing but 1."""
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if raw.startswith(mark)), "")
    if not encoding and b"\0" in raw[:4]:
        encoding = "utf-16-le" if raw[1:2] == b"\0" else "utf-16-be"
    errors = "strict" if encoding else "surrogateescape"
    try:
        text = raw.decode(encoding or "utf-8", errors)
    except UnicodeDecodeError:
        return raw, None
    namespace = re.escape(_TIFF_NAMESPACE)
    prefixes = {"tiff", *re.findall(rf"xmlns:([\w.-]{{1,40}})\s*=\s*[\"']{namespace}[\"']", text)}
    name = rf"(?:{'|'.join(map(re.escape, sorted(prefixes)))}):Orientation"
    orientations = re.compile(
        rf"\s+{name}\s*=\s*([\"'])\s*(?P<attribute>\d+)\s*\1"
        rf"|<{name}(?:\s[^<>]*)?>\s*(?P<element>\d+)\s*</{name}\s*>"
    )
    found = [match["attribute"] or match["element"] for match in orientations.finditer(text)]
    values = [int(value) for value in found if len(value) == 1 and value in "12345678"]
    if not values:
        return raw, None
    if set(values) == {1}:
        return raw, 1
    return orientations.sub("", text).encode(encoding or "utf-8", errors), values[0]
