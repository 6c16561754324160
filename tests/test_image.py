"""Picture files and Pictures: what is kept, converted with a notice, or refused."""

import io
import itertools
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms

from siren_codec.errors import LimitError, PictureError, SirenError, UsageError
from siren_codec.image import OUTPUT_FORMATS, Picture, from_array, from_pil, load, save_bytes

Pixels = npt.NDArray[Any]

MAX_PIXELS = 1_000_000
MAKE, ORIENTATION = 0x010F, 0x0112
LOSSLESS: dict[str, dict[str, Any]] = {"PNG": {}, "TIFF": {}, "BMP": {}, "WEBP": {"lossless": True}}


def noise(shape: tuple[int, ...], dtype: type = np.uint8) -> Pixels:
    peak = np.iinfo(dtype).max
    return np.random.default_rng(0).integers(0, peak, shape, dtype, endpoint=True)


def encoded(image: Image.Image, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def read(data: bytes) -> Picture:
    return load(data, max_pixels=MAX_PIXELS)


def chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def png(pixels: Pixels, colour_type: int, extra: bytes = b"") -> bytes:
    """Return a PNG of 16 bits a sample; Pillow writes such files for grey alone."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1)
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# Modes


def test_the_kept_modes_are_kept_as_they_are() -> None:
    for mode, channels in (("L", 1), ("LA", 2), ("RGB", 3), ("RGBA", 4)):
        pixels = noise((6, 7, channels))
        image = Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)
        assert image.mode == mode
        picture = from_pil(image, max_pixels=MAX_PIXELS)
        assert picture.pixels.dtype == np.uint8
        assert picture.notices == ()
        assert dict(picture.metadata) == {}
        np.testing.assert_array_equal(picture.pixels, pixels)


CONVERTED = [
    ("1", "L", 1),
    ("P", "RGB", 3),
    ("PA", "RGBA", 4),
    ("CMYK", "RGB", 3),
    ("YCbCr", "RGB", 3),
    ("HSV", "RGB", 3),
    ("LAB", "RGB", 3),
    ("RGBX", "RGB", 3),
    ("La", "LA", 2),
    ("RGBa", "RGBA", 4),
]


@pytest.mark.parametrize(("mode", "converted", "channels"), CONVERTED)
def test_modes_that_are_converted_with_a_notice(mode: str, converted: str, channels: int) -> None:
    image = Image.new(mode, (7, 6))
    picture = from_pil(image, max_pixels=MAX_PIXELS)
    assert picture.pixels.shape == (6, 7, channels)
    assert picture.pixels.dtype == np.uint8
    assert picture.notices == (f"converted {mode} to {converted}",)
    expected = np.asarray(image.convert(converted)).reshape(6, 7, channels)
    np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_grey_of_16_bits_is_kept(mode: str) -> None:
    pixels = noise((6, 7), np.uint16)
    stored = pixels.astype(">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (7, 6), stored.tobytes())
    picture = from_pil(image, max_pixels=MAX_PIXELS)
    assert picture.pixels.dtype == np.uint16
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_that_are_refused(mode: str) -> None:
    with pytest.raises(PictureError, match=f"or grey of 16; found Pillow's mode {mode}$"):
        from_pil(Image.new(mode, (7, 6)), max_pixels=MAX_PIXELS)


def test_black_and_white_are_0_and_255() -> None:
    image = Image.fromarray(np.array([[True, False], [False, True]]))
    picture = from_pil(image, max_pixels=MAX_PIXELS)
    np.testing.assert_array_equal(picture.pixels[:, :, 0], [[255, 0], [0, 255]])


def palette_image(**options: Any) -> Image.Image:
    image = Image.frombytes("P", (2, 2), bytes([0, 1, 2, 1]))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    return Image.open(io.BytesIO(encoded(image, "PNG", **options)))


def test_a_palette_becomes_its_colours() -> None:
    picture = from_pil(palette_image(), max_pixels=MAX_PIXELS)
    assert picture.notices == ("converted P to RGB",)
    assert picture.pixels.reshape(4, 3).tolist() == [
        [10, 20, 30],
        [40, 50, 60],
        [70, 80, 90],
        [40, 50, 60],
    ]


@pytest.mark.parametrize(
    ("transparency", "alphas"), [(1, [255, 0, 255, 0]), (b"\x80\xff\x00", [128, 255, 0, 255])]
)
def test_a_palette_with_transparency_becomes_alpha(
    transparency: int | bytes, alphas: list[int]
) -> None:
    picture = from_pil(palette_image(transparency=transparency), max_pixels=MAX_PIXELS)
    assert picture.notices == ("converted P to RGBA",)
    assert picture.pixels[:, :, 3].ravel().tolist() == alphas
    assert picture.pixels[0, 0, :3].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("mode", "transparency", "becomes"),
    [("L", 5, "LA"), ("1", 0, "LA"), ("RGB", (1, 2, 3), "RGBA")],
)
def test_a_transparent_colour_becomes_alpha(mode: str, transparency: Any, becomes: str) -> None:
    data = encoded(Image.new(mode, (3, 2), transparency), "PNG", transparency=transparency)
    picture = read(data)
    assert picture.notices == (f"converted {mode} to {becomes}",)
    assert picture.pixels.shape == (2, 3, len(becomes))
    assert (picture.pixels[:, :, -1] == 0).all()


def test_a_transparent_grey_of_16_bits_is_not_dropped_in_silence() -> None:
    pixels = noise((4, 5), np.uint16)
    pixels[1, 2] = pixels[3, 0] = 7
    picture = read(png(pixels, 0, chunk(b"tRNS", struct.pack(">H", 7))))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)
    np.testing.assert_array_equal(picture.pixels[:, :, 1], np.where(pixels == 7, 0, 65535))


@pytest.mark.parametrize(("colour_type", "channels", "mode"), [(2, 3, "RGB"), (6, 4, "RGBA")])
def test_a_png_of_16_bit_colours_loses_8_with_a_notice(
    colour_type: int, channels: int, mode: str
) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    picture = read(png(pixels, colour_type))
    assert picture.notices == (f"converted 16-bit {mode} to 8 bits a sample",)
    assert picture.pixels.dtype == np.uint8
    np.testing.assert_array_equal(picture.pixels, pixels >> 8)


def test_a_png_of_16_bit_grey_and_alpha_says_what_it_lost() -> None:
    picture = read(png(noise((5, 6, 2), np.uint16), 4))
    assert picture.pixels.dtype == np.uint8
    assert any("16-bit" in notice for notice in picture.notices)


def test_a_png_of_16_bit_grey_keeps_all() -> None:
    pixels = noise((5, 6), np.uint16)
    picture = read(png(pixels, 0))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)


def test_a_ppm_of_16_bit_colours_loses_8_with_a_notice() -> None:
    data = b"P6 3 2 65535\n" + noise((2, 3, 3), np.uint16).tobytes()
    assert any("16-bit" in notice for notice in read(data).notices)


def test_a_bmp_of_16_bits_a_pixel_loses_nothing() -> None:
    masks = struct.pack("<III", 0xF800, 0x07E0, 0x001F)
    info = struct.pack("<IiiHHIIiiII", 40, 2, 2, 1, 16, 3, 8, 0, 0, 0, 0) + masks
    data = b"BM" + struct.pack("<IHHI", 14 + len(info) + 8, 0, 0, 14 + len(info)) + info + bytes(8)
    assert read(data).pixels.shape == (2, 2, 3)
    assert read(data).notices == ()


def test_only_the_first_frame_is_kept() -> None:
    frames = [Image.new("L", (4, 3), grey) for grey in (10, 200, 90)]
    picture = read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert "kept the first of 3 frames" in picture.notices
    assert (picture.pixels[:, :, 0] == 10).all()


@pytest.mark.parametrize("format_", LOSSLESS)
def test_a_plain_file_of_every_format_is_read_exactly(format_: str) -> None:
    pixels = noise((9, 11, 3))
    picture = read(encoded(Image.fromarray(pixels), format_, **LOSSLESS[format_]))
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert dict(picture.metadata) == {}


@pytest.mark.parametrize(
    "format_",
    [
        *(name for name in (*LOSSLESS, "JPEG") if name != "TIFF"),
        pytest.param(
            "TIFF",
        ),
    ],
)
def test_a_plain_file_gives_no_notice(format_: str) -> None:
    assert read(encoded(Image.fromarray(noise((9, 11, 3))), format_)).notices == ()


# Orientation

ORIENTED: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[MAKE] = "maker"
    return tags


def tags_of(picture: Picture) -> dict[int, Any]:
    tags = Image.Exif()
    tags.load(picture.metadata["exif"])
    return dict(tags)


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


def test_the_orientation_of_16_bit_grey() -> None:
    pixels, tags = noise((5, 8), np.uint16), exif()
    tags[ORIENTATION] = 6
    picture = read(encoded(Image.fromarray(pixels), "PNG", exif=tags))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], ORIENTED[6](pixels))


# Metadata

METADATA = {
    "icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "exif": exif().tobytes(),
    "xmp": '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'.encode(),
}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("format_", "kind"),
    [
        *itertools.product(["PNG", "JPEG", "WEBP", "TIFF"], METADATA),
    ],
)
def test_metadata_is_kept(format_: str, kind: str, channels: int) -> None:
    data, _ = save_bytes(Picture(noise((16, 16, channels)), METADATA), format_)
    first = read(data)
    assert first.metadata[kind] == METADATA[kind]
    again = read(save_bytes(first, format_)[0])
    assert again.metadata[kind] == METADATA[kind]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP"])
def test_metadata_of_a_file_that_pillow_wrote(format_: str) -> None:
    options: dict[str, Any] = {"icc_profile": METADATA["icc"], "exif": METADATA["exif"]}
    picture = read(encoded(Image.fromarray(noise((16, 16, 3))), format_, **options))
    assert dict(picture.metadata) == {"icc": METADATA["icc"], "exif": METADATA["exif"]}


@pytest.mark.parametrize("mode", ["PNG", "TIFF"])
def test_metadata_of_16_bit_grey(mode: str) -> None:
    pixels = noise((9, 9, 1), np.uint16)
    picture = read(save_bytes(Picture(pixels, {"icc": METADATA["icc"]}), mode)[0])
    assert picture.metadata["icc"] == METADATA["icc"]
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_a_cmyk_profile_is_dropped_with_a_notice() -> None:
    data = encoded(Image.new("CMYK", (8, 8)), "JPEG", icc_profile=b"a CMYK profile" * 20)
    picture = read(data)
    assert picture.notices == ("converted CMYK to RGB", "dropped the CMYK colour profile")
    assert dict(picture.metadata) == {}


def test_bmp_drops_metadata_with_a_notice() -> None:
    pixels = noise((5, 6, 3))
    data, notices = save_bytes(Picture(pixels, METADATA), "BMP")
    assert notices == tuple(f"dropped the {n}: BMP cannot hold it" for n in ("ICC", "EXIF", "XMP"))
    np.testing.assert_array_equal(read(data).pixels, pixels)
    assert save_bytes(Picture(pixels), "BMP")[1] == ()


# Files that are no pictures


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(Image.fromarray(noise((8, 8, 3))), "PNG"))
    data[-14] ^= 1  # within IDAT's checksum: IEND takes the last 12 bytes
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    for source in (bytes(data), path):
        with pytest.raises(PictureError, match="checksum"):
            load(source, max_pixels=MAX_PIXELS)


def refused(source: str | Path | bytes, kind: type[SirenError] = PictureError) -> str:
    """Return the message of the refusal: one line, of this kind, and nothing chained to it."""
    with pytest.raises(SirenError) as caught:
        load(source, max_pixels=MAX_PIXELS)
    assert type(caught.value) is kind
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    assert refused(path) == f"{path}: expected a picture, found an empty file"
    assert refused(b"") == "standard input: expected a picture, found an empty file"


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.png"
    assert refused(path) == f"{path}: No such file or directory"
    assert refused(str(path)) == f"{path}: No such file or directory"
    assert refused(tmp_path / "no" / "such" / "place.png").endswith("No such file or directory")


def test_a_directory(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\0" * 1000,
        b"\x89SRN\x01" + bytes(100),
        b"%PDF-1.7\n" * 20,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
    ],
)
def test_a_foreign_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "foreign.png"
    path.write_bytes(data)
    assert refused(path).startswith(f"{path}: ")
    assert refused(data).startswith("standard input: ")


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    path = tmp_path / "ゾウ é.png"
    pixels = noise((3, 4, 3))
    path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))
    for source in (path, os.fspath(path)):
        np.testing.assert_array_equal(load(source, max_pixels=12).pixels, pixels)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file(tmp_path: Path, format_: str, part: float) -> None:
    data = encoded(Image.fromarray(noise((30, 40, 3))), format_)
    path = tmp_path / "truncated"
    path.write_bytes(data[: int(part * len(data))])
    assert refused(path).startswith(f"{path}: ")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_prefix_is_a_picture_or_refused(format_: str) -> None:
    data = encoded(Image.fromarray(noise((7, 5, 3))), format_, **LOSSLESS.get(format_, {}))
    for length in range(len(data)):
        try:
            picture = read(data[:length])
        except PictureError:
            continue
        assert picture.pixels.shape == (7, 5, 3)
        # Only what follows the pixels may be missing.
        assert length > 0.9 * len(data) - 20


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_broken_bytes_give_a_picture_or_a_siren_error(format_: str) -> None:
    rng = np.random.default_rng(1)
    data = encoded(Image.fromarray(noise((7, 5, 3))), format_)
    refusals = 0
    for _ in range(150):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 6)):
            broken[position] = rng.integers(0, 256)
        try:
            load(bytes(broken), max_pixels=MAX_PIXELS)
        except SirenError:
            refusals += 1
    assert refusals > 0


# Limits


@pytest.mark.parametrize("max_pixels", [11, 6, 5, 1])
def test_max_pixels(tmp_path: Path, max_pixels: int) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (4, 3)), "PNG"))
    with pytest.raises(LimitError) as caught:
        load(path, max_pixels=max_pixels)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert before == Image.MAX_IMAGE_PIXELS


def test_max_pixels_says_what_was_found() -> None:
    data = encoded(Image.new("RGB", (4, 3)), "PNG")
    with pytest.raises(LimitError, match=r"^standard input: 4x3: expected at most 11 pixels$"):
        load(data, max_pixels=11)
    assert load(data, max_pixels=12).pixels.shape == (3, 4, 3)


def test_the_limit_stands_in_the_place_of_pillow_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # With Pillow's limit of 5 pixels, 12 would be an error: ours says they are fine, in silence.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    data = encoded(Image.new("RGB", (4, 3)), "PNG")
    assert load(data, max_pixels=12).pixels.shape == (3, 4, 3)
    assert Image.MAX_IMAGE_PIXELS == 5


def test_a_large_header_is_refused_before_it_is_decoded() -> None:
    head = struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    refused(data, LimitError)


def test_a_picture_without_pixels() -> None:
    with pytest.raises(PictureError, match="expected at least 1x1 pixels, found 0x4"):
        from_pil(Image.new("L", (0, 4)), max_pixels=MAX_PIXELS)


# Arrays


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 1), (3, 4, 2), (3, 4, 3), (3, 4, 4), (1, 1)])
def test_arrays_that_are_pictures(dtype: type, shape: tuple[int, ...]) -> None:
    pixels = noise(shape, dtype)
    picture = from_array(pixels, max_pixels=12)
    assert picture.pixels.shape == (*shape, 1)[:3]
    assert picture.pixels.dtype == dtype
    assert picture.pixels.flags.c_contiguous
    assert picture.notices == ()
    assert dict(picture.metadata) == {}
    np.testing.assert_array_equal(picture.pixels.reshape(shape), pixels)


def test_an_array_need_not_be_contiguous() -> None:
    pixels = noise((8, 10, 3))[::-2, ::3]
    picture = from_array(pixels, max_pixels=MAX_PIXELS)
    assert picture.pixels.flags.c_contiguous
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((3, 4), np.float32),
        np.zeros((3, 4), np.int32),
        np.zeros((3, 4), np.int8),
        np.zeros((3, 4), bool),
        [[1, 2], [3, 4]],
        [["a"]],
    ],
)
def test_arrays_of_another_type(array: npt.ArrayLike) -> None:
    with pytest.raises(UsageError, match="pixels: expected uint8 or uint16, found"):
        from_array(array, max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("shape", [(), (5,), (3, 4, 0), (3, 4, 5), (1, 3, 4, 3)])
def test_arrays_of_another_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"pixels: expected \(height, width\) or"):
        from_array(np.zeros(shape, np.uint8), max_pixels=MAX_PIXELS)


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0, 0, 3)])
def test_arrays_without_pixels(shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match="expected at least 1x1 pixels"):
        from_array(np.zeros(shape, np.uint8), max_pixels=MAX_PIXELS)


def test_arrays_beyond_max_pixels() -> None:
    with pytest.raises(LimitError, match="4x3: expected at most 11 pixels"):
        from_array(np.zeros((3, 4, 3), np.uint8), max_pixels=11)


def test_an_array_may_be_of_either_byte_order() -> None:
    pixels = noise((3, 4), np.uint16)
    picture = from_array(pixels.astype(pixels.dtype.newbyteorder()), max_pixels=MAX_PIXELS)
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)


def test_a_ragged_list_is_no_array() -> None:
    with pytest.raises(UsageError):
        from_array([[1, 2], [3]], max_pixels=MAX_PIXELS)


# Writing


def test_every_output_format_is_written() -> None:
    for format_ in set(OUTPUT_FORMATS.values()):
        data, _ = save_bytes(Picture(noise((5, 6, 3))), format_)
        assert Image.open(io.BytesIO(data)).format == format_


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_lossless_formats_keep_the_pixels(format_: str, channels: int) -> None:
    pixels = noise((7, 9, channels))
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    np.testing.assert_array_equal(read(data).pixels, pixels)


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_16_bit_grey_is_written_whole(format_: str) -> None:
    pixels = noise((7, 9, 1), np.uint16)
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    picture = read(data)
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize(
    ("format_", "channels"), [("PNG", 3), ("PNG", 2), ("TIFF", 4), ("BMP", 1), ("BMP", 3)]
)
def test_other_16_bit_samples_are_rounded_to_8_with_a_notice(format_: str, channels: int) -> None:
    pixels = noise((7, 9, channels), np.uint16)
    pixels.flat[:4] = 0, 65535, 128, 129
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == (f"converted 16-bit samples to the 8 bits that this {format_} writer keeps",)
    expected = np.rint(pixels.astype(np.float64) * 255 / 65535)
    np.testing.assert_array_equal(read(data).pixels, expected)
    assert expected.flat[:4].tolist() == [0, 255, 0, 1]


@pytest.mark.parametrize("format_", ["JPEG", "WEBP"])
def test_lossy_formats_come_close(format_: str) -> None:
    x, y = np.meshgrid(np.arange(64), np.arange(48))
    pixels = np.stack([2 * x, 3 * y, x + y], axis=-1).astype(np.uint8)
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    difference = np.abs(read(data).pixels.astype(int) - pixels)
    assert difference.mean() < 3


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("format_", ["JPEG", "BMP"])
def test_alpha_is_dropped_with_a_notice(format_: str, channels: int) -> None:
    data, notices = save_bytes(Picture(noise((16, 16, channels))), format_)
    assert notices == (f"dropped the alpha channel, which {format_} cannot hold",)
    assert read(data).pixels.shape == (16, 16, channels - 1)


def test_webp_keeps_alpha() -> None:
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:8, :, 3] = 0
    data, notices = save_bytes(Picture(pixels), "WEBP")
    assert notices == ()
    np.testing.assert_array_equal(read(data).pixels[:, :, 3], pixels[:, :, 3])


def test_notices_add_up() -> None:
    picture = Picture(noise((16, 16, 4), np.uint16), METADATA)
    assert len(save_bytes(picture, "BMP")[1]) == 5


@pytest.mark.parametrize(("side", "format_"), [(16_384, "WEBP"), (65_501, "JPEG")])
def test_a_side_that_a_format_cannot_hold_is_an_error(side: int, format_: str) -> None:
    with pytest.raises(PictureError, match=f"pixels a side in {format_}"):
        save_bytes(Picture(np.zeros((1, side, 3), np.uint8)), format_)


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
