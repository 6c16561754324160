"""ICC, EXIF and XMP, and the orientation: kept, applied once, or dropped with a notice."""

import io
from typing import Any

import numpy as np
import pytest
from pictures import (
    LAYOUTS,
    LOSSLESS,
    MAKE,
    METADATA,
    ORIENTATION,
    ORIENTED,
    chunk,
    encoded,
    exif,
    grey_of,
    noise,
    oriented_tiff,
    png,
    read,
    tags_of,
    tiff,
)
from PIL import Image

from siren_codec.errors import SirenError
from siren_codec.picture import Picture, save_bytes, strip


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("format_", ["PNG", "WEBP", "TIFF"])
def test_the_orientation_is_applied_to_the_pixels(format_: str, orientation: int) -> None:
    pixels, tags = noise((5, 8, 3)), exif()
    tags[ORIENTATION] = orientation
    data = encoded(Image.fromarray(pixels), format_, exif=tags, **LOSSLESS[format_])
    np.testing.assert_array_equal(read(data).pixels, ORIENTED[orientation](pixels))


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_reset_with_a_notice(format_: str, orientation: int) -> None:
    tags = exif()
    tags[ORIENTATION] = orientation
    picture = read(encoded(Image.fromarray(noise((5, 8, 3))), format_, exif=tags))
    assert picture.pixels.shape[:2] == ((5, 8) if orientation < 5 else (8, 5))
    turned = ("applied the EXIF orientation to the pixels",)
    assert picture.notices == (() if orientation == 1 else turned)
    assert tags_of(picture).get(ORIENTATION, 1) == 1
    assert tags_of(picture)[MAKE] == "maker"
    # What is written from it is not turned a second time.
    again = read(save_bytes(picture, "PNG")[0])
    assert again.notices == ()
    np.testing.assert_array_equal(again.pixels, picture.pixels)


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("kind", ["PNG", "strip", "planes"])
def test_the_orientation_of_16_bits(kind: str, channels: int, orientation: int) -> None:
    pixels, tags = noise((5, 8, channels), np.uint16), exif()
    tags[ORIENTATION] = orientation
    if kind == "PNG":
        colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        data = png(pixels, colour_type, chunk(b"eXIf", tags.tobytes()[6:]))
    else:
        data = oriented_tiff(pixels, orientation, **LAYOUTS[kind])
    picture = read(data)
    turned = ("applied the EXIF orientation to the pixels",)
    assert picture.notices == (() if orientation == 1 else turned)
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, ORIENTED[orientation](pixels))


def test_the_orientation_of_other_samples() -> None:
    tags = exif()
    tags[ORIENTATION] = 6
    for image in (grey_of([[0.0, 1.0]], np.float32), grey_of([[0, 9]], np.int32)):
        picture = read(encoded(image, "TIFF", exif=tags))
        assert "applied the EXIF orientation to the pixels" in picture.notices
        assert picture.pixels.shape == (2, 1, 1)
        assert picture.pixels[0, 0, 0] < picture.pixels[1, 0, 0]


def test_the_orientation_goes_from_the_xmp_too() -> None:
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6" b="c"/></x:xmpmeta>'
    pixels = noise((5, 8, 3))
    data, _ = save_bytes(Picture(pixels, {"xmp": xmp}), "PNG")
    picture = read(data)
    np.testing.assert_array_equal(picture.pixels, ORIENTED[6](pixels))
    assert picture.metadata["xmp"] == xmp.replace(b' tiff:Orientation="6"', b"")
    assert read(save_bytes(picture, "PNG")[0]).notices == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_metadata_is_kept(format_: str, channels: int, dtype: type) -> None:
    data, _ = save_bytes(Picture(noise((16, 16, channels), dtype), METADATA), format_)
    first = read(data)
    assert dict(first.metadata) == METADATA
    again = read(save_bytes(first, format_)[0])
    assert dict(again.metadata) == METADATA
    assert again.notices == ()


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_pillow_finds_in_16_bits_the_metadata_that_it_wrote_in_8(
    format_: str, channels: int
) -> None:
    tags = Image.Exif()
    tags.load(METADATA["exif"])
    tags[0x8769] = {0x829A: (1, 125), 0x9286: b"ASCII\0\0\0words"}
    tags[0x8825] = {1: "N", 2: (51.0, 28.0, 38.0)}
    metadata = {**METADATA, "exif": tags.tobytes()}
    found: list[list[Any]] = []
    for dtype in (np.uint8, np.uint16):
        data, notices = save_bytes(Picture(noise((4, 5, channels), dtype), metadata), format_)
        assert notices == ()
        found.append([dict(read(data).metadata)])
        # Pillow has no 16-bit grey with alpha, and does not open such a TIFF.
        if (format_, channels) != ("TIFF", 2):
            with Image.open(io.BytesIO(data)) as image:
                ifds = [dict(image.getexif().get_ifd(ifd)) for ifd in (0x8769, 0x8825)]
                info = [image.info.get(name) for name in ("icc_profile", "xmp", "exif")]
            found[-1] += [*info, *ifds]
            assert ifds[0][0x9286].endswith(b"words")
            assert ifds[1][1] == "N"
    assert found[0] == found[1]
    assert found[0][0]["icc"] == METADATA["icc"]
    assert found[0][0]["xmp"] == METADATA["xmp"]


def test_exif_never_says_how_a_tiff_is_stored() -> None:
    # Cameras write the size of the picture and more of the like.
    tags = exif()
    for tag, value in ((256, 4000), (257, 3000), (259, 6), (277, 1), (338, 1), (262, 0)):
        tags[tag] = value
    for dtype in (np.uint8, np.uint16):
        pixels = noise((5, 6, 3), dtype)
        data, _ = save_bytes(Picture(pixels, {"exif": tags.tobytes()}), "TIFF")
        picture = read(data)
        np.testing.assert_array_equal(picture.pixels, pixels)
        assert tags_of(picture) == {MAKE: "maker"}


@pytest.mark.parametrize(("tag", "name"), [(34675, "ICC"), (700, "XMP")])
@pytest.mark.parametrize("bits", [(8,), (16,), (16, 16)])
def test_metadata_of_the_wrong_type_are_dropped_with_a_notice(
    bits: tuple[int, ...], tag: int, name: str
) -> None:
    extra = {"_338": 2} if len(bits) == 2 else {}
    data = tiff(bytes(sum(bits) // 8 * 4), 2, 2, bits=bits, **extra, **{f"_{tag}": 2**31})
    picture = read(data)
    assert f"dropped the {name}, which is broken" in picture.notices
    assert dict(picture.metadata) == {}


@pytest.mark.parametrize("bits", [(8,), (16,), (16, 16)])
@pytest.mark.parametrize("offset", [0, 3, 1 << 30, 2**32 - 1])
def test_a_broken_exif_never_stops_a_picture(bits: tuple[int, ...], offset: int) -> None:
    extra = {"_338": 2} if len(bits) == 2 else {}
    data = tiff(bytes(sum(bits) // 8 * 4), 2, 2, bits=bits, **extra, _34665=offset)
    assert read(data).pixels.shape == (2, 2, len(bits))


def test_strip_drops_the_metadata_and_nothing_else() -> None:
    picture = Picture(noise((4, 5, 3)), METADATA, ("a notice",))
    stripped = strip(picture)
    assert stripped.pixels is picture.pixels
    assert stripped.notices == picture.notices
    assert dict(stripped.metadata) == {}
    assert dict(picture.metadata) == METADATA


def test_a_stripped_picture_stays_upright() -> None:
    pixels, tags = noise((5, 8, 3)), exif()
    tags[ORIENTATION] = 6
    picture = strip(read(encoded(Image.fromarray(pixels), "PNG", exif=tags)))
    again = read(save_bytes(picture, "PNG")[0])
    np.testing.assert_array_equal(again.pixels, ORIENTED[6](pixels))
    assert dict(again.metadata) == {}


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_metadata_of_a_file_that_pillow_wrote(format_: str) -> None:
    options: dict[str, Any] = {"icc_profile": METADATA["icc"], "exif": METADATA["exif"]}
    picture = read(encoded(Image.fromarray(noise((16, 16, 3))), format_, **options))
    assert dict(picture.metadata) == {"icc": METADATA["icc"], "exif": METADATA["exif"]}


@pytest.mark.parametrize(("mode", "format_"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("LAB", "TIFF")])
def test_a_profile_of_other_colours_is_dropped_with_a_notice(mode: str, format_: str) -> None:
    data = encoded(Image.new(mode, (8, 8)), format_, icc_profile=b"some profile" * 20)
    picture = read(data)
    assert picture.notices == (f"converted {mode} to RGB", f"dropped the {mode} colour profile")
    assert dict(picture.metadata) == {}


def test_bmp_drops_metadata_with_a_notice() -> None:
    pixels = noise((5, 6, 3))
    data, notices = save_bytes(Picture(pixels, METADATA), "BMP")
    assert notices == tuple(f"dropped the {n}: BMP cannot hold it" for n in ("ICC", "EXIF", "XMP"))
    np.testing.assert_array_equal(read(data).pixels, pixels)
    assert save_bytes(Picture(pixels), "BMP")[1] == ()


@pytest.mark.parametrize(
    ("name", "payload", "format_"),
    [
        ("exif", b"Exif\0\0" + bytes(70_000), "JPEG"),
        ("xmp", bytes(70_000), "JPEG"),
        ("xmp", "caf\u00e9".encode("latin-1"), "PNG"),
    ],
)
def test_metadata_that_a_format_cannot_hold_is_dropped_alone(
    name: str, payload: bytes, format_: str
) -> None:
    pixels = noise((8, 8, 3))
    data, notices = save_bytes(Picture(pixels, {**METADATA, name: payload}), format_)
    assert len(notices) == 1
    assert notices[0].startswith(f"dropped the {name.upper()}: ")
    assert "\n" not in notices[0]
    kept = read(data).metadata
    assert set(kept) == set(METADATA) - {name}


BROKEN_METADATA = [b"garbage", b"Exif\0\0garbage", b"Exif\0\0II*\0", b"\0" * 20, b"\xff"]


@pytest.mark.parametrize("broken", BROKEN_METADATA)
@pytest.mark.parametrize("kind", METADATA)
@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP"])
def test_broken_metadata_of_a_siren_file_is_no_crash(
    format_: str, kind: str, broken: bytes
) -> None:
    try:
        data, _ = save_bytes(Picture(noise((8, 8, 3)), {kind: broken}), format_)
    except SirenError:
        return
    assert Image.open(io.BytesIO(data)).size == (8, 8)


@pytest.mark.parametrize("broken", [b"garbage", b"Exif\0\0garbage", b"Exif\0\0II*\0"])
def test_broken_exif_of_a_siren_file_is_no_crash_in_tiff(broken: bytes) -> None:
    try:
        data, _ = save_bytes(Picture(noise((8, 8, 3)), {"exif": broken}), "TIFF")
    except SirenError:
        return
    assert Image.open(io.BytesIO(data)).size == (8, 8)
