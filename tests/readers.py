"""What other libraries read from a picture file, to compare sample by sample."""

import io
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import png as pypng
from PIL import Image, ImageOps

__all__ = ["differences"]

Pixels = npt.NDArray[Any]


def differences(data: bytes, pixels: Pixels) -> list[str]:
    """Return a line for each other reader that finds something else: where, and both values.

    Nothing if one of them finds the same.
    """
    lines = []
    for name, read in _READERS.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = read(data)
        except Exception:
            # What it cannot read is nothing to compare with.
            continue
        if found is None:
            continue
        line = _difference(pixels, found)
        if not line:
            return []
        lines.append(f"{name} finds {line}")
    return lines


def _difference(ours: Pixels, theirs: Pixels) -> str:
    if theirs.dtype == np.bool_:
        theirs = theirs.astype(np.uint8) * 255
    if theirs.dtype.kind != "u" or theirs.dtype.itemsize > 2:
        return ""
    theirs = np.atleast_3d(theirs)
    if ours.shape[:2] != theirs.shape[:2]:
        return f"{theirs.shape[1]}x{theirs.shape[0]} for {ours.shape[1]}x{ours.shape[0]} pixels"
    ours, theirs = _alike(ours, theirs)
    wrong = np.argwhere(ours.astype(int) != theirs.astype(int))
    if not len(wrong):
        return ""
    y, x, channel = wrong[0]
    where = f"{theirs[y, x, channel]} for {ours[y, x, channel]} at ({x}, {y}), channel {channel}"
    return f"{where}, and {len(wrong) - 1} more"


def _alike(ours: Pixels, theirs: Pixels) -> tuple[Pixels, Pixels]:
    """Return both with 8 bits if one has no more, and without the channels that one lacks."""
    if ours.dtype != theirs.dtype:
        ours, theirs = (p >> 8 if p.dtype == np.uint16 else p for p in (ours, theirs))
    if ours.shape[2] < 3 <= theirs.shape[2]:
        ours = np.dstack([*[ours[:, :, 0]] * 3, *([ours[:, :, 1]] if ours.shape[2] == 2 else [])])
    if theirs.shape[2] < 3 <= ours.shape[2]:
        theirs = np.dstack([theirs[:, :, 0]] * 3)
    channels = min(ours.shape[2], theirs.shape[2])
    return ours[:, :, :channels], theirs[:, :, :channels]


def _pillow(data: bytes) -> Pixels | None:
    with Image.open(io.BytesIO(data)) as image:
        upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
        if upright.mode in ("P", "PA") or "transparency" in upright.info:
            upright = upright.convert("RGBA" if upright.has_transparency_data else "RGB")
        elif upright.mode in ("CMYK", "YCbCr", "HSV", "LAB", "RGBa"):
            upright = upright.convert("RGB")
        return np.asarray(upright)


def _pypng(data: bytes) -> Pixels | None:
    if b"sBIT" in data:
        # It leaves out the bits that are not significant.
        return None
    width, height, rows, info = pypng.Reader(bytes=data).asDirect()
    bits = info["bitdepth"]
    pixels = np.array([list(row) for row in rows]).reshape(height, width, info["planes"])
    if bits in (8, 16):
        return pixels.astype(f"u{bits // 8}")
    scaled: Pixels = pixels * 255 // ((1 << bits) - 1)
    return scaled.astype(np.uint8)


def _tifffile(data: bytes) -> Pixels | None:
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        page: Any = tiff.pages[0]
        turned = int(page.tags.get(274).value) > 1 if page.tags.get(274) else False
        if turned or page.photometric not in (1, 2) or page.bitspersample not in (8, 16):
            return None
        pixels: Pixels = page.asarray()
        alone = page.planarconfig == 2 and page.samplesperpixel > 1
        return np.moveaxis(pixels, 0, -1) if alone else pixels


def _imagecodecs(data: bytes) -> Pixels | None:
    import imagecodecs

    for signature, name in (
        (b"\x89PNG", "png_decode"),
        (b"qoif", "qoi_decode"),
        (b"BM", "bmp_decode"),
        (b"RIFF", "webp_decode"),
        (b"\xff\x4f\xff\x51", "jpeg2k_decode"),
        (b"\0\0\0\x0cjP", "jpeg2k_decode"),
    ):
        if data.startswith(signature):
            decode: Callable[[bytes], Pixels] = getattr(imagecodecs, name)
            return decode(data)
    return None


_READERS: dict[str, Callable[[bytes], Pixels | None]] = {
    "Pillow": _pillow,
    "pypng": _pypng,
    "tifffile": _tifffile,
    "imagecodecs": _imagecodecs,
}
