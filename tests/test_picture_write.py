"""Pictures that are written, and what a format cannot hold."""

import io
from collections.abc import Callable

import imagecodecs
import numpy as np
import png as pypng
import pytest
import tifffile
from pictures import METADATA, noise, read
from PIL import Image

from siren_codec.errors import PictureError
from siren_codec.picture import OUTPUT_FORMATS, Picture, load, lossless_webp, save_bytes, write


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_every_size_from_1x1(channels: int, dtype: type, shape: tuple[int, int]) -> None:
    pixels = noise((*shape, channels), dtype)
    for format_ in ("PNG", "TIFF"):
        data, notices = save_bytes(Picture(pixels), format_)
        assert notices == ()
        np.testing.assert_array_equal(load(data, max_pixels=shape[0] * shape[1]).pixels, pixels)
    for format_ in ("JPEG", "WEBP", "BMP", "AVIF"):
        data, _ = save_bytes(Picture(pixels), format_)
        assert read(data).pixels.shape[:2] == shape
    data, notices = save_bytes(Picture(pixels), "JXL")
    assert notices == ()
    assert np.atleast_3d(imagecodecs.jpegxl_decode(data)).shape[:2] == shape


def _is_jpegxl(data: bytes) -> bool:
    return data.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL "))


def test_every_output_format_is_written() -> None:
    for format_ in set(OUTPUT_FORMATS.values()):
        picture = Picture(noise((5, 6, 3)), METADATA)
        data, _ = save_bytes(picture, format_)
        assert (_is_jpegxl(data) and "JXL") or Image.open(io.BytesIO(data)).format == format_
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


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pixels_to_write_need_not_be_contiguous(dtype: type) -> None:
    pixels = noise((9, 8, 4), dtype).swapaxes(0, 1)[::-1, ::2, :3]
    for format_ in ("PNG", "TIFF"):
        np.testing.assert_array_equal(read(save_bytes(Picture(pixels), format_)[0]).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "BMP", "AVIF"])
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


@pytest.mark.parametrize("format_", ["JPEG", "WEBP", "AVIF"])
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


@pytest.mark.parametrize("format_", ["WEBP", "AVIF"])
@pytest.mark.parametrize(("channels", "found"), [(1, 3), (2, 4)])
def test_some_hold_grey_as_colours(channels: int, found: int, format_: str) -> None:
    data, notices = save_bytes(Picture(noise((16, 16, channels))), format_)
    assert notices == ()
    assert read(data).pixels.shape[2] == found


@pytest.mark.parametrize("format_", ["WEBP", "AVIF"])
def test_some_keep_alpha(format_: str) -> None:
    pixels = np.full((16, 16, 4), 255, np.uint8)
    pixels[:8, :, 3] = 0
    data, notices = save_bytes(Picture(pixels), format_)
    assert notices == ()
    np.testing.assert_array_equal(read(data).pixels[:, :, 3], pixels[:, :, 3])


def test_notices_add_up() -> None:
    picture = Picture(noise((16, 16, 4), np.uint16), METADATA)
    assert len(save_bytes(picture, "BMP")[1]) == 5


@pytest.mark.parametrize(("side", "format_"), [(16_384, "WEBP"), (65_501, "JPEG")])
def test_a_side_that_a_format_cannot_hold_is_an_error(side: int, format_: str) -> None:
    with pytest.raises(PictureError, match=f"pixels a side in {format_}"):
        save_bytes(Picture(np.zeros((1, side, 3), np.uint8)), format_)


def test_avif_keeps_metadata_to_the_byte() -> None:
    data, notices = save_bytes(Picture(noise((8, 9, 3)), METADATA), "AVIF")
    assert notices == ()
    assert read(data).metadata == METADATA


def test_a_pillow_without_avif(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.features.check", lambda _: False)
    with pytest.raises(PictureError, match=r"AVIF: expected a Pillow .* pip install"):
        save_bytes(Picture(noise((8, 9, 3))), "AVIF")


def _logo() -> Picture:
    pixels = np.full((64, 96, 3), 255, np.uint8)
    pixels[10:40, 20:60] = (200, 10, 30)
    return Picture(pixels, METADATA)


def test_flat_artwork_as_a_lossless_webp() -> None:
    size = lossless_webp(_logo(), at_most=10_000)
    assert size is not None
    # Metadata are counted, as they are in our files.
    assert sum(map(len, METADATA.values())) < size < 1000
    assert lossless_webp(_logo(), at_most=size) == size
    assert lossless_webp(_logo(), at_most=size - 1) is None
    assert lossless_webp(Picture(noise((64, 96, 3))), at_most=5000) is None


def test_no_lossless_webp_of_what_is_deep_large_or_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lossless_webp(Picture(noise((4, 5, 3), np.uint16)), at_most=10**6) is None
    assert lossless_webp(Picture(np.zeros((1, 16_384, 3), np.uint8)), at_most=10**6) is None
    monkeypatch.setattr(write, "METADATA", {})
    assert lossless_webp(_logo(), at_most=10**6) is None
    monkeypatch.undo()
    monkeypatch.setattr(write, "_QUICK_PIXELS", 6000)
    assert lossless_webp(_logo(), at_most=10**6) is None


def test_a_photograph_takes_one_quick_try(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = list[object]()

    def by_pillow(_: str, **how: object) -> Callable[..., bytes]:
        tried.append(how)
        return lambda *_: bytes(4001)

    monkeypatch.setattr(write, "_by_pillow", by_pillow)
    assert lossless_webp(_logo(), at_most=1000) is None
    assert tried == [write._QUICKEST]
