"""ICC, EXIF and XMP: raw bytes that go with a picture, from its file and into another."""

import re
import warnings
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

__all__ = ["of_image", "of_tags", "tiff_tags"]

_DESCRIPTIVE = {
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.Software,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.HostComputer,
    ExifTags.Base.Rating,
    ExifTags.Base.Copyright,
    ExifTags.Base.XPTitle,
    ExifTags.Base.XPComment,
    ExifTags.Base.XPAuthor,
    ExifTags.Base.XPKeywords,
    ExifTags.Base.XPSubject,
}
_TIFF_XMP = 700
_TIFF_ICC = 34675


def of_image(image: Image.Image, notices: list[str]) -> tuple[dict[str, bytes], int]:
    """Return an image's ICC, EXIF and XMP, and its orientation, which is gone from them."""
    orientation, exif = 1, b""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            orientation, exif = _exif(image)
    except Exception:
        notices.append("dropped the EXIF, which is broken")
    info = image.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    return _packed(info.get("icc_profile"), exif, xmp, orientation, notices), orientation


def of_tags(tags: Image.Exif, notices: list[str]) -> tuple[dict[str, bytes], int]:
    """Return the same of the tags of a TIFF that Pillow does not open."""
    orientation, exif = tags.get(ExifTags.Base.Orientation, 1), b""
    try:
        described = _described(tags)
        exif = described.tobytes() if described else b""
    except Exception:
        notices.append("dropped the EXIF, which is broken")
    icc, xmp = tags.get(_TIFF_ICC), tags.get(_TIFF_XMP)
    return _packed(icc, exif, xmp, orientation, notices), orientation


def tiff_tags(metadata: Mapping[str, bytes]) -> Image.Exif:
    """Return the tags that hold EXIF and XMP in a TIFF, and none that would describe its pixels."""
    source = Image.Exif()
    source.load(metadata.get("exif", b""))
    tags = Image.Exif()
    tags.load(_described(source).tobytes())
    if "xmp" in metadata:
        tags[_TIFF_XMP] = metadata["xmp"]
    return tags


def _packed(
    icc: Any, exif: bytes, xmp: Any, orientation: int, notices: list[str]
) -> dict[str, bytes]:
    """Return those metadata that are there and are bytes; say that the orientation was applied."""
    if orientation in range(2, 9):
        notices.append("applied the EXIF orientation to the pixels")
    xmp = xmp.encode() if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes) and orientation != 1:
        xmp = re.sub(rb'\s*tiff:Orientation="\d"|<tiff:Orientation>\d</tiff:Orientation>', b"", xmp)
    metadata = {}
    for name, payload in {"icc": icc, "exif": exif, "xmp": xmp}.items():
        if isinstance(payload, bytes) and payload:
            metadata[name] = payload
        elif payload:
            notices.append(f"dropped the {name.upper()}, which is broken")
    return metadata


def _exif(image: Image.Image) -> tuple[int, bytes]:
    """Return an image's orientation and its EXIF without it, as a JPEG's APP1 payload."""
    source, exif = image.getexif(), Image.Exif()
    orientation = source.get(ExifTags.Base.Orientation, 1)
    if image.format == "TIFF":
        exif = _described(source)
    elif orientation == 1 and image.info.get("exif", b"").startswith(b"Exif\0\0"):
        return orientation, image.info["exif"]
    elif source:
        exif.load(source.tobytes())
    exif.pop(ExifTags.Base.Orientation, None)
    return orientation, exif.tobytes() if exif else b""


def _described(source: Image.Exif) -> Image.Exif:
    """Return the tags that say what a picture shows: most of a TIFF's say how it is stored."""
    exif = Image.Exif()
    for tag in sorted(_DESCRIPTIVE & set(source)):
        exif[tag] = source[tag]
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if ifd in source:
            exif[ifd] = source.get_ifd(ifd)
    return exif
