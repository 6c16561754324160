"""PNGs of every depth."""

import io
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import png as pypng
import pytest
from pictures import MAX_PIXELS, chunk, encoded, noise, png, read, refused
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from siren_codec.errors import PictureError
from siren_codec.picture import load


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
