"""PGM, PPM and PAM: Pillow scales the first two wrong beyond 8 bits, and has no PAM."""

import re
from dataclasses import dataclass

import numpy as np

from siren_codec.errors import PictureError
from siren_codec.picture.picture import Picture, Pixels, broken, check_size
from siren_codec.picture.samples import scaled

__all__ = ["is_pnm", "read"]

_CHANNELS = {b"P2": 1, b"P3": 3, b"P5": 1, b"P6": 3}
_PLAIN = (b"P2", b"P3")
_NUMBER = re.compile(rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,10})")
_PAM_HEAD = re.compile(rb"P7\s(.{0,2000}?)\sENDHDR[^\n]*\n", re.DOTALL)


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    channels: int
    peak: int
    """The value of the brightest sample."""
    start: int
    """Where the samples begin."""


def is_pnm(head: bytes) -> bool:
    """Tell whether a file that begins so is PGM, PPM or PAM."""
    return head[:2] in (*_CHANNELS, b"P7") and (head[2:3].isspace() or head[2:3] == b"#")


def read(data: bytes, max_pixels: int) -> Picture:
    """Return the Picture of a PGM, PPM or PAM. Raises PictureError or LimitError."""
    header = _pam_header(data) if data.startswith(b"P7") else _header(data)
    check_size(header.width, header.height, max_pixels)
    if not 0 < header.peak < 65536 or header.channels not in (1, 2, 3, 4):
        raise PictureError(
            f"expected 1..4 channels of up to 65535, found {header.channels} of {header.peak}"
        )
    plain = data[:2] in _PLAIN
    values = _plain_values(data, header) if plain else _binary_values(data, header)
    if values.size < header.width * header.height * header.channels:
        raise PictureError("broken picture: the image file is truncated")
    least, most = values.min(), values.max()
    if least < 0 or most > header.peak:
        raise PictureError(f"expected samples of 0..{header.peak}, found {least}..{most}")
    pixels = values.reshape(header.height, header.width, header.channels)
    if header.peak > 255:
        return Picture(scaled(pixels, header.peak))
    wide = pixels.astype(np.uint16) * np.uint16(255) + np.uint16(header.peak // 2)
    notices = ("converted 1 to L",) if header.peak == 1 else ()
    return Picture((wide // np.uint16(header.peak)).astype(np.uint8), notices=notices)


def _header(data: bytes) -> _Header:
    numbers, at = [], 2
    for _ in range(3):
        match = _NUMBER.match(data, at)
        if not match:
            raise PictureError("broken picture: expected three numbers at a PNM's start")
        numbers.append(int(match[1]))
        at = match.end()
    width, height, peak = numbers
    # A comment may stand behind the last number; then one blank, and the samples.
    comment = re.compile(rb"[ \t]*#[^\r\n]*").match(data, at)
    return _Header(width, height, _CHANNELS[data[:2]], peak, (comment.end() if comment else at) + 1)


def _pam_header(data: bytes) -> _Header:
    match = _PAM_HEAD.match(data)
    lines = match[1].splitlines() if match else []
    fields = {line.split()[0]: line.split()[1:] for line in lines if line.split()}
    try:
        names = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        width, height, channels, peak = (int(fields[name][0]) for name in names)
    except (KeyError, IndexError, ValueError):
        raise PictureError("broken picture: expected the header of a PAM") from None
    assert match
    kind = fields.get(b"TUPLTYPE", [b""])[0].decode("ascii", "replace")
    expected = {1: "GRAYSCALE BLACKANDWHITE", 2: "GRAYSCALE_ALPHA BLACKANDWHITE_ALPHA"}
    expected |= {3: "RGB", 4: "RGB_ALPHA"}
    if kind and kind not in expected.get(channels, "").split():
        raise PictureError(f"expected a PAM of grey or RGB, found {channels} channels of {kind}")
    return _Header(width, height, channels, peak, match.end())


def _binary_values(data: bytes, header: _Header) -> Pixels:
    kind = np.dtype(">u2" if header.peak > 255 else "u1")
    count = header.width * header.height * header.channels
    available = max(0, len(data) - header.start) // kind.itemsize
    return np.frombuffer(data, kind, min(count, available), min(header.start, len(data)))


def _plain_values(data: bytes, header: _Header) -> Pixels:
    count = header.width * header.height * header.channels
    text = re.sub(rb"#[^\r\n]*", b" ", data[header.start - 1 :])
    try:
        return np.fromiter(map(int, text.split(maxsplit=count)[:count]), np.int64)
    except (ValueError, OverflowError) as error:
        raise broken(error) from None
