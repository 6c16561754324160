"""PNG: its chunks by ourselves; its pixels are read by libpng (through imagecodecs), and written by
zlib, so that decoding needs no more than numpy.

Pillow keeps 8 bits of 16-bit colours, takes short data for black, misreads a transparent grey of
less than 8 bits, and does not open a file with a large profile or comment.
"""

import logging
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from siren_codec.errors import PictureError
from siren_codec.limits import DEFAULT_LIMITS
from siren_codec.picture import colours
from siren_codec.picture.metadata import EXIF_PREFIX, Metadata, upright
from siren_codec.picture.picture import Picture, Pixels, broken, check_size
from siren_codec.picture.samples import Samples

__all__ = ["SIGNATURE", "read", "write"]

# What it warns of is checked here, or of no matter.
logging.getLogger("imagecodecs").addHandler(logging.NullHandler())

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
_MODES = {0: "L", 2: "RGB", 3: "P", 4: "LA", 6: "RGBA"}
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
"""By the number of channels."""
_PALETTE, _ALPHA = 3, (4, 6)
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_KEYWORDS = {
    _XMP_KEYWORD: "xmp",
    b"Raw profile type APP1": "exif",
    b"Raw profile type exif": "exif",
    b"Raw profile type icc": "icc",
    b"Raw profile type xmp": "xmp",
}
"""Texts that hold metadata: XMP's own, and ImageMagick's, in hexadecimal digits."""
_PILLOW_LARGEST_PROFILE = 1 << 20
"""Pillow opens no PNG with a larger one, when it is unpacked."""
_LARGEST_CHUNK = 8_000_000
"""Of metadata, by libpng's default."""
_SRGB_GAMMA, _NEAR_GAMMA, _NEAR_PRIMARIES = 1 / 2.2, 0.01, 0.002
_LEVEL, _WINDOW_BITS, _MEMORY = 6, 15, 9
"""How zlib packs pixels. It looks for runs alone: for photographs that is three to four times as
quick as to look for repetitions, and the files are 2 to 3% larger."""
_PAETH = 4
_ROWS = 64
"""Filtered at once."""


class Chunk(NamedTuple):
    """A PNG's chunk: the four letters of its kind, and its bytes."""

    kind: bytes
    data: bytes


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    depth: int
    colour_type: int

    @property
    def grey(self) -> bool:
        return self.colour_type in (0, 4)


def read(data: bytes, max_pixels: int) -> Picture:
    """Return the Picture of a PNG file. Raises PictureError or LimitError."""
    chunks = list(_chunks(data))
    header = _header_of(chunks)
    check_size(header.width, header.height, max_pixels)
    if not any(chunk.kind == b"IDAT" for chunk in chunks):
        raise PictureError("broken picture: a PNG without pixels")
    pixels = _decoded(chunks)
    if pixels.shape[:2] != (header.height, header.width):
        raise PictureError(f"broken picture: expected {header.width}x{header.height} pixels")
    return upright(Samples(pixels, _conversions(header, chunks)), _metadata(header, chunks))


def write(pixels: Pixels, metadata: Mapping[str, bytes]) -> bytes:
    """Return a PNG of (height, width, 1..4) uint8 or uint16 pixels.

    Raises PictureError for metadata that PNG, or other readers of PNG, cannot hold.
    """
    height, width, channels = pixels.shape
    colour_type = _COLOUR_TYPES[channels]
    header = struct.pack(">IIBB3x", width, height, 8 * pixels.itemsize, colour_type)
    return _file(
        [
            Chunk(b"IHDR", header),
            *_metadata_chunks(metadata),
            Chunk(b"IDAT", _packed(pixels)),
            Chunk(b"IEND", b""),
        ]
    )


def _packed(pixels: Pixels) -> bytes:
    """Return the zlib stream of the pixels, each row filtered as PNG's section 9 says."""
    height, _, channels = pixels.shape
    ahead = channels * pixels.itemsize
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY, zlib.Z_RLE)
    big_endian = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder(">"))
    rows = big_endian.view(np.uint8).reshape(height, -1)
    above = np.zeros((1, rows.shape[1]), np.uint8)
    parts = []
    for start in range(0, height, _ROWS):
        part = rows[start : start + _ROWS]
        filtered = part - _paeth(part, np.vstack([above, part[:-1]]), ahead)
        kinds = np.full((len(part), 1), _PAETH, np.uint8)
        parts.append(packer.compress(np.hstack([kinds, filtered]).tobytes()))
        above = part[-1:]
    return b"".join([*parts, packer.flush()])


def _paeth(
    rows: npt.NDArray[np.uint8], above: npt.NDArray[np.uint8], ahead: int
) -> npt.NDArray[np.uint8]:
    """Return what Paeth's filter expects of (rows, bytes): of the byte of the pixel to the left,
    the one above and the one above that, whichever is nearest to left + above - corner.
    """
    left, corner = np.zeros_like(rows), np.zeros_like(rows)
    left[:, ahead:], corner[:, ahead:] = rows[:, :-ahead], above[:, :-ahead]
    to_left = np.abs(np.subtract(above, corner, dtype=np.int16))
    to_above = np.abs(np.subtract(left, corner, dtype=np.int16))
    by_both = np.add(left, above, dtype=np.int16) - 2 * corner.astype(np.int16)
    to_corner = np.abs(by_both)
    of_others = np.where(to_above <= to_corner, above, corner)
    nearest = (to_left <= to_above) & (to_left <= to_corner)
    return np.where(nearest, left, of_others)


def _file(chunks: Sequence[Chunk]) -> bytes:
    parts = [SIGNATURE]
    for kind, data in chunks:
        parts += [struct.pack(">I", len(data)), kind, data]
        parts.append(struct.pack(">I", zlib.crc32(data, zlib.crc32(kind))))
    return b"".join(parts)


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield a PNG's chunks up to IEND. Raises PictureError for a wrong checksum, or no IEND."""
    if not data.startswith(SIGNATURE):
        raise PictureError("broken picture: expected PNG's first eight bytes")
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            break
        chunk = Chunk(kind, data[at + 8 : end])
        if zlib.crc32(data[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            name = kind.decode("ascii", "replace")
            raise PictureError(f"broken picture: wrong checksum in PNG chunk {name!r}")
        yield chunk
        if kind == b"IEND":
            return
        at = end + 4
    raise PictureError("broken picture: the PNG is truncated")


def _header_of(chunks: Sequence[Chunk]) -> _Header:
    if chunks[0].kind != b"IHDR" or len(chunks[0].data) != 13:
        raise PictureError("broken picture: expected IHDR as a PNG's first chunk")
    width, height, depth, colour_type = struct.unpack(">IIBB", chunks[0].data[:10])
    if colour_type not in _MODES:
        raise PictureError(f"broken picture: expected a PNG's colour type, found {colour_type}")
    return _Header(width, height, depth, colour_type)


def _decoded(chunks: Sequence[Chunk]) -> Pixels:
    """Return the (height, width, 1..4) pixels, palettes and transparent colours resolved."""
    import imagecodecs

    try:
        pixels = imagecodecs.png_decode(_file([c for c in chunks if c.kind in _PIXEL_CHUNKS]))
    except Exception as error:
        raise broken(error) from None
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def _conversions(header: _Header, chunks: Sequence[Chunk]) -> tuple[str, ...]:
    """Return notices of what the pixels were and what they become, and of frames left out."""
    notices = []
    mode = "1" if (header.depth, header.colour_type) == (1, 0) else _MODES[header.colour_type]
    becomes = {"1": "L", "P": "RGB"}.get(mode, mode)
    if header.colour_type not in _ALPHA and any(chunk.kind == b"tRNS" for chunk in chunks):
        becomes += "A"
    if mode != becomes:
        notices.append(f"converted {mode} to {becomes}")
    frames = next((c.data[:4] for c in chunks if c.kind == b"acTL"), b"")
    count = int.from_bytes(frames, "big")
    if count > 1:
        notices.append(f"kept the first of {count} frames")
    return tuple(notices)


def _metadata(header: _Header, chunks: Sequence[Chunk]) -> Metadata:
    by_kind = {chunk.kind: chunk.data for chunk in reversed(chunks)}
    icc, notices = _colours(header, by_kind)
    found = {"icc": icc, "exif": by_kind.get(b"eXIf", b""), "xmp": b""}
    for chunk in chunks:
        keyword = chunk.data[:80].partition(b"\0")[0]
        if chunk.kind not in (b"iTXt", b"zTXt", b"tEXt") or keyword not in _KEYWORDS:
            continue
        payload = _text(chunk)
        if keyword != _XMP_KEYWORD and payload is not None:
            payload = _unhexed(payload)
        if payload is None:
            notices.append(f"dropped the text {keyword.decode()!r}, which is broken")
        name = _KEYWORDS[keyword]
        found[name] = found[name] or payload or b""
    return Metadata(found["icc"], found["exif"], found["xmp"], notices=tuple(notices))


def _colours(header: _Header, chunks: Mapping[bytes, bytes]) -> tuple[bytes, list[str]]:
    """Return an ICC profile of what a PNG says of its colours, and notices.

    The first of cICP, iCCP, sRGB, and cHRM with gAMA is what holds (PNG, third edition, 4.3).
    """
    cicp, notices = chunks.get(b"cICP", b""), list[str]()
    if len(cicp) == 4:
        made = colours.profile_of_cicp(cicp, grey=header.grey)
        if made is not None and cicp[2] == 0 and cicp[3] == 1:
            if b"iCCP" in chunks:
                notices.append("dropped the ICC profile, which the CICP of this PNG overrides")
            return made, notices
        notices.append(f"dropped the CICP {'/'.join(map(str, cicp))}, which is not known here")
    if b"iCCP" in chunks:
        name, _, packed = chunks[b"iCCP"].partition(b"\0")
        profile = _inflated(packed[1:]) if name and packed[:1] == b"\0" else None
        if profile is not None:
            return profile, notices
        notices.append("dropped the ICC, which is broken")
    if b"sRGB" in chunks:
        return b"", notices
    gamma = int.from_bytes(chunks.get(b"gAMA", b"")[:4], "big") / 100_000
    found = chunks.get(b"cHRM", b"")
    primaries = tuple(n / 100_000 for n in struct.unpack(">8I", found)) if len(found) == 32 else ()
    try:
        return _of_gamma(gamma, primaries, grey=header.grey), notices
    except ValueError:
        notices.append("dropped the primaries of this PNG, which are no colours")
        return b"", notices


def _of_gamma(gamma: float, primaries: Sequence[float], *, grey: bool) -> bytes:
    """Return a profile of a gamma and primaries, if they are there and not sRGB's."""
    primaries = primaries or colours.SRGB_PRIMARIES
    same = grey or np.allclose(primaries, colours.SRGB_PRIMARIES, atol=_NEAR_PRIMARIES)
    if same and (not gamma or abs(gamma - _SRGB_GAMMA) <= _NEAR_GAMMA):
        return b""
    return colours.profile_of_gamma(gamma or _SRGB_GAMMA, primaries, grey=grey)


def _inflated(packed: bytes) -> bytes | None:
    """Return what a zlib stream unpacks to; None if it is broken or larger than metadata may be."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, DEFAULT_LIMITS.metadata_bytes)
    except zlib.error:
        return None
    return data if unpacker.eof else None


def _text(chunk: Chunk) -> bytes | None:
    """Return the text of a tEXt, zTXt or iTXt chunk as its bytes; None if it is broken."""
    rest = chunk.data.partition(b"\0")[2]
    if chunk.kind == b"tEXt":
        return rest
    packed, method = chunk.kind == b"zTXt", rest[:1]
    if chunk.kind == b"iTXt":
        packed, method, rest = rest[:1] == b"\1", rest[1:2], rest[1:]
        parts = rest[1:].split(b"\0", 2)
        if len(parts) < 3:
            return None
        rest = method + parts[2]
    if not packed:
        return rest[1:]
    return _inflated(rest[1:]) if method == b"\0" else None


def _unhexed(text: bytes) -> bytes | None:
    """Return the bytes of ImageMagick's "raw profiles": a name, a length, and lines of digits."""
    words = text.split(None, 2)
    if len(words) < 3 or not words[1].isdigit():
        return None
    try:
        data = bytes.fromhex(words[2].decode("ascii"))
    except ValueError:
        return None
    return data if len(data) == int(words[1]) else None


def _metadata_chunks(metadata: Mapping[str, bytes]) -> Iterator[Chunk]:
    """Yield the chunks that go before the pixels; refuse what other readers would not open."""
    icc, exif, xmp = (metadata.get(name, b"") for name in ("icc", "exif", "xmp"))
    if len(icc) > _PILLOW_LARGEST_PROFILE:
        raise PictureError(
            f"expected a profile of at most {_PILLOW_LARGEST_PROFILE} bytes, found {len(icc)}"
        )
    if max(len(exif), len(xmp)) > _LARGEST_CHUNK:
        raise PictureError(f"expected at most {_LARGEST_CHUNK} bytes")
    cicp = colours.cicp_of(icc)
    if cicp:
        yield Chunk(b"cICP", cicp)
    if icc:
        yield Chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc))
    if exif:
        yield Chunk(b"eXIf", exif.removeprefix(EXIF_PREFIX))
    if xmp:
        try:
            xmp.decode()
        except UnicodeDecodeError as error:
            raise PictureError(str(error)) from None
        yield Chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp)
