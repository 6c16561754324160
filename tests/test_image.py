"""Picture files and Pictures: what is kept, converted with a notice, or refused."""

import base64
import io
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import png as pypng
import pytest
import tifffile
from conftest import with_checksums
from PIL import Image, ImageCms, features
from PIL.PngImagePlugin import PngInfo

from siren_codec.errors import LimitError, PictureError, SirenError, UsageError
from siren_codec.picture import (
    OUTPUT_FORMATS,
    Picture,
    deep,
    from_array,
    from_pil,
    load,
    save_bytes,
    strip,
)

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


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B", "I;16N"])
def test_grey_of_16_bits_is_kept(mode: str) -> None:
    pixels = noise((6, 7), np.uint16)
    stored = pixels.astype(">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (7, 6), stored.tobytes())
    picture = from_pil(image, max_pixels=MAX_PIXELS)
    assert picture.pixels.dtype == np.uint16
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], pixels)


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


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (2, 3), (6, 4)])
def test_a_png_of_16_bits_keeps_all(tmp_path: Path, colour_type: int, channels: int) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    data = png(pixels, colour_type)
    path = tmp_path / "deep.png"
    path.write_bytes(data)
    for source in (data, path):
        picture = load(source, max_pixels=30)
        assert picture.notices == ()
        assert picture.pixels.dtype == np.uint16
        assert picture.pixels.flags.c_contiguous
        np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_png_of_16_bits_that_another_library_wrote(channels: int, interlace: bool) -> None:
    pixels = noise((11, 9, channels), np.uint16)
    out = io.BytesIO()
    kind = {"greyscale": channels < 3, "alpha": channels in (2, 4), "interlace": interlace}
    writer = pypng.Writer(9, 11, bitdepth=16, **kind)
    writer.write_array(out, pixels.ravel().tolist())
    picture = read(out.getvalue())
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_a_transparent_colour_of_16_bits_becomes_alpha() -> None:
    pixels = noise((4, 5, 3), np.uint16)
    # The upper bytes are not all that must be the same.
    pixels[1, 2], pixels[3, 0], pixels[0, 0] = (7, 8, 9), (7, 8, 9), (7, 8, 10)
    picture = read(png(pixels, 2, chunk(b"tRNS", struct.pack(">HHH", 7, 8, 9))))
    assert picture.notices == ("converted RGB to RGBA",)
    np.testing.assert_array_equal(picture.pixels[:, :, :3], pixels)
    assert np.argwhere(picture.pixels[:, :, 3] == 0).tolist() == [[1, 2], [3, 0]]
    assert set(picture.pixels[:, :, 3].ravel().tolist()) == {0, 65535}


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_pillow_image_keeps_16_bits_until_it_is_loaded(
    tmp_path: Path, channels: int, format_: str
) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    path = tmp_path / "deep"
    path.write_bytes(save_bytes(Picture(pixels), format_)[0])
    for source in (path, io.BytesIO(path.read_bytes())):
        with Image.open(source) as image:
            np.testing.assert_array_equal(from_pil(image, max_pixels=30).pixels, pixels)
            # Pillow has room for 8.
            image.load()
            np.testing.assert_array_equal(from_pil(image, max_pixels=30).pixels, pixels >> 8)


def test_what_few_pictures_need_is_imported_for_those() -> None:
    code = "import sys, siren_codec.picture; print({'tifffile', 'torch'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


@pytest.mark.parametrize("peak", [65535, 1000, 256])
@pytest.mark.parametrize(("magic", "bands"), [("P2", 1), ("P3", 3), ("P5", 1), ("P6", 3)])
def test_a_pnm_of_16_bits_keeps_all(magic: str, bands: int, peak: int) -> None:
    pixels = noise((4, 3, bands), np.uint16).astype(np.int64) % (peak + 1)
    data = b" ".join(b"%d" % value for value in pixels.ravel())
    if magic in ("P5", "P6"):
        data = pixels.astype(">u2").tobytes()
    picture = read(b"%s 3 4 %d\n" % (magic.encode(), peak) + data)
    assert picture.notices == ()
    assert picture.pixels.dtype == np.uint16
    np.testing.assert_array_equal(picture.pixels, np.rint(pixels * (65535 / peak)))


def test_a_plain_ppm_may_have_comments() -> None:
    picture = read(b"P3 2 1 # two\n1000\n0 500 # 7 7\n1000 1000 0#\r500\n")
    assert picture.pixels.tolist() == [[[0, 32768, 65535], [65535, 0, 32768]]]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P6 1 1 300\n\0\1\0\2\0", "truncated"),
        (b"P3 1 1 300\n1 2", "truncated"),
        (b"P6 1 1 300\n\0\1\0\2\1\x2d", "samples of 0..300, found 1..301"),
        (b"P3 1 1 300\n1 2 -3", "samples of 0..300, found -3..2"),
        (b"P3 1 1 300\n1 2 three", "broken picture"),
        (b"P3 1 1 300\n1 2 " + b"3" * 5000, "broken picture"),
    ],
)
def test_a_broken_pnm_of_16_bits_is_refused(data: bytes, message: str) -> None:
    assert message in refused(data)


# Samples of 32 bits


def grey_of(values: Any, dtype: type) -> Image.Image:
    return Image.fromarray(np.array(values, dtype))


def test_32_bit_grey_that_fits_is_kept_with_a_notice() -> None:
    for image in (grey_of([[0, 7], [300, 65535]], np.int32), grey_of([[5, 5]], np.int32)):
        for source in (image, Image.open(io.BytesIO(encoded(image, "TIFF")))):
            picture = from_pil(source, max_pixels=4)
            values = np.asarray(image)
            notice = f"kept 32-bit grey samples of {values.min()}..{values.max()} as 16 bits"
            assert picture.notices == (notice,)
            assert picture.pixels.dtype == np.uint16
            np.testing.assert_array_equal(picture.pixels[:, :, 0], values)


@pytest.mark.parametrize("values", [[-1, 5], [0, 65536], [-(2**31), 2**31 - 1]])
def test_32_bit_grey_beyond_16_is_refused_with_its_range(values: list[int]) -> None:
    found = f"expected grey samples of 0..65535, found {values[0]}..{values[1]}"
    with pytest.raises(PictureError, match=f"^{found}$"):
        from_pil(grey_of([values], np.int32), max_pixels=4)
    assert refused(encoded(grey_of([values], np.int32), "TIFF")).endswith(found)


def test_the_range_of_32_bits_without_a_sign() -> None:
    data = tiff(struct.pack("<II", 9, 2**32 - 1), 2, 1, bits=(32,))
    assert "found 9..4294967295" in refused(data)


@pytest.mark.parametrize("values", [[-1.5, 0.1, 2.0], [0.0, 1.0], [-3e38, 3e38], [0, 1e-45]])
def test_floating_point_grey_is_scaled_with_a_notice(values: list[float]) -> None:
    image = grey_of([values], np.float32)
    reals = np.asarray(image).astype(np.float64)
    for source in (image, Image.open(io.BytesIO(encoded(image, "TIFF")))):
        picture = from_pil(source, max_pixels=4)
        least, most = np.float32(values[0]), np.float32(values[-1])
        notice = f"scaled floating-point grey samples from {least}..{most} to 16 bits"
        assert picture.notices == (notice,)
        expected = np.rint((reals - reals.min()) / (reals.max() - reals.min()) * 65535)
        np.testing.assert_array_equal(picture.pixels[:, :, 0], expected)


def test_constant_floating_point_grey_is_black() -> None:
    picture = from_pil(grey_of([[0.5, 0.5]], np.float32), max_pixels=2)
    assert picture.notices == ("scaled floating-point grey samples from 0.5..0.5 to 16 bits",)
    assert picture.pixels.tolist() == [[[0], [0]]]


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
def test_floating_point_that_is_not_finite_is_refused(odd: float) -> None:
    with pytest.raises(PictureError, match="expected finite samples"):
        from_pil(grey_of([[0, odd, 1]], np.float32), max_pixels=3)


# TIFF

LAYOUTS: dict[str, dict[str, Any]] = {
    "strip": {},
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 16)},
    "deflate": {"compression": "zlib", "rowsperstrip": 4},
    "predictor": {"compression": "zlib", "predictor": True, "tile": (16, 16)},
    "planes": {"planarconfig": "separate", "rowsperstrip": 4},
    "planes in tiles": {"planarconfig": "separate", "tile": (16, 16)},
    "deflated planes": {"planarconfig": "separate", "compression": "zlib", "predictor": True},
}


def written_by_tifffile(pixels: Pixels, **options: Any) -> bytes:
    channels = pixels.shape[2]
    options = {"photometric": "minisblack" if channels < 3 else "rgb", **options}
    if channels in (2, 4):
        options.setdefault("extrasamples", ["unassalpha"])
    if options.get("planarconfig") == "separate" and channels > 1:
        pixels = pixels.transpose(2, 0, 1)
    elif channels == 1:
        options.pop("planarconfig", None)
        pixels = pixels[:, :, 0]
    out = io.BytesIO()
    tifffile.imwrite(out, pixels, metadata=None, **options)
    return out.getvalue()


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tiff_of_16_bits_keeps_all(
    tmp_path: Path, layout: str, order: str, channels: int
) -> None:
    pixels = noise((19, 21, channels), np.uint16)
    data = written_by_tifffile(pixels, byteorder=order, **LAYOUTS[layout])
    path = tmp_path / "deep.tif"
    path.write_bytes(data)
    for source in (data, path):
        picture = load(source, max_pixels=19 * 21)
        assert picture.notices == ()
        assert picture.pixels.dtype == np.uint16
        assert picture.pixels.flags.c_contiguous
        np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2])
def test_white_may_be_zero(order: str, channels: int) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    picture = read(written_by_tifffile(pixels, byteorder=order, photometric="miniswhite"))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], 65535 - pixels[:, :, 0])
    np.testing.assert_array_equal(picture.pixels[:, :, 1:], pixels[:, :, 1:])


DIVIDED = "divided the colours by the alpha that the file had multiplied in"


@pytest.mark.parametrize(("channels", "notice"), [(2, "converted La to LA"), (4, DIVIDED)])
@pytest.mark.parametrize("layout", ["strip", "planes"])
def test_alpha_that_was_multiplied_in_to_8_bits(layout: str, channels: int, notice: str) -> None:
    pixels = np.full((2, 3, channels), 60, np.uint8)
    pixels[:, :, -1] = 120
    options = {"extrasamples": ["assocalpha"], **LAYOUTS[layout]}
    picture = read(written_by_tifffile(pixels, **options))
    assert picture.notices == (DIVIDED if layout == "planes" else notice,)
    assert np.abs(picture.pixels[:, :, :-1].astype(int) - 127.5).max() < 1
    assert (picture.pixels[:, :, -1] == 120).all()


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("layout", ["strip", "planes"])
def test_alpha_that_was_multiplied_in_is_divided_out(layout: str, channels: int) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    pixels[0, :3, -1] = 0, 1, 65535
    options = {"extrasamples": ["assocalpha"], **LAYOUTS[layout]}
    picture = read(written_by_tifffile(pixels, **options))
    assert picture.notices == (DIVIDED,)
    alpha = pixels[:, :, -1:].astype(np.int64)
    expected = (pixels[:, :, :-1].astype(np.int64) * 65535 + alpha // 2) // np.maximum(alpha, 1)
    np.testing.assert_array_equal(picture.pixels[:, :, :-1], np.minimum(expected, 65535))
    np.testing.assert_array_equal(picture.pixels[:, :, -1:], alpha)


@pytest.mark.parametrize(("channels", "kept"), [(2, 1), (4, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", ["strip", "planes"])
def test_a_channel_that_is_not_explained_is_dropped_with_a_notice(
    layout: str, dtype: type, channels: int, kept: int
) -> None:
    pixels = noise((5, 6, channels), dtype)
    options = {"extrasamples": ["unspecified"], **LAYOUTS[layout]}
    picture = read(written_by_tifffile(pixels, **options))
    assert picture.notices == ("dropped 1 channels beyond colour and alpha",)
    np.testing.assert_array_equal(picture.pixels, pixels[:, :, :kept])


TAGS = {"width": 256, "height": 257, "bits": 258, "compression": 259, "photometric": 262}


def tiff(data: bytes, width: int, height: int, **changes: Any) -> bytes:
    """Return a TIFF of one strip and of any tags: names of TAGS, or numbers after an underscore."""
    tags: dict[int, Any] = {
        256: width,
        257: height,
        258: (16,),
        259: 1,
        262: 1,
        277: 1,
        278: height,
    }
    tags |= {TAGS.get(name) or int(name[1:]): value for name, value in changes.items()}
    tags = {273: 8, 279: len(data)} | tags
    tags[277] = len(tags[258]) if "_277" not in changes else tags[277]
    out = bytearray(b"II*\0" + struct.pack("<I", 8 + len(data) + len(data) % 2) + data)
    out += bytes(len(data) % 2) + struct.pack("<H", len(tags))
    beyond = len(out) + 12 * len(tags) + 4
    values = b""
    for tag, value in sorted(tags.items()):
        numbers = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"<{len(numbers)}I", *numbers)
        place = packed if len(numbers) == 1 else struct.pack("<I", beyond + len(values))
        out += struct.pack("<HHI", tag, 4, len(numbers)) + place
        values += packed if len(numbers) > 1 else b""
    return bytes(out + bytes(4) + values)


def lzw(data: bytes) -> bytes:
    """Return data as LZW that learns nothing: 9 bits a byte, and the table cleared in time."""
    codes = [256]
    for start in range(0, len(data), 200):
        codes += [*data[start : start + 200], 256]
    bits = "".join(f"{code:09b}" for code in [*codes[:-1], 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_a_tiff_of_16_bits_and_lzw() -> None:
    pixels = noise((5, 6, 3), np.uint16)
    data = tiff(lzw(pixels.tobytes()), 6, 5, bits=(16,) * 3, compression=5, photometric=2)
    picture = read(data)
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_planes_of_16_bits_and_lzw_lose_8_with_a_notice() -> None:
    pixels = noise((5, 6, 3), np.uint16)
    planes = [lzw(plane.tobytes()) for plane in pixels.transpose(2, 0, 1)]
    starts = tuple(8 + sum(map(len, planes[:n])) for n in range(3))
    changes = {"bits": (16,) * 3, "compression": 5, "photometric": 2, "_284": 2}
    counts = tuple(map(len, planes))
    picture = read(tiff(b"".join(planes), 6, 5, **changes, _273=starts, _279=counts))
    assert picture.notices == ("converted samples of more than 8 bits to 8",)
    np.testing.assert_array_equal(picture.pixels, pixels >> 8)


def test_grey_and_alpha_of_16_bits_and_lzw_are_refused() -> None:
    data = lzw(noise((5, 6, 2), np.uint16).tobytes())
    message = refused(tiff(data, 6, 5, bits=(16, 16), compression=5, _338=2))
    assert message.endswith("of this layout with no or deflate compression, found LZW")


def test_a_tiff_of_12_bits_is_scaled_with_a_notice() -> None:
    data = bytes.fromhex("000fff 800001")
    picture = read(tiff(data, 4, 1, bits=(12,)))
    assert picture.notices == ("scaled samples of 12 bits to 16",)
    assert picture.pixels.ravel().tolist() == [0, 65535, 32776, 16]


def test_signed_samples_of_8_bits_are_refused() -> None:
    assert "found signed ones of 8 bits" in refused(tiff(bytes(4), 2, 2, bits=(8,), _339=2))


def test_signed_samples_of_16_bits_are_those_of_32() -> None:
    picture = read(tiff(struct.pack("<hh", 3, 32767), 2, 1, _339=2))
    assert picture.notices == ("kept 32-bit grey samples of 3..32767 as 16 bits",)
    assert "found -3..7" in refused(tiff(struct.pack("<hh", -3, 7), 2, 1, _339=2))


def test_16_bit_cmyk_says_all_that_is_lost() -> None:
    picture = read(tiff(noise((2, 3, 4), np.uint16).tobytes(), 3, 2, bits=(16,) * 4, photometric=5))
    assert picture.notices == (
        "converted samples of more than 8 bits to 8",
        "converted CMYK to RGB",
    )


@pytest.mark.parametrize("samples", [(32, 32, 32), (16, 16, 16, 16, 16)])
def test_other_tiffs_are_refused(samples: tuple[int, ...]) -> None:
    pixels = np.zeros((3, 4, len(samples)), np.float32 if 32 in samples else np.uint16)
    options: dict[str, Any] = {"photometric": "rgb", "planarconfig": "contig"}
    if len(samples) > 3:
        options["extrasamples"] = ["unspecified"] * 2
    assert "expected a TIFF of" in refused(written_by_tifffile(pixels, **options))


def test_a_thumbnail_in_the_first_page_is_not_taken_in_silence() -> None:
    picture = read(tiff(bytes(4), 2, 2, bits=(8,), _254=1))
    assert picture.notices == ("kept the first page, which is a reduced copy of another",)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_first_page_of_a_tiff_of_16_bits(channels: int) -> None:
    pages = noise((2, 5, 6, channels), np.uint16)
    out = io.BytesIO()
    with tifffile.TiffWriter(out) as writer:
        for page in pages:
            extra = ["unassalpha"] if channels == 2 else None
            photometric = "rgb" if channels == 3 else "minisblack"
            pixels = page[:, :, 0] if channels == 1 else page
            writer.write(pixels, photometric=photometric, metadata=None, extrasamples=extra)
    picture = read(out.getvalue())
    assert picture.notices == ("kept the first of 2 frames",)
    np.testing.assert_array_equal(picture.pixels, pages[0])
    if channels == 3:
        with Image.open(out) as image:
            image.seek(1)
            picture = from_pil(image, max_pixels=30)
        assert picture.notices == ("kept frame 2 of 2 frames",)
        np.testing.assert_array_equal(picture.pixels, pages[1])


GREY_AND_ALPHA = {"bits": (16, 16), "_338": 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"_279": 100}, "expected strips of 120 bytes, found 100"),
        ({"_279": 121}, "expected strips of 120 bytes, found 121"),
        ({"_273": 1 << 20}, "expected strips of 120 bytes, found 0"),
        ({"_278": 2}, "the number of its strips"),
        ({"compression": 8}, "broken picture"),
        ({"_322": 4096, "_323": 4096, "_324": 8, "_325": 120}, "the size of its tiles"),
        ({"_322": 0, "_323": 16, "_324": 8, "_325": 120}, "broken picture"),
    ],
)
def test_a_tiff_that_does_not_hold_its_pixels_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    data = noise((5, 6, 2), np.uint16).tobytes()
    np.testing.assert_array_equal(
        read(tiff(data, 6, 5, **GREY_AND_ALPHA)).pixels.ravel(), np.frombuffer(data, np.uint16)
    )
    assert message in refused(tiff(data, 6, 5, **{**GREY_AND_ALPHA, **changes}))


@pytest.mark.parametrize("compression", [1, 8])
@pytest.mark.parametrize("rows", [5, 6])
def test_the_last_strip_may_be_filled_up(rows: int, compression: int) -> None:
    pixels = noise((6, 6, 2), np.uint16)
    strips = [pixels[:3].tobytes(), pixels[3:].tobytes()]
    if compression == 8:
        strips = [zlib.compress(strip) for strip in strips]
    changes = {**GREY_AND_ALPHA, "compression": compression, "_278": 3}
    places = {"_273": (8, 8 + len(strips[0])), "_279": tuple(map(len, strips))}
    data = tiff(b"".join(strips), 6, rows, **changes, **places)
    np.testing.assert_array_equal(read(data).pixels, pixels[:rows])


def test_a_tiff_with_the_low_bit_first_is_refused() -> None:
    data = noise((5, 6, 2), np.uint16).tobytes()
    assert "the high bit first" in refused(tiff(data, 6, 5, **GREY_AND_ALPHA, _266=2))


def test_a_tiff_that_unpacks_to_more_than_its_pixels_is_refused() -> None:
    bomb = zlib.compress(bytes(10_000_000))
    message = refused(tiff(bomb, 6, 5, compression=8, **GREY_AND_ALPHA))
    assert message.endswith("expected strips of 120 bytes, found 121")


def test_a_tiff_with_tiles_far_beyond_its_pixels_is_refused() -> None:
    changes = {"_322": 1 << 15, "_323": 1 << 15, "_324": 8, "_325": 9, "compression": 8}
    assert "tiles of 1073741824 pixels" in refused(tiff(bytes(9), 6, 5, bits=(8,), **changes))


# Other formats

AVIF_OF_10_BITS = """
AAAAHGZ0eXBhdmlmAAAAAGF2aWZtaWYxbWlhZgAAAOltZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA
AAAAAAAAAAAAAA5waXRtAAAAAAABAAAAHmlsb2MAAAAARAAAAQABAAAAAQAAAQ0AAAASAAAAKGlpbmYAAAAAAAEA
AAAaaW5mZQIAAAAAAQAAYXYwMUNvbG9yAAAAAGhpcHJwAAAASWlwY28AAAAUaXNwZQAAAAAAAAACAAAAAgAAAA5w
aXhpAAAAAAEKAAAADGF2MUOBAFwAAAAAE2NvbHJuY2x4AAIAAgACgAAAABdpcG1hAAAAAAAAAAEAAQQBAoMEAAAA
Gm1kYXQSAAoEGAA+dTIIEAAAGN6g9tw=
"""
"""2x2 grey, all 700 of 1023; by libavif."""
LOST = ("converted samples of more than 8 bits to 8",)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_of_10_bits_loses_2_with_a_notice() -> None:
    picture = read(base64.b64decode(AVIF_OF_10_BITS))
    assert picture.notices == LOST
    assert abs(int(picture.pixels[0, 0, 0]) - 700 / 1023 * 255) <= 1
    assert read(encoded(Image.new("RGB", (8, 8)), "AVIF")).notices == ()


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_a_jpeg_2000_of_16_bits_keeps_grey_but_not_colours() -> None:
    grey = noise((16, 16), np.uint16)
    picture = read(encoded(Image.fromarray(grey), "JPEG2000"))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], grey)
    data = bytearray(encoded(Image.new("RGB", (4, 4)), "JPEG2000"))
    assert read(bytes(data)).notices == ()
    depths = data.index(b"\xff\x4f\xff\x51") + 42
    data[depths : depths + 9 : 3] = bytes([15]) * 3
    if b"ihdr" in data:
        data[data.index(b"ihdr") + 14] = 15
    assert read(bytes(data)).notices == LOST


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_an_sgi_of_16_bits_loses_8_with_a_notice(mode: str) -> None:
    assert read(encoded(Image.new(mode, (4, 3)), "SGI", bpc=2)).notices == LOST
    assert read(encoded(Image.new(mode, (4, 3)), "SGI")).notices == ()


def test_floating_point_colours_for_a_graphics_card_say_what_is_lost() -> None:
    # A DDS of one block of BC6H: size, flags, height, width, ..., "DX10", ..., format 95.
    head = struct.pack("<4s4I", b"DDS ", 124, 0x1007, 4, 4) + bytes(56)
    head += struct.pack("<II4s", 32, 4, b"DX10") + bytes(20) + struct.pack("<I", 0x1000) + bytes(16)
    head += struct.pack("<5I", 95, 3, 0, 1, 0)
    assert read(head + bytes(16)).notices == LOST


def test_of_an_icon_the_largest_size_is_kept() -> None:
    data = encoded(Image.new("RGB", (48, 48)), "ICO", sizes=[(16, 16), (48, 48)])
    picture = read(data)
    assert picture.notices == ("kept the largest of 2 sizes",)
    assert picture.pixels.shape[:2] == (48, 48)


def test_of_layers_what_they_make_together_is_kept() -> None:
    class Layered(Image.Image):
        n_frames = 3
        format = "PSD"

    image = Layered()
    image.im, image._mode, image._size = Image.new("L", (2, 2)).im, "L", (2, 2)
    assert from_pil(image, max_pixels=4).notices == ("kept the merged picture of 3 layers",)


def test_a_drawing_is_refused_and_not_run() -> None:
    data = encoded(Image.new("RGB", (4, 3)), "EPS")
    assert refused(data).endswith("expected pixels, found a drawing (EPS)")
    # Only Windows opens the other kind.
    image = Image.new("RGB", (4, 3))
    image.format = "WMF"
    with pytest.raises(PictureError, match=r"expected pixels, found a drawing \(WMF\)"):
        from_pil(image, max_pixels=12)


def gamma_png(gamma: float, extra: bytes = b"") -> bytes:
    gama = chunk(b"gAMA", struct.pack(">I", round(100_000 * gamma)))
    return png(noise((2, 3, 3), np.uint16), 2, gama + extra)


def test_comments_and_resolution_are_not_kept() -> None:
    text = PngInfo()
    text.add_text("Comment", "words")
    picture = read(encoded(Image.new("L", (4, 3)), "PNG", pnginfo=text, dpi=(300, 300)))
    assert picture.notices == ()
    assert dict(picture.metadata) == {}


def test_a_gamma_is_not_ignored_in_silence() -> None:
    assert read(gamma_png(1.0)).notices == ("did not apply the gamma of 1",)
    assert read(gamma_png(0.45455)).notices == ()
    assert read(gamma_png(1.0, chunk(b"sRGB", b"\0"))).notices == ()


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


@pytest.mark.parametrize("format_", [*LOSSLESS, "JPEG"])
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


def oriented_tiff(pixels: Pixels, orientation: int, **options: Any) -> bytes:
    extratags = [(ORIENTATION, 3, 1, orientation, True)]
    return written_by_tifffile(pixels, extratags=extratags, **options)


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
        assert picture.notices[0] == "applied the EXIF orientation to the pixels"
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


# Metadata

METADATA = {
    "icc": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    "exif": exif().tobytes(),
    "xmp": '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'.encode(),
}


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


def test_a_png_without_pixels() -> None:
    head = struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")
    assert refused(data).endswith("a PNG without pixels")


def test_a_pipe(tmp_path: Path) -> None:
    pixels = noise((3, 4, 3), np.uint16)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(png(pixels, 2),))
    writer.start()
    np.testing.assert_array_equal(load(path, max_pixels=12).pixels, pixels)
    writer.join()


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


def deep_files() -> list[bytes]:
    pixels = noise((7, 5, 4), np.uint16)
    files = [save_bytes(Picture(pixels[:, :, :n]), "PNG")[0] for n in (2, 3, 4)]
    files += [
        written_by_tifffile(pixels[:, :, :channels], **LAYOUTS[layout])
        for channels in (2, 3)
        for layout in ("strips", "deflate", "planes", "deflated planes")
    ]
    files.append(b"P6 5 7 65535\n" + pixels[:, :, :3].tobytes())
    files.append(b"P3 2 1 300 1 2 3 4 5 300")
    return files


@pytest.mark.parametrize("data", deep_files())
def test_every_prefix_of_16_bits_is_a_picture_or_refused(data: bytes) -> None:
    whole = read(data).pixels
    for length in range(0, len(data), 3):
        try:
            picture = read(data[:length])
        except PictureError:
            continue
        np.testing.assert_array_equal(picture.pixels, whole)
        assert length > 0.9 * len(data) - 20


@pytest.mark.parametrize("data", deep_files())
def test_broken_bytes_of_16_bits_give_a_picture_or_a_siren_error(data: bytes) -> None:
    rng = np.random.default_rng(1)
    messages: list[str] = []
    for _ in range(100):
        broken = bytearray(data)
        # Most of it in the head, or in the tags, which tifffile writes there.
        for position in rng.integers(0, [len(data), min(len(data), 250)][rng.integers(2)], 2):
            broken[position] = rng.integers(0, 256)
        try:
            assert read(with_checksums(bytes(broken))).pixels.size
        except SirenError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


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


@pytest.mark.parametrize("colour_type", [4, 2, 6])
def test_the_limit_holds_for_16_bits(colour_type: int) -> None:
    channels = {4: 2, 2: 3, 6: 4}[colour_type]
    pixels = noise((3, 4, channels), np.uint16)
    ppm = b"P6 4 3 65535\n" + noise((3, 4, 3), np.uint16).tobytes()
    for data in (png(pixels, colour_type), written_by_tifffile(pixels), ppm):
        assert load(data, max_pixels=12).pixels.dtype == np.uint16
        with pytest.raises(LimitError, match=r"expected at most 11 pixels$"):
            load(data, max_pixels=11)


@pytest.mark.parametrize("samples", [2, 3])
def test_a_large_tiff_is_refused_before_it_is_decoded(samples: int) -> None:
    changes: dict[str, Any] = {"_338": 2} if samples == 2 else {"photometric": 2}
    refused(tiff(bytes(9), 1 << 30, 1 << 30, bits=(16,) * samples, **changes), LimitError)


def test_a_png_that_unpacks_to_more_than_its_pixels_takes_no_more_memory() -> None:
    pixels = noise((3, 4, 3), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    idat = chunk(b"IDAT", zlib.compress(rows + bytes(50_000_000)))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 2, 0, 0, 0))
    tracemalloc.start()
    picture = read(b"\x89PNG\r\n\x1a\n" + head + idat + chunk(b"IEND", b""))
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()
    np.testing.assert_array_equal(picture.pixels, pixels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_size_from_1x1(channels: int, dtype: type, shape: tuple[int, int]) -> None:
    pixels = noise((*shape, channels), dtype)
    for format_ in ("PNG", "TIFF"):
        data, notices = save_bytes(Picture(pixels), format_)
        assert notices == ()
        np.testing.assert_array_equal(load(data, max_pixels=shape[0] * shape[1]).pixels, pixels)
    for format_ in ("JPEG", "WEBP", "BMP"):
        data, _ = save_bytes(Picture(pixels), format_)
        assert read(data).pixels.shape[:2] == shape


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
        picture = Picture(noise((5, 6, 3)), METADATA)
        data, _ = save_bytes(picture, format_)
        assert Image.open(io.BytesIO(data)).format == format_
        assert save_bytes(picture, format_)[0] == data


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_lossless_formats_keep_the_pixels(format_: str, channels: int, dtype: type) -> None:
    pixels = noise((7, 9, channels), dtype)
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    picture = read(data)
    assert picture.pixels.dtype == dtype
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)
    assert save_bytes(Picture(pixels), format_)[0] == data


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_another_library_reads_our_16_bits(channels: int) -> None:
    ramp = np.arange(300)[:, None, None] * 7 + np.arange(500)[:, None] * np.arange(1, channels + 1)
    for pixels in (noise((7, 9, channels), np.uint16), ramp.astype(np.uint16)):
        data, _ = save_bytes(Picture(pixels, METADATA), "TIFF")
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            np.testing.assert_array_equal(np.atleast_3d(file.asarray()), pixels)
        data, _ = save_bytes(Picture(pixels, METADATA), "PNG")
        width, height, rows, info = pypng.Reader(bytes=data).read()
        assert (info["bitdepth"], info["planes"]) == (16, channels)
        np.testing.assert_array_equal(
            np.array([list(row) for row in rows]).reshape(height, width, channels), pixels
        )


def test_16_bits_are_written_some_rows_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = noise((50, 7, 3), np.uint16)
    whole = save_bytes(Picture(pixels), "PNG")[0]
    monkeypatch.setattr(deep, "_BLOCK", 100)
    np.testing.assert_array_equal(read(save_bytes(Picture(pixels), "PNG")[0]).pixels, pixels)
    np.testing.assert_array_equal(read(whole).pixels, pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_to_write_need_not_be_contiguous(dtype: type) -> None:
    pixels = noise((9, 8, 4), dtype).swapaxes(0, 1)[::-1, ::2, :3]
    for format_ in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read(save_bytes(Picture(pixels), format_)[0]).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "BMP"])
def test_other_formats_round_16_bits_to_8_with_a_notice(format_: str, channels: int) -> None:
    pixels = np.full((8, 8, channels), 128, np.uint16)
    pixels[4:] = 129
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices[0] == (
        f"converted 16-bit samples to the 8 bits that this {format_} writer keeps"
    )
    found = read(data).pixels
    assert found.dtype == np.uint8
    if format_ == "BMP":
        assert found[0, 0, 0] == 0
        assert found[4, 0, 0] == 1


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


@pytest.mark.parametrize("format_", ["JPEG", "BMP"])
def test_grey_stays_grey(format_: str) -> None:
    pixels = noise((16, 16, 1))
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    assert read(data).pixels.shape == pixels.shape
    if format_ == "BMP":
        np.testing.assert_array_equal(read(data).pixels, pixels)


@pytest.mark.parametrize(("channels", "found"), [(1, 3), (2, 4)])
def test_webp_holds_grey_as_colours(channels: int, found: int) -> None:
    data, notices = save_bytes(Picture(noise((16, 16, channels))), "WEBP")
    assert notices == ()
    assert read(data).pixels.shape[2] == found


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
