"""AVIF: its metadata by Pillow, which keeps 8 bits, its samples by libavif (imagecodecs)."""

import io
import re
import struct
from dataclasses import replace

import numpy as np

from siren_codec.errors import PictureError
from siren_codec.picture import colours, pillow
from siren_codec.picture.metadata import EXIF_PREFIX, Metadata, upright
from siren_codec.picture.picture import Picture, broken, check_size
from siren_codec.picture.samples import Samples, whole_range

__all__ = ["is_avif", "read"]

_AS_SRGB = [(primaries, transfer) for primaries in (1, 2) for transfer in (2, 13)]
_BRANDS = (b"avif", b"avis")


def is_avif(head: bytes) -> bool:
    """Tell whether a file that begins so is AVIF."""
    # Its own brand may stand among the others, and not come first.
    brands = [head[at : at + 4] for at in range(8, len(head), 4)]
    return head[4:8] == b"ftyp" and any(brand in _BRANDS for brand in brands)


def read(data: bytes, max_pixels: int) -> Picture:
    """Return the Picture of an AVIF file. Raises PictureError or LimitError."""
    bits = _bits(data)
    with pillow.opened(io.BytesIO(data), max_pixels) as image:
        check_size(image.width, image.height, max_pixels)
        frames, metadata = pillow.frames(image), pillow.metadata(image)
        # imagecodecs 2026.3.6 damages memory when it decodes one frame of an animation.
        if bits > 8 and not frames:
            samples = _deep(data, bits, (image.height, image.width))
        else:
            lost = ("converted samples of more than 8 bits to 8",) if bits > 8 else ()
            samples = Samples(np.atleast_3d(np.asarray(image)), lost)
    if metadata.exif.removeprefix(EXIF_PREFIX) not in data:
        # It puts the turns of the file's own boxes there.
        rewritten = "Pillow rewrote the EXIF, of which a thumbnail is lost"
        metadata = replace(metadata, notices=(*metadata.notices, rewritten))
    if not metadata.icc:
        metadata = _with_colours(metadata, data, grey=samples.pixels.shape[2] < 3)
    return upright(replace(samples, notices=frames + samples.notices), metadata)


def _deep(data: bytes, bits: int, size: tuple[int, int]) -> Samples:
    """Return the samples of a still picture of 10 or 12 bits, not turned."""
    import imagecodecs

    try:
        values = imagecodecs.avif_decode(data)
    except Exception as error:
        raise broken(error) from None
    values = values[:, :, None] if values.ndim == 2 else values
    if values.shape[:2] != size or values.dtype != np.uint16:
        raise PictureError(f"broken picture: expected an AVIF of {bits} bits")
    return Samples(*whole_range(values, bits))


def _bits(data: bytes) -> int:
    """Return the bits of a sample, 8, 10 or 12, that an AV1 configuration names."""
    box = re.search(rb"av1C..(.)", data, re.DOTALL)
    flags = box[1][0] if box else 0
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10


def _with_colours(metadata: Metadata, data: bytes, *, grey: bool) -> Metadata:
    """Return metadata with an ICC profile of the CICP numbers, or a notice."""
    found = re.search(rb"colrnclx(.{7})", data, re.DOTALL)
    if not found:
        return metadata
    primaries, transfer = struct.unpack(">HH", found[1][:4])
    if (primaries, transfer) in _AS_SRGB:
        return metadata
    profile = None
    if max(primaries, transfer) < 256:
        profile = colours.profile_of_cicp(bytes([primaries, transfer, 0, 1]), grey=grey)
    if profile is None:
        return metadata.without_profile(
            f"dropped the CICP {primaries}/{transfer}, which is not known here"
        )
    return replace(metadata, icc=profile)
