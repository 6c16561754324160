"""ICC, EXIF and XMP, and the orientation: kept, applied once, or dropped with a notice."""

import io
import struct
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


XMP = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:tiff="http://ns.adobe.com/tiff/1.0/" '
    'xmlns:t="http://ns.adobe.com/tiff/1.0/"><rdf:Description{}>na\u00efve{}</rdf:Description>'
    "</rdf:RDF></x:xmpmeta>"
)
MESSAGES = [
    (" tiff:Orientation='6'", ""),
    ('\n  tiff:Orientation = "6"', ""),
    (" t:Orientation=' 6 '", ""),
    ("", "<tiff:Orientation>6</tiff:Orientation>"),
    ("", "<tiff:Orientation >\n6 </tiff:Orientation\n>"),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("by_exif", [False, True])
@pytest.mark.parametrize("orientations", MESSAGES)
def test_an_orientation_in_xmp_is_applied_once_and_gone(
    orientations: tuple[str, str], by_exif: bool, encoding: str
) -> None:
    pixels, tags = noise((16, 8, 3)), exif()
    tags[ORIENTATION] = 6
    xmp = XMP.format(*orientations).encode(encoding)
    options = {"exif": tags} if by_exif else {}
    data = encoded(Image.fromarray(pixels), "WEBP", lossless=True, xmp=xmp, **options)
    picture = read(data)
    assert picture.notices == ("applied the EXIF orientation to the pixels",)
    np.testing.assert_array_equal(picture.pixels, ORIENTED[6](pixels))
    assert picture.metadata["xmp"] == XMP.format("", "").encode(encoding)


@pytest.mark.parametrize(
    "xmp",
    [
        XMP.format(' tiff:Orientation="1"', "").encode(),
        XMP.format(' other:Orientation="6"', "").encode(),
        XMP.format(' tiff:Orientation="9"', "").encode(),
        b"\xff\xfe\x00",
        b"\xff not utf-8 \x80",
    ],
)
def test_other_xmp_is_left_as_it_is(xmp: bytes) -> None:
    data = encoded(Image.fromarray(noise((16, 8, 3))), "WEBP", lossless=True, xmp=xmp)
    picture = read(data)
    assert picture.notices == ()
    assert dict(picture.metadata) == {"xmp": xmp}


def test_exif_has_the_last_word_over_xmp() -> None:
    pixels, tags = noise((16, 8, 3)), exif()
    tags[ORIENTATION] = 1
    xmp = XMP.format(' tiff:Orientation="6"', "").encode()
    picture = read(encoded(Image.fromarray(pixels), "WEBP", lossless=True, xmp=xmp, exif=tags))
    assert picture.notices == ("dropped other orientations than 1, in XMP or EXIF",)
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert b"Orientation" not in picture.metadata["xmp"]


def exif_with_thumbnail(order: str, orientation: int) -> bytes:
    """Return EXIF, as its TIFF alone, with a thumbnail and bytes that nothing names."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    first = struct.pack(f"{order}HHHIHHI", 1, ORIENTATION, 3, 1, orientation, 0xABCD, 40)
    second = struct.pack(f"{order}HHHII HHII I", 2, 0x0201, 4, 1, 100, 0x0202, 4, 1, 500, 0)
    data = mark + struct.pack(f"{order}I", 8) + first
    data = data.ljust(40, b"\x11") + second
    return data.ljust(100, b"\x22") + bytes(range(250)) * 2 + b"maker's own"


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("format_", ["WEBP", "PNG", "JPEG"])
def test_exif_comes_out_byte_for_byte_but_for_the_orientation(
    format_: str, orientation: int, order: str
) -> None:
    raw = exif_with_thumbnail(order, orientation)
    data = encoded(Image.fromarray(noise((16, 8, 3))), format_, exif=b"Exif\0\0" + raw)
    picture = read(data)
    upright = b"Exif\0\0" + exif_with_thumbnail(order, 1)
    assert picture.metadata["exif"] == upright
    for again in ("WEBP", "PNG", "JPEG"):
        assert read(save_bytes(picture, again)[0]).metadata["exif"] == upright


def test_metadata_that_a_siren_file_cannot_hold_are_dropped_with_a_notice() -> None:
    options = {"icc_profile": bytes((16 << 20) + 1)}
    picture = read(encoded(Image.new("L", (8, 8)), "TIFF", **options))
    assert picture.notices == ("dropped the ICC, which has 16777217 bytes",)


def test_a_large_profile_of_a_jpeg_gives_a_png_that_opens() -> None:
    profile = noise(((1 << 20) + 1,)).tobytes()
    picture = read(encoded(Image.new("RGB", (8, 8)), "JPEG", icc_profile=profile))
    assert picture.metadata["icc"] == profile
    data, notices = save_bytes(picture, "PNG")
    assert notices[0].startswith("dropped the ICC: PNG cannot hold it")
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    assert read(data).notices == ()
