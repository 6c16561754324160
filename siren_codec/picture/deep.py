"""Pictures of 16 bits a sample, where Pillow keeps 8 of them, misreads the file or cannot open it.

Pillow's decoders hold all 16 bits, but its images of more than one channel have room for 8: asked
for the bytes in the other order, they give the lower 8 instead of the upper. So a file is decoded
twice, with Pillow's checks and its bounds on memory. TIFFs in layouts that Pillow does not know
are read by tifffile.
"""

import io
import logging
import re
import struct
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin, TiffTags

from siren_codec.errors import PictureError

if TYPE_CHECKING:
    import tifffile

__all__ = [
    "DIVIDED",
    "LARGEST_TILE",
    "PNG_STRATEGY",
    "lost_depth",
    "read",
    "read_odd_tiff",
    "turned",
    "white_is_zero",
    "with_alpha",
    "write_png",
    "write_tiff",
]

# What these two think of a broken file is said in an exception, and not on standard error too.
logging.getLogger("PIL").addHandler(logging.NullHandler())
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Pixels = npt.NDArray[Any]
Tag = ExifTags.Base

DIVIDED = "divided the colours by the alpha that the file had multiplied in"
"""The notice of it."""
LARGEST_TILE = 1 << 22
"""Pixels of a TIFF's tile, in a picture that is no larger."""
PNG_STRATEGY = zlib.Z_RLE
"""How rows are compressed once they are filtered: for photographs three to four times as quick as
to look for repetitions, and the files are 2 to 3% larger."""

_PLANAR, _EXIF_IFD, _GPS_IFD = 2, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo
_HORIZONTAL = 2
"""The predictor by which a sample is stored as its difference from the one before."""
_DEFLATE = (8, 32946)
_HEAD = 1 << 20
_BLOCK = 1 << 22
"""Bytes of a PNG's rows that are filtered at a time."""


def read(image: Image.Image, notices: list[str]) -> Pixels | None:
    """Return the (height, width, 1..4) pixels of an image that Pillow would garble or lose bits of.

    None if it would not, or if nothing can be done about it; the image has not been loaded then.
    The pixels are as `Image.load` would leave them: a TIFF's are turned upright, a PNG's are not.
    """
    tiles = getattr(image, "tile", [])
    if not tiles or not isinstance(image, ImageFile.ImageFile):
        return None
    if image.format == "PPM":
        return _read_ppm(image)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        if _in_planes(image):
            return _read_planar(image, notices)
        if image.tag_v2.get(Tag.PlanarConfiguration) == _PLANAR:
            return None
    layout = re.fullmatch(r"(LA|RGBX?|RGB[Aa]);16([BLN])", _rawmode(tiles[0]))
    if image.format not in ("PNG", "TIFF") or not layout:
        return None
    if layout[1] == "LA":
        # Two samples are four bytes, which there is room for.
        pixels = _decoded(image, "RGBA").view(">u2")
    else:
        channels, little = layout[1].upper(), layout[2] == "L"
        little |= layout[2] == "N" and sys.byteorder == "little"
        upper = _decoded(image, f"{channels};16{'BL'[little]}").astype(np.uint16)
        pixels = upper << 8 | _decoded(image, f"{channels};16{'LB'[little]}")
    if layout[1] == "RGBa":
        notices.append(DIVIDED)
        pixels = _divided(pixels)
    transparent = image.info.get("transparency")
    if layout[1] == "RGB" and transparent is not None:
        notices.append("converted RGB to RGBA")
        pixels = with_alpha(pixels, transparent)
    return pixels.astype(np.uint16, copy=False)


def read_odd_tiff(file: IO[bytes], size: tuple[int, int], notices: list[str]) -> Pixels:
    """Return the pixels, as they are stored, of the first page of a TIFF that Pillow cannot open.

    (height, width, 1..4) uint8 or uint16; `size` is its width and height. Raises PictureError if
    tifffile cannot read it either.
    """
    try:
        with _tiff_pages(file) as pages:
            if len(pages) > 1:
                notices.append(f"kept the first of {len(pages)} frames")
            return _tiff_pixels(pages[0], size, notices)
    except PictureError:
        raise
    except Exception as error:
        # As with Pillow, a hostile file makes it raise nearly anything.
        raise PictureError(f"broken picture: {error}") from None


def lost_depth(image: Image.Image) -> bool:
    """Tell whether Pillow makes 8 bits of an image's samples that have more, before it is loaded.

    TIFF, PNG and SGI say so in the raw mode, JPEG 2000 and AVIF in their headers.
    """
    layout = str(getattr(image, "tile", ""))
    if re.search(r"\w;16[BLN]|SGI16|BC6H", layout):
        return not image.mode.startswith("I")
    head = _head(image) if image.format in ("AVIF", "JPEG2000") else b""
    if image.format == "AVIF":
        return any(box[2] & 0x40 for box in re.findall(rb"av1C(.{4})", head, re.DOTALL))
    start = head.find(b"\xff\x4f\xff\x51")
    if start < 0 or image.mode.startswith("I"):
        return False
    channels = struct.unpack_from(">H", head, start + 40)[0]
    return any((bits & 0x7F) >= 8 for bits in head[start + 42 : start + 42 + 3 * channels : 3])


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """Return pixels turned as EXIF's orientation, 1 to 8, says that they are to be seen."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels


def with_alpha(pixels: Pixels, transparent: Any) -> Pixels:
    """Return uint16 pixels with an alpha channel: 0 where they have one colour, else 65535."""
    alpha = np.where((pixels == transparent).all(axis=2), 0, 65535)
    return np.dstack([pixels, alpha.astype(np.uint16)])


def white_is_zero(image: Image.Image) -> bool:
    """Tell whether an image is a TIFF with black and white the other way round."""
    tiff = isinstance(image, TiffImagePlugin.TiffImageFile)
    return tiff and image.tag_v2.get(Tag.PhotometricInterpretation) == 0  # type: ignore[attr-defined]


def write_png(pixels: Pixels, sample: bytes) -> bytes:
    """Return a PNG of (height, width, 2..4) uint16 pixels.

    `sample` is another PNG: its chunks are taken, but for those of the pixels.
    """
    height, width, channels = pixels.shape
    colour_type = {2: 4, 3: 2, 4: 6}[channels]
    out = io.BytesIO()
    out.write(sample[:8])
    _put_chunk(out, b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0))
    at = 8
    while at < len(sample):
        length, kind = struct.unpack_from(">I4s", sample, at)
        if kind not in (b"IHDR", b"IDAT", b"IEND"):
            out.write(sample[at : at + length + 12])
        at += length + 12
    compressor = zlib.compressobj(6, strategy=PNG_STRATEGY)
    for rows in _filtered(pixels):
        _put_chunk(out, b"IDAT", compressor.compress(rows))
    _put_chunk(out, b"IDAT", compressor.flush())
    _put_chunk(out, b"IEND", b"")
    return out.getvalue()


def write_tiff(pixels: Pixels, sample: bytes) -> bytes:
    """Return a TIFF of (height, width, 2..4) uint16 pixels, not compressed.

    `sample` is another TIFF of as many channels: its tags are taken, but for those of the pixels.
    """
    height, width, channels = pixels.shape
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    with Image.open(io.BytesIO(sample)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        for tag, value in image.tag_v2.items():
            tags.tagtype[tag] = image.tag_v2.tagtype[tag]
            tags[tag] = image.getexif().get_ifd(tag) if tag in (_EXIF_IFD, _GPS_IFD) else value
    data = pixels.astype("<u2").tobytes()
    for tag, number in (
        (Tag.ImageWidth, width),
        (Tag.ImageLength, height),
        (Tag.RowsPerStrip, height),
        (Tag.StripByteCounts, len(data)),
        (Tag.StripOffsets, 0),  # from where the tags end
    ):
        tags.tagtype[tag] = TiffTags.LONG
        tags[tag] = number
    tags[Tag.BitsPerSample] = (16,) * channels
    out = io.BytesIO()
    tags.save(out)
    out.write(data)
    return out.getvalue()


def _rawmode(tile: Any) -> str:
    args = tile.args
    return str(args[0] if isinstance(args, tuple) and args else args)


def _in_planes(image: TiffImagePlugin.TiffImageFile) -> bool:
    """Tell whether a TIFF has a plane for each channel, and tifffile must read it.

    If it is not compressed, Pillow garbles 16 bits and refuses some layouts of 8; if it is, Pillow
    keeps 8 bits, which is as well where tifffile cannot decompress it.
    """
    tags = image.tag_v2
    bits, compression = set(tags.get(Tag.BitsPerSample, (1,))), tags.get(Tag.Compression, 1)
    if tags.get(Tag.PlanarConfiguration) != _PLANAR or not bits <= {8, 16}:
        return False
    grey_or_rgb = tags.get(Tag.PhotometricInterpretation) in (0, 1, 2)
    return compression in (1, *_DEFLATE) and (grey_or_rgb or (compression == 1 and 16 in bits))


def _head(image: Image.Image) -> bytes:
    """Return the first bytes of the file that an image is read from."""
    file = getattr(image, "fp", None)
    if file is None:
        return b""
    at = file.tell()
    file.seek(0)
    head: bytes = file.read(_HEAD)
    file.seek(at)
    return head


def _decoded(image: ImageFile.ImageFile, rawmode: str) -> Pixels:
    """Return (height, width, 3 | 4) uint8: what Pillow makes of an image's file by a raw mode."""
    assert image.fp is not None
    at = image.fp.tell()
    with Image.open(image.fp, formats=[image.format or ""]) as again:
        assert isinstance(again, ImageFile.ImageFile)
        if image.tell():
            again.seek(image.tell())
        again.tile = [
            tile._replace(args=(rawmode, *(tile.args[1:] if isinstance(tile.args, tuple) else ())))
            for tile in again.tile
        ]
        pixels = np.asarray(again)
    image.fp.seek(at)
    return pixels


def _divided(pixels: Pixels) -> Pixels:
    """Return LA or RGBA with the colours divided by alpha."""
    alpha = pixels[:, :, -1:].astype(np.uint32)
    peak = np.uint32(np.iinfo(pixels.dtype).max)
    colours = (pixels[:, :, :-1] * peak + alpha // 2) // np.maximum(alpha, 1)
    return np.dstack([np.minimum(colours, peak).astype(pixels.dtype), pixels[:, :, -1]])


def _read_ppm(image: ImageFile.ImageFile) -> Pixels | None:
    """Return the pixels of a PGM or a PPM with samples beyond 255, scaled to 65535."""
    codec, _, offset, args = image.tile[0]
    if codec not in ("ppm", "ppm_plain") or not isinstance(args, tuple) or args[1] < 256:
        return None
    assert image.fp is not None
    peak, bands = args[1], len(image.getbands())
    count = image.width * image.height * bands
    image.fp.seek(offset)
    if codec == "ppm":
        data = image.fp.read(2 * count)
        values = np.frombuffer(data, ">u2", len(data) // 2)
    else:
        text = re.sub(rb"#[^\r\n]*", b" ", image.fp.read())
        values = np.fromiter(map(int, text.split(maxsplit=count)[:count]), np.int64)
    if values.size < count:
        raise PictureError("image file is truncated")
    if not 0 <= values.min() <= values.max() <= peak:
        raise PictureError(f"expected samples of 0..{peak}, found {values.min()}..{values.max()}")
    scaled = (values.astype(np.uint32) * np.uint32(65535) + np.uint32(peak // 2)) // np.uint32(peak)
    return scaled.astype(np.uint16).reshape(image.height, image.width, bands)


def _read_planar(image: TiffImagePlugin.TiffImageFile, notices: list[str]) -> Pixels:
    """Return the pixels of a TIFF with a plane for each channel."""
    assert image.fp is not None
    tags, at = image.tag_v2, image.fp.tell()
    with _tiff_pages(image.fp) as pages:
        size = tags[Tag.ImageWidth], tags[Tag.ImageLength]
        pixels = _tiff_pixels(pages[image.tell()], size, notices)
    image.fp.seek(at)
    return turned(pixels, tags.get(Tag.Orientation, 1))


@contextmanager
def _tiff_pages(file: IO[bytes]) -> "Iterator[tifffile.TiffPages]":
    """Open a TIFF with tifffile."""
    import tifffile

    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        yield tiff.pages


def _tiff_pixels(page: Any, size: tuple[int, int], notices: list[str]) -> Pixels:
    """Return the (height, width, 1..4) uint8 or uint16 pixels of tifffile's page, once checked.

    They are not turned, but white is above black, and alpha is not multiplied in.
    """
    photometric, samples = int(page.photometric), page.samplesperpixel
    colours = 3 if photometric == 2 else 1
    if (page.dtype, page.bitspersample, page.imagedepth) not in (
        (np.uint8, 8, 1),
        (np.uint16, 16, 1),
    ):
        raise PictureError(
            f"expected a TIFF of 8 or 16 bits a sample, found {page.bitspersample} ({page.dtype})"
        )
    if photometric not in (0, 1, 2) or not colours <= samples <= 4:
        raise PictureError(
            f"expected a TIFF of grey or RGB with alpha or without, found {samples} samples of "
            f"photometric interpretation {photometric}"
        )
    if page.compression not in (1, *_DEFLATE) or page.predictor not in (1, 2):
        raise PictureError(
            f"expected a TIFF of this layout with no or deflate compression, "
            f"found {getattr(page.compression, 'name', page.compression)}"
        )
    pixels = _unpacked(page, size)
    # (planes, height, width, samples)
    pixels = np.concatenate(list(pixels), axis=2) if len(pixels) > 1 else pixels[0]
    if photometric == 0:
        pixels[:, :, 0] = np.iinfo(pixels.dtype).max - pixels[:, :, 0]
    if samples == colours:
        return np.asarray(pixels)
    return _with_extra(pixels, colours, page.extrasamples, notices)


def _with_extra(pixels: Pixels, colours: int, extra: Sequence[int], notices: list[str]) -> Pixels:
    """Return L, LA, RGB or RGBA of colours and extra samples: alpha, multiplied in or not, or any.

    Samples that the file does not explain are dropped.
    """
    kind = int(extra[0]) if extra else 2
    kept = colours + (kind in (1, 2))
    if pixels.shape[2] > kept:
        notice = f"dropped {pixels.shape[2] - kept} channels beyond colour and alpha"
        if notice not in notices:
            notices.append(notice)
    if kind == 1:
        notices.append(DIVIDED)
        return _divided(pixels[:, :, :kept])
    return pixels[:, :, :kept]


def _unpacked(page: Any, size: tuple[int, int]) -> Pixels:
    """Return the (planes, height, width, samples) that the strips or tiles of a page hold.

    tifffile leaves what is missing as it finds it in memory, bounds nothing, and what it takes
    depends on the libraries that it finds.
    """
    width, height = page.imagewidth, page.imagelength
    planes = page.samplesperpixel if page.planarconfig == _PLANAR else 1
    samples = page.samplesperpixel // planes
    rows, columns = min(page.rowsperstrip, height), width
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    down, across = -(-height // rows), -(-width // columns)
    places = page.dataoffsets, page.databytecounts
    if (width, height) != size or rows * columns > max(width * height, LARGEST_TILE):
        raise PictureError("broken picture: the size of its tiles")
    if any(len(numbers) != planes * down * across for numbers in places):
        raise PictureError("broken picture: the number of its strips")
    if page.fillorder != 1:
        raise PictureError("expected a TIFF of this layout with the high bit first")
    stored = page.dtype.newbyteorder(page.parent.byteorder)
    pixels = np.empty((planes, height, width, samples), page.dtype)
    row = columns * samples * stored.itemsize
    for index, (offset, count) in enumerate(zip(*places, strict=True)):
        plane, place = divmod(index, down * across)
        top, left = place // across * rows, place % across * columns
        # The last strip has fewer rows, or is filled up.
        least = (rows if page.is_tiled else min(rows, height - top)) * row
        page.parent.filehandle.seek(offset)
        found = page.parent.filehandle.read(count)
        if page.compression in _DEFLATE:
            found = zlib.decompressobj().decompress(found, rows * row + 1)
        if not least <= len(found) <= rows * row:
            raise PictureError(f"expected strips of {rows * row} bytes, found {len(found)}")
        out = pixels[plane, top : top + rows, left : left + columns]
        part = np.frombuffer(found, stored, least // stored.itemsize).reshape(-1, columns, samples)
        part = part[: out.shape[0]].astype(page.dtype)
        if page.predictor == _HORIZONTAL:
            np.add.accumulate(part, axis=1, dtype=part.dtype, out=part)
        out[...] = part[:, : out.shape[1]]
    return pixels


def _filtered(pixels: Pixels) -> Iterator[bytes]:
    """Yield the rows of a PNG, some at a time, all by Paeth's filter."""
    size = 2 * pixels.shape[2]
    length = pixels.shape[1] * size
    above = np.zeros((1, length), np.uint8)
    count = max(1, _BLOCK // length)
    for y in range(0, len(pixels), count):
        rows = np.ascontiguousarray(pixels[y : y + count], ">u2").view(np.uint8).reshape(-1, length)
        up = np.concatenate([above, rows[:-1]])
        left, corner = (np.pad(x[:, :-size], ((0, 0), (size, 0))) for x in (rows, up))
        a, b, c = (x.astype(np.int16) for x in (left, up, corner))
        to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
        nearest = np.where(to_b <= to_c, up, corner)
        nearest = np.where((to_a <= to_b) & (to_a <= to_c), left, nearest)
        yield np.hstack([np.full((len(rows), 1), 4, np.uint8), rows - nearest]).tobytes()
        above = rows[-1:]


def _put_chunk(out: IO[bytes], kind: bytes, data: bytes) -> None:
    out.write(struct.pack(">I", len(data)) + kind + data)
    out.write(struct.pack(">I", zlib.crc32(kind + data)))
