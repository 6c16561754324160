"""TIFF: its tags by tifffile, its strips and tiles unpacked here, and checked.

Pillow keeps 8 bits of 16-bit colours and does not know all layouts; libtiff under it is silent
about a wrong checksum and about strips that unpack to too much; tifffile leaves what is missing as
it finds it in memory. What is left to Pillow are the compressions that have pictures of their own
inside (JPEG, fax) and the colours that it converts (YCbCr, Lab).
"""

import io
import logging
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin, TiffTags

from siren_codec.errors import PictureError, SirenError
from siren_codec.picture.metadata import Metadata, upright
from siren_codec.picture.picture import Picture, Pixels, broken, check_size
from siren_codec.picture.samples import (
    Samples,
    cmyk_to_rgb,
    grey_of_floats,
    grey_of_integers,
    whole_range,
    with_extra,
)
from siren_codec.picture.settings import collected_warnings, notices_of

__all__ = ["LARGEST_TILE", "is_tiff", "metadata_of", "read", "write"]

logging.getLogger("tifffile").addHandler(logging.NullHandler())

Tag = ExifTags.Base
LARGEST_TILE = 1 << 22
"""Pixels of a TIFF's tile, in a picture that is no larger."""

_XMP, _ICC = 700, 34675
_IFDS = (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
_DESCRIPTIVE = {
    Tag.ImageDescription,
    Tag.Make,
    Tag.Model,
    Tag.Software,
    Tag.DateTime,
    Tag.Artist,
    Tag.HostComputer,
    Tag.Rating,
    Tag.Copyright,
    Tag.XPTitle,
    Tag.XPComment,
    Tag.XPAuthor,
    Tag.XPKeywords,
    Tag.XPSubject,
}
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK = 0, 1, 2, 3, 5
_COLOURS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4}
_PLANAR, _LOW_BIT_FIRST = 2, 2
_DIFFERENCES, _FLOAT_DIFFERENCES = 2, 3
"""Predictors by which a sample is stored as its difference from the one before."""
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def is_tiff(head: bytes) -> bool:
    """Tell whether a file that begins so is a TIFF or a BigTIFF."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read(file: IO[bytes], max_pixels: int, index: int = 0) -> Picture | None:
    """Return the Picture of a page of a TIFF; None for what is left to Pillow.

    Raises PictureError or LimitError.
    """
    import tifffile

    try:
        file.seek(0)
        with tifffile.TiffFile(file) as tiff:
            page: Any = tiff.pages[index]
            check_size(page.imagewidth, page.imagelength, max_pixels)
            if int(page.compression) not in _UNPACK or int(page.photometric) not in _COLOURS:
                return None
            samples = _samples(page)
            with collected_warnings() as warned:
                found = metadata_of(_tags(file, page.offset))
            found = replace(found, notices=found.notices + notices_of(warned))
            if int(page.photometric) == _CMYK and found.icc:
                found = found.without_profile("dropped the CMYK colour profile")
            notices = _frames(len(tiff.pages), index, reduced=bool(page.subfiletype & 1))
            return upright(Samples(samples.pixels, notices + samples.notices), found)
    except SirenError:
        raise
    except Exception as error:
        # As with Pillow, a hostile file makes it raise nearly anything.
        raise broken(error) from None


def metadata_of(tags: Image.Exif) -> Metadata:
    """Return what the tags of a TIFF's page say of the picture."""
    exif, orientation, notices = b"", tags.get(Tag.Orientation, 1), list[str]()
    try:
        described = _described(tags)
        exif = described.tobytes() if described else b""
    except Exception:
        notices.append("dropped the EXIF, which is broken")
    payloads = {"exif": exif}
    for name, tag in (("icc", _ICC), ("xmp", _XMP)):
        value = tags.get(tag, b"")
        payloads[name] = value if isinstance(value, bytes) else b""
        if not isinstance(value, bytes):
            notices.append(f"dropped the {name.upper()}, which is broken")
    return Metadata(payloads["icc"], payloads["exif"], payloads["xmp"], orientation, tuple(notices))


def write(pixels: Pixels, metadata: Mapping[str, bytes]) -> bytes:
    """Return a TIFF of (height, width, 1..4) uint8 or uint16 pixels, not compressed.

    Pillow writes one of a single pixel, whose tags are taken, but for those of the pixels.
    """
    height, width, channels = pixels.shape
    tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    with Image.open(io.BytesIO(_of_one_pixel(channels, metadata)), formats=["TIFF"]) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        for tag, value in image.tag_v2.items():
            tags.tagtype[tag] = image.tag_v2.tagtype[tag]
            tags[tag] = image.getexif().get_ifd(tag) if tag in _IFDS else value
    data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    for tag, number in (
        (Tag.ImageWidth, width),
        (Tag.ImageLength, height),
        (Tag.RowsPerStrip, height),
        (Tag.StripByteCounts, len(data)),
        (Tag.StripOffsets, 0),  # from where the tags end
    ):
        tags.tagtype[tag] = TiffTags.LONG
        tags[tag] = number
    tags[Tag.BitsPerSample] = (8 * pixels.itemsize,) * channels
    out = io.BytesIO()
    tags.save(out)
    out.write(data)
    return out.getvalue()


def _tags(file: IO[bytes], offset: int) -> Image.Exif:
    tags = Image.Exif()
    file.seek(0)
    head = file.read(4)
    tags.endian, tags.bigtiff = "<" if head[:2] == b"II" else ">", b"+" in head
    tags.load_from_fp(file, offset)
    return tags


def _of_one_pixel(channels: int, metadata: Mapping[str, bytes]) -> bytes:
    """Return a TIFF with tags of EXIF and XMP, and none of theirs that would describe pixels."""
    source, tags = Image.Exif(), Image.Exif()
    source.load(metadata.get("exif", b""))
    tags.load(_described(source).tobytes())
    if "xmp" in metadata:
        tags[_XMP] = metadata["xmp"]
    options = {"icc_profile": metadata["icc"]} if "icc" in metadata else {}
    image = Image.fromarray(np.zeros((1, 1) if channels == 1 else (1, 1, channels), np.uint8))
    out = io.BytesIO()
    image.save(out, "TIFF", exif=tags, **options)
    return out.getvalue()


def _described(source: Image.Exif) -> Image.Exif:
    """Return the tags that say what a picture shows: most of a TIFF's say how it is stored."""
    exif = Image.Exif()
    for tag in sorted(_DESCRIPTIVE & set(source)):
        exif[tag] = source[tag]
    for ifd in _IFDS:
        if ifd in source:
            exif[ifd] = source.get_ifd(ifd)
    return exif


def _frames(count: int, index: int, *, reduced: bool) -> tuple[str, ...]:
    notices = []
    if count > 1:
        notices.append(f"kept {f'frame {index + 1}' if index else 'the first'} of {count} frames")
    if reduced:
        notices.append("kept the first page, which is a reduced copy of another")
    return tuple(notices)


def _samples(page: Any) -> Samples:
    """Return the pixels of tifffile's page, as they are stored, but L, LA, RGB or RGBA."""
    photometric, samples = int(page.photometric), page.samplesperpixel
    colours, bits, kind = _COLOURS[photometric], page.bitspersample, _dtype(page)
    if (
        kind is None
        or kind.kind not in "uif"
        or not isinstance(bits, int)
        or samples < colours
        or page.imagedepth != 1
    ):
        raise PictureError(f"expected a TIFF of grey or colours, found {samples} samples of {bits}")
    assert kind is not None
    values = _unpacked(page)
    if photometric == _PALETTE:
        return _of_palette(values, page.colormap)
    if kind.kind == "i" and bits <= 8:
        raise PictureError(f"expected samples without a sign, found signed ones of {bits} bits")
    if kind.kind != "u" or bits > 16:
        if colours > 1 or samples > 1:
            raise PictureError(f"expected a TIFF of 8 or 16 bits a sample, found {bits} ({kind})")
        grey = (grey_of_floats if kind.kind == "f" else grey_of_integers)(values)
        white = photometric == _WHITE_IS_ZERO
        return Samples(65535 - grey.pixels, grey.notices) if white else grey
    pixels, notices = whole_range(values, bits)
    if photometric == _WHITE_IS_ZERO:
        pixels[:, :, 0] = np.iinfo(pixels.dtype).max - pixels[:, :, 0]
    extra = with_extra(pixels, colours, page.extrasamples)
    pixels, notices = extra.pixels, notices + extra.notices
    if photometric == _CMYK:
        return Samples(cmyk_to_rgb(pixels), (*notices, "converted CMYK to RGB"))
    return Samples(pixels, notices)


def _dtype(page: Any) -> "np.dtype[Any] | None":
    """Return the type of a page's samples as integers or floats; None if there is none."""
    return np.dtype(np.uint8) if page.dtype == np.bool_ else page.dtype


def _of_palette(values: Pixels, palette: Pixels | None) -> Samples:
    """Return the colours of a palette of (3, count) uint16."""
    if palette is None or values.dtype.kind != "u" or values.max() >= palette.shape[1]:
        raise PictureError("broken picture: colours beyond its palette")
    # Some write 8 bits as they are, some doubled: either is 8 bits.
    low, high = palette & 255, palette >> 8
    narrow = not low.any() or np.array_equal(low, high)
    colours = (high.astype(np.uint8) if narrow else palette.astype(np.uint16)).T
    extra = values.shape[2] - 1
    notices = ["converted P to RGB"]
    if extra:
        notices.append(f"dropped {extra} channels beyond colour and alpha")
    return Samples(colours[values[:, :, 0]], tuple(notices))


def _unpacked(page: Any) -> Pixels:
    """Return the (height, width, samples) values that the strips or tiles of a page hold."""
    width, height = page.imagewidth, page.imagelength
    planes = page.samplesperpixel if page.planarconfig == _PLANAR else 1
    samples = page.samplesperpixel // planes
    rows, columns = min(page.rowsperstrip, height), width
    if page.is_tiled:
        rows, columns = page.tilelength, page.tilewidth
    down, across = -(-height // rows), -(-width // columns)
    if rows * columns > max(width * height, LARGEST_TILE):
        raise PictureError(f"broken picture: tiles of {rows * columns} pixels")
    for numbers in (page.dataoffsets, page.databytecounts):
        if len(numbers) != planes * down * across:
            raise PictureError(
                f"broken picture: expected {planes * down * across} strips or tiles, "
                f"found {len(numbers)}"
            )
    pixels = np.empty((height, width, page.samplesperpixel), _dtype(page))
    for index in range(planes * down * across):
        plane, place = divmod(index, down * across)
        top, left = place // across * rows, place % across * columns
        out = pixels[top : top + rows, left : left + columns, plane : plane + samples]
        # The last strip has fewer rows, or is filled up.
        least = rows if page.is_tiled else out.shape[0]
        part = _segment(page, index, (rows, columns, samples), least)
        out[...] = part[: out.shape[0], : out.shape[1]]
    return pixels


def _segment(page: Any, index: int, shape: tuple[int, int, int], least: int) -> Pixels:
    """Return the (least or more, columns, samples) values of a strip or a tile."""
    rows, columns, samples = shape
    row = -(-columns * samples * page.bitspersample // 8)
    file = page.parent.filehandle
    file.seek(page.dataoffsets[index])
    data = file.read(page.databytecounts[index])
    if page.fillorder == _LOW_BIT_FIRST:
        data = data.translate(_REVERSED)
    data = _UNPACK[int(page.compression)](data, rows * row + 1)
    if not least * row <= len(data) <= rows * row:
        raise PictureError(f"expected strips of {rows * row} bytes, found {len(data)}")
    return _values(page, data[: len(data) // row * row], columns, samples)


def _values(page: Any, data: bytes, columns: int, samples: int) -> Pixels:
    """Return the (rows, columns, samples) values of unpacked bytes, predicted ones restored."""
    import imagecodecs

    bits, predictor, kind = page.bitspersample, page.predictor, _dtype(page)
    assert kind
    stored = kind.newbyteorder(page.parent.byteorder)
    if bits != 8 * kind.itemsize:
        if predictor != 1:
            raise PictureError(f"expected no predictor for {bits} bits, found {predictor}")
        values = imagecodecs.packints_decode(data, kind, bits, runlen=columns * samples)
        return np.asarray(values).reshape(-1, columns, samples)
    if predictor == _FLOAT_DIFFERENCES:
        values = np.frombuffer(data, stored).reshape(-1, columns, samples)
        return np.asarray(imagecodecs.floatpred_decode(values, axis=-2)).astype(kind)
    values = np.frombuffer(data, stored).reshape(-1, columns, samples).astype(kind)
    if predictor == _DIFFERENCES:
        whole = values.view(f"u{kind.itemsize}")
        np.add.accumulate(whole, axis=1, dtype=whole.dtype, out=whole)
    elif predictor != 1:
        raise PictureError(f"expected a TIFF's predictor of 1 to 3, found {predictor}")
    return values


def _inflate(data: bytes, most: int) -> bytes:
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, most)
    if len(out) < most and not unpacker.eof:
        raise PictureError("broken picture: a strip is truncated")
    return out


def _by_imagecodecs(name: str) -> Callable[[bytes, int], bytes]:
    """Return one of its decoders that stops, or raises, beyond so many bytes."""

    def unpack(data: bytes, most: int) -> bytes:
        import imagecodecs

        return bytes(getattr(imagecodecs, name)(data, out=most))

    return unpack


_UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    1: lambda data, _: data,
    5: _by_imagecodecs("lzw_decode"),
    8: _inflate,
    32773: _by_imagecodecs("packbits_decode"),
    32946: _inflate,
    34925: _by_imagecodecs("lzma_decode"),
    50000: _by_imagecodecs("zstd_decode"),
}
