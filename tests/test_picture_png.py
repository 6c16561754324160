"""PNGs of every depth."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import png as pypng
import pytest
from pictures import (
    MAX_PIXELS,
    METADATA,
    chunk,
    encoded,
    noise,
    png,
    read,
    refused,
)
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from siren_codec.errors import PictureError
from siren_codec.picture import load, save_bytes


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
    assert "icc" in read(gamma_png(1.0)).metadata
    assert dict(read(gamma_png(0.45455)).metadata) == {}
    assert dict(read(gamma_png(1.0, chunk(b"sRGB", b"\0"))).metadata) == {}


def test_a_png_with_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    data = bytearray(encoded(Image.fromarray(noise((8, 8, 3))), "PNG"))
    data[-14] ^= 1  # within IDAT's checksum: IEND takes the last 12 bytes
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    for source in (bytes(data), path):
        with pytest.raises(PictureError, match="checksum"):
            load(source, max_pixels=MAX_PIXELS)


def test_a_png_without_pixels() -> None:
    head = struct.pack(">IIBBBBB", 4, 3, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IEND", b"")
    assert refused(data).endswith("a PNG without pixels")


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


def low_png(depth: int, colour_type: int, row: bytes, width: int, extra: bytes = b"") -> bytes:
    """Return a PNG of one row of few bits a sample."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour_type, 0, 0, 0))
    idat = chunk(b"IDAT", zlib.compress(b"\0" + row))
    return b"\x89PNG\r\n\x1a\n" + head + extra + idat + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("depth", "row", "transparent", "grey", "alpha"),
    [
        (1, b"\x40", 1, [0, 255], [255, 0]),
        (2, b"\x1b", 1, [0, 85, 170, 255], [255, 0, 255, 255]),
        (4, b"\x01\x2f", 2, [0, 17, 34, 255], [255, 255, 0, 255]),
    ],
)
def test_a_transparent_grey_of_few_bits(
    depth: int, row: bytes, transparent: int, grey: list[int], alpha: list[int]
) -> None:
    trns = chunk(b"tRNS", struct.pack(">H", transparent))
    picture = read(low_png(depth, 0, row, len(grey), trns))
    assert picture.pixels[0].tolist() == [list(each) for each in zip(grey, alpha, strict=True)]


def test_the_alpha_of_a_palette_may_be_short() -> None:
    extra = chunk(b"PLTE", bytes(range(9))) + chunk(b"tRNS", b"\x80")
    picture = read(low_png(2, 3, b"\x18", 4, extra))
    assert picture.pixels[0].tolist() == [
        [0, 1, 2, 128],
        [3, 4, 5, 255],
        [6, 7, 8, 255],
        [0, 1, 2, 128],
    ]


@pytest.mark.parametrize("bits", [8, 16])
def test_a_png_whose_stream_ends_after_half_of_the_rows_is_refused(bits: int) -> None:
    rows = (b"\0" + bytes(4 * bits // 8)) * 4
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 8, bits, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert refused(data).endswith("broken picture: Not enough image data")


def test_a_png_whose_stream_has_a_wrong_checksum_is_refused() -> None:
    stream = bytearray(zlib.compress(bytes(5)))
    stream[-1] ^= 1
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 1, 8, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", bytes(stream)) + chunk(b"IEND", b"")
    assert "broken picture" in refused(data)


def test_large_metadata_never_stop_a_png() -> None:
    profile, comment = bytes((1 << 20) + 1), bytes(2_000_000)
    iccp = chunk(b"iCCP", b"large\0\0" + zlib.compress(profile))
    ztxt = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(comment))
    picture = read(low_png(8, 0, b"abc", 3, iccp + ztxt))
    assert picture.notices == ()
    assert dict(picture.metadata) == {"icc": profile}
    # Pillow would not open it.
    data, notices = save_bytes(picture, "PNG")
    assert notices == (
        "dropped the ICC: PNG cannot hold it: expected a profile of at most 1048576 bytes, "
        "found 1048577",
    )
    with Image.open(io.BytesIO(data)) as image:
        image.load()


@pytest.mark.parametrize(
    "iccp",
    [b"name\0\5" + zlib.compress(b"profile"), b"name\0\0abc", b"", b"name", b"\0\0\0", b"n\0\0"],
)
def test_a_broken_profile_is_dropped_with_a_notice(iccp: bytes) -> None:
    picture = read(low_png(8, 0, b"abc", 3, chunk(b"iCCP", iccp)))
    assert picture.notices == ("dropped the ICC, which is broken",)


def test_a_profile_beyond_all_bounds_is_dropped_with_a_notice() -> None:
    iccp = b"name\0\0" + zlib.compress(bytes(100_000_000))
    tracemalloc.start()
    picture = read(low_png(8, 0, b"abc", 3, chunk(b"iCCP", iccp)))
    assert tracemalloc.get_traced_memory()[1] < 40_000_000
    tracemalloc.stop()
    assert picture.notices == ("dropped the ICC, which is broken",)


@pytest.mark.parametrize("packed", [False, True])
def test_metadata_as_imagemagick_writes_them(packed: bool) -> None:
    exif = METADATA["exif"]
    text = b"\nexif\n%8d\n" % len(exif) + exif.hex().encode() + b"\n"
    kind = b"zTXt" if packed else b"tEXt"
    body = b"\0" + zlib.compress(text) if packed else text
    for keyword in (b"Raw profile type exif", b"Raw profile type APP1"):
        picture = read(low_png(8, 0, b"abc", 3, chunk(kind, keyword + b"\0" + body)))
        assert dict(picture.metadata) == {"exif": exif}
        broken = chunk(kind, keyword + b"\0" + body[:-9])
        assert "which is broken" in read(low_png(8, 0, b"abc", 3, broken)).notices[0]


def test_xmp_may_be_packed() -> None:
    body = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(METADATA["xmp"])
    picture = read(low_png(8, 0, b"abc", 3, chunk(b"iTXt", body)))
    assert dict(picture.metadata) == {"xmp": METADATA["xmp"]}


def test_of_an_animation_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (4, 3), grey) for grey in ("red", "lime", "blue")]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    picture = read(data)
    assert picture.notices == ("kept the first of 3 frames",)
    assert picture.pixels[0, 0].tolist() == [255, 0, 0]
