"""TIFFs in every layout: read whole, or refused."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pictures import (
    DIVIDED,
    LAYOUTS,
    encoded,
    lzw,
    noise,
    read,
    refused,
    tiff,
    written_by_tifffile,
)
from PIL import Image

from siren_codec.errors import LimitError
from siren_codec.picture import from_pil, load


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


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("layout", ["strip", "planes"])
def test_alpha_that_was_multiplied_in_to_8_bits(layout: str, channels: int) -> None:
    pixels = np.full((2, 3, channels), 60, np.uint8)
    pixels[:, :, -1] = 120
    options = {"extrasamples": ["assocalpha"], **LAYOUTS[layout]}
    picture = read(written_by_tifffile(pixels, **options))
    assert picture.notices == (DIVIDED,)
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


def test_a_tiff_of_16_bits_and_lzw() -> None:
    pixels = noise((5, 6, 3), np.uint16)
    data = tiff(lzw(pixels.tobytes()), 6, 5, bits=(16,) * 3, compression=5, photometric=2)
    picture = read(data)
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_planes_of_16_bits_and_lzw() -> None:
    pixels = noise((5, 6, 3), np.uint16)
    planes = [lzw(plane.tobytes()) for plane in pixels.transpose(2, 0, 1)]
    starts = tuple(8 + sum(map(len, planes[:n])) for n in range(3))
    changes = {"bits": (16,) * 3, "compression": 5, "photometric": 2, "_284": 2}
    counts = tuple(map(len, planes))
    picture = read(tiff(b"".join(planes), 6, 5, **changes, _273=starts, _279=counts))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_grey_and_alpha_of_16_bits_and_lzw() -> None:
    pixels = noise((5, 6, 2), np.uint16)
    picture = read(tiff(lzw(pixels.tobytes()), 6, 5, bits=(16, 16), compression=5, _338=2))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, pixels)


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


def test_cmyk_of_16_bits_becomes_rgb_of_16() -> None:
    inks = noise((2, 3, 4), np.uint16)
    picture = read(tiff(inks.tobytes(), 3, 2, bits=(16,) * 4, photometric=5))
    assert picture.notices == ("converted CMYK to RGB",)
    light = 1 - inks / 65535
    assert np.abs(picture.pixels - 65535 * light[:, :, :3] * light[:, :, 3:]).max() < 1.01


def test_floating_point_colours_are_refused() -> None:
    pixels = np.zeros((3, 4, 3), np.float32)
    assert "expected a TIFF of" in refused(written_by_tifffile(pixels, planarconfig="contig"))


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
        ({"_278": 2}, "expected 3 strips or tiles, found 1"),
        ({"compression": 8}, "broken picture"),
        ({"_322": 4096, "_323": 4096, "_324": 8, "_325": 120}, "tiles of 16777216 pixels"),
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


def test_a_tiff_may_have_the_low_bit_first() -> None:
    pixels = noise((5, 6, 2), np.uint16)
    reversed_ = np.packbits(np.unpackbits(pixels.view(np.uint8)), bitorder="little").tobytes()
    picture = read(tiff(reversed_, 6, 5, **GREY_AND_ALPHA, _266=2))
    np.testing.assert_array_equal(picture.pixels, pixels)


def test_a_tiff_that_unpacks_to_more_than_its_pixels_is_refused() -> None:
    bomb = zlib.compress(bytes(10_000_000))
    message = refused(tiff(bomb, 6, 5, compression=8, **GREY_AND_ALPHA))
    assert message.endswith("expected strips of 120 bytes, found 121")


def test_a_tiff_with_tiles_far_beyond_its_pixels_is_refused() -> None:
    changes = {"_322": 1 << 15, "_323": 1 << 15, "_324": 8, "_325": 9, "compression": 8}
    assert "tiles of 1073741824 pixels" in refused(tiff(bytes(9), 6, 5, bits=(8,), **changes))


@pytest.mark.parametrize("samples", [2, 3])
def test_a_large_tiff_is_refused_before_it_is_decoded(samples: int) -> None:
    changes: dict[str, Any] = {"_338": 2} if samples == 2 else {"photometric": 2}
    refused(tiff(bytes(9), 1 << 30, 1 << 30, bits=(16,) * samples, **changes), LimitError)


def packbits(data: bytes) -> bytes:
    return b"".join(
        bytes([len(part) - 1]) + part
        for part in (data[n : n + 99] for n in range(0, len(data), 99))
    )


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("compression", [5, 8, 32773, 50000])
def test_a_strip_that_unpacks_to_another_size_is_refused(compression: int, bits: int) -> None:
    import imagecodecs

    def packed(size: int) -> bytes:
        data = bytes(size)
        if compression == 50000:
            return bytes(imagecodecs.zstd_encode(data))
        pack: dict[int, Callable[[bytes], bytes]] = {5: lzw, 8: zlib.compress, 32773: packbits}
        return pack[compression](data)

    options: dict[str, Any] = {"bits": (bits,), "compression": compression}
    right = 30 * bits // 8
    assert read(tiff(packed(right), 6, 5, **options)).pixels.shape == (5, 6, 1)
    for wrong in (right - 1, right + 1, right + 10_000):
        refused(tiff(packed(wrong), 6, 5, **options))


def test_a_strip_with_a_wrong_checksum_is_refused() -> None:
    stream = bytearray(zlib.compress(bytes(30)))
    stream[-1] ^= 1
    assert "broken picture" in refused(tiff(bytes(stream), 6, 5, bits=(8,), compression=8))
    assert "broken picture" in refused(tiff(bytes(stream[:-2]), 6, 5, bits=(8,), compression=8))


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_are_scaled(bits: int) -> None:
    values = np.arange(1 << bits, dtype=np.uint8)
    row = np.packbits((values[:, None] >> np.arange(bits)[::-1]) & 1).tobytes()
    picture = read(tiff(row, len(values), 1, bits=(bits,)))
    assert picture.notices == (("converted 1 to L",) if bits == 1 else ())
    assert picture.pixels.ravel().tolist() == [
        v * 255 // (len(values) - 1) for v in values.tolist()
    ]


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_a_palette_of_a_tiff(factor: int) -> None:
    colours = noise((256, 3)).astype(int) * factor
    values = noise((5, 6))
    data = tiff(
        values.tobytes(), 6, 5, bits=(8,), photometric=3, _320=tuple(colours.T.ravel().tolist())
    )
    picture = read(data)
    assert picture.notices == ("converted P to RGB",)
    kept = colours if factor == 1 else colours // factor
    np.testing.assert_array_equal(picture.pixels, kept[values])


def test_a_bigtiff_keeps_all() -> None:
    pixels = noise((5, 6, 3), np.uint16)
    tag = [(0x0112, 3, 1, 6, True), (0x010F, 2, 6, "maker", True)]
    picture = read(written_by_tifffile(pixels, bigtiff=True, extratags=tag))
    assert picture.notices == ("applied the EXIF orientation to the pixels",)
    np.testing.assert_array_equal(picture.pixels, pixels[::-1].swapaxes(0, 1))
    assert b"maker" in picture.metadata["exif"]


@pytest.mark.parametrize("compression", ["jpeg", "group4"])
def test_pictures_within_a_tiff_are_left_to_pillow(compression: str) -> None:
    image = Image.fromarray(noise((16, 24))).convert("1" if compression == "group4" else "L")
    data = encoded(image, "TIFF", compression=compression)
    picture = read(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    np.testing.assert_array_equal(picture.pixels[:, :, 0], expected)
