"""JPEG 2000: its boxes by ourselves, its samples by OpenJPEG (through imagecodecs).

Pillow keeps 8 bits of colours, wraps the highest values to 0, and shifts odd depths.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from siren_codec.errors import PictureError
from siren_codec.picture.metadata import Metadata, upright
from siren_codec.picture.picture import Picture, Pixels, broken, check_size
from siren_codec.picture.samples import Samples, cmyk_to_rgb, whole_range, with_extra

__all__ = ["is_jpeg2000", "read"]

_CODESTREAM, _BOXES = b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n"
_CMYK, _SRGB, _GREY = 12, 16, 17
_COLOURS = {_CMYK: 4, _SRGB: 3, _GREY: 1}
_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID = b"JpgTiffExif->JP2"
_OPACITY, _MULTIPLIED_IN = 1, 2
_EXTRA = {_OPACITY: 2, _MULTIPLIED_IN: 1}
"""What TIFF calls a channel that JPEG 2000 calls so."""


@dataclass(frozen=True)
class _Size:
    """What a codestream's SIZ says; None for depths that differ, and for parts of components."""

    width: int
    height: int
    components: int
    bits: int
    signed: bool
    plain: bool


def is_jpeg2000(head: bytes) -> bool:
    """Tell whether a file that begins so is JPEG 2000, in boxes or not."""
    return head.startswith((_CODESTREAM, _BOXES))


def read(data: bytes, max_pixels: int) -> Picture | None:
    """Return the Picture of a JPEG 2000 file. Raises PictureError or LimitError.

    None for what is left to Pillow: palettes, YCC and components of several sizes, of 8 bits.
    """
    boxes = dict(_boxes(data)) if data.startswith(_BOXES) else {}
    size = _size_of(boxes.get(b"jp2c", data))
    check_size(size.width, size.height, max_pixels)
    if size.signed or size.bits > 16:
        found = f"{size.bits} bits{' with a sign' if size.signed else ''}"
        raise PictureError(f"expected samples of 1 to 16 bits without a sign, found {found}")
    colours, icc = _colours_of(boxes.get(b"colr", b""), size.components)
    if not size.plain or b"pclr" in boxes or not colours:
        if size.bits <= 8:
            return None
        raise PictureError("expected a JPEG 2000 of more than 8 bits to be grey or RGB")
    if not colours <= size.components <= 4 + (colours == 4):
        raise PictureError(f"expected 1 to 4 channels, found {size.components}")
    extra = _extra_of(boxes.get(b"cdef", b""), colours)
    samples = _samples(data, size, colours, extra)
    metadata = Metadata(icc, boxes.get(_EXIF_UUID, b""), boxes.get(_XMP_UUID, b""))
    if colours == 4:
        metadata = metadata.without_profile("dropped the CMYK colour profile") if icc else metadata
    return upright(samples, metadata)


def _boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[bytes, bytes]]:
    """Yield the boxes of a file that are needed, by their kind or UUID, those of jp2h too."""
    end = len(data) if end is None else end
    while start + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if length == 1 and start + 16 <= end:
            length, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        stop = end if length == 0 else start + length
        if stop < start + head:
            raise PictureError("broken picture: the size of a box")
        stop = min(stop, end)
        if kind == b"jp2h":
            yield from _boxes(data, start + head, stop)
        elif kind == b"uuid":
            yield data[start + head : start + head + 16], data[start + head + 16 : stop]
        else:
            yield kind, data[start + head : stop]
        start = stop


def _size_of(codestream: bytes) -> _Size:
    if not codestream.startswith(_CODESTREAM) or len(codestream) < 45:
        raise PictureError("broken picture: a JPEG 2000 without a codestream")
    right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
    count = struct.unpack_from(">H", codestream, 40)[0]
    parts = [codestream[42 + 3 * n : 45 + 3 * n] for n in range(count)]
    depth = parts[0][0] if parts and len(parts[-1]) == 3 else 0
    plain = all(part == bytes([depth, 1, 1]) for part in parts)
    deepest = max((part[0] & 0x7F for part in parts if part), default=0) + 1
    signed = any(part[0] & 0x80 for part in parts if part)
    return _Size(right - left, bottom - top, count, deepest, signed, plain)


def _colours_of(colr: bytes, components: int) -> tuple[int, bytes]:
    """Return how many channels are colours, 0 if we do not know them, and the ICC profile."""
    if len(colr) > 3 and colr[0] in (2, 3):
        icc = colr[3:]
        return {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}.get(icc[16:20], 0), icc
    if len(colr) >= 7 and colr[0] == 1:
        return _COLOURS.get(int.from_bytes(colr[3:7], "big"), 0), b""
    return (1 if components < 3 else 3), b""


def _extra_of(cdef: bytes, colours: int) -> tuple[int, ...]:
    """Return the kinds of the channels behind the colours, by TIFF's numbers, as far as told."""
    told = {}
    for at in range(2, len(cdef) - 5, 6):
        channel, kind, place = struct.unpack_from(">3H", cdef, at)
        told[channel] = _EXTRA.get(kind, 0)
        if kind == 0 and place not in (0, channel + 1):
            raise PictureError("expected channels in their order")
    return tuple(told[n] for n in range(colours, 5) if n in told)


def _samples(data: bytes, size: _Size, colours: int, extra: tuple[int, ...]) -> Samples:
    pixels, notices = whole_range(_decoded(data, size), size.bits)
    found = with_extra(pixels, colours, extra)
    pixels, notices = found.pixels, notices + found.notices
    if colours == 4:
        return Samples(cmyk_to_rgb(pixels), (*notices, "converted CMYK to RGB"))
    return Samples(pixels, notices)


def _decoded(data: bytes, size: _Size) -> Pixels:
    import imagecodecs

    try:
        pixels = imagecodecs.jpeg2k_decode(data)
    except Exception as error:
        raise broken(error) from None
    pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
    expected = (size.height, size.width, size.components)
    if pixels.shape != expected:
        raise PictureError(f"broken picture: expected samples of {expected}, found {pixels.shape}")
    return pixels
