"""Images of Pillow: every mode is kept, converted with a notice, or refused."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import (
    MAX_PIXELS,
    encoded,
    grey_of,
    noise,
    read,
    refused,
    tiff,
)
from PIL import Image, ImageFile

from siren_codec.errors import PictureError
from siren_codec.picture import Picture, from_pil, save_bytes


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


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
@pytest.mark.parametrize("channels", [3, 4])
def test_a_pillow_image_keeps_16_bits_though_it_is_loaded(
    tmp_path: Path, channels: int, format_: str
) -> None:
    pixels = noise((5, 6, channels), np.uint16)
    path = tmp_path / "deep"
    path.write_bytes(save_bytes(Picture(pixels), format_)[0])
    for source in (path, io.BytesIO(path.read_bytes())):
        with Image.open(source) as image:
            np.testing.assert_array_equal(from_pil(image, max_pixels=30).pixels, pixels)
            # Pillow has room for 8, and the file is read again.
            image.load()
            picture = from_pil(image, max_pixels=30)
            np.testing.assert_array_equal(picture.pixels, pixels)
            assert picture.notices == ()


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


def test_an_image_gives_the_same_depth_each_time_and_is_not_changed(tmp_path: Path) -> None:
    pixels = noise((5, 6, 3), np.uint16)
    path = tmp_path / "deep.png"
    path.write_bytes(save_bytes(Picture(pixels), "PNG")[0])
    for source in (path, io.BytesIO(path.read_bytes())):
        with Image.open(source) as image:
            assert isinstance(image, ImageFile.ImageFile)
            assert image.fp
            tiles, place = list(image.tile), image.fp.tell()
            for _ in range(3):
                np.testing.assert_array_equal(from_pil(image, max_pixels=30).pixels, pixels)
                assert (image.tile, image.fp.tell()) == (tiles, place)
            np.testing.assert_array_equal(np.asarray(image), pixels >> 8)
            np.testing.assert_array_equal(from_pil(image, max_pixels=30).pixels, pixels)


def test_16_bits_that_can_no_longer_be_had_give_a_notice(tmp_path: Path) -> None:
    pixels = noise((5, 6, 3), np.uint16)
    path = tmp_path / "deep.png"
    notice = "kept the 8 bits a sample of this {} that Pillow had loaded"
    for format_ in ("PNG", "TIFF"):
        path.write_bytes(save_bytes(Picture(pixels), format_)[0])
        with Image.open(path) as changed, Image.open(path) as gone:
            changed.load()
            changed.putpixel((0, 0), (1, 2, 3))
            picture = from_pil(changed, max_pixels=30)
            assert picture.notices == (notice.format(format_),)
            assert picture.pixels[0, 0].tolist() == [1, 2, 3]
            gone.load()
            path.unlink()
            assert from_pil(gone, max_pixels=30).notices == (notice.format(format_),)


def test_an_image_of_8_bits_that_was_changed_gives_no_notice(tmp_path: Path) -> None:
    path = tmp_path / "plain.png"
    path.write_bytes(save_bytes(Picture(noise((5, 6, 3))), "PNG")[0])
    with Image.open(path) as image:
        image.load()
        image.putpixel((0, 0), (1, 2, 3))
        picture = from_pil(image, max_pixels=30)
    assert picture.notices == ()
    assert picture.pixels[0, 0].tolist() == [1, 2, 3]
