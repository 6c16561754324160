"""Other formats, and what Pillow drops of them."""

import base64
import struct
from typing import Any

import numpy as np
import pytest
from pictures import LOSSLESS, MAX_PIXELS, encoded, noise, read, refused
from PIL import Image, features

from siren_codec.errors import PictureError
from siren_codec.picture import from_pil

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
def test_an_avif_of_10_bits_keeps_all() -> None:
    picture = read(base64.b64decode(AVIF_OF_10_BITS))
    assert picture.notices == ("scaled samples of 10 bits to 16",)
    assert picture.pixels.ravel().tolist() == [round(700 / 1023 * 65535)] * 4
    assert read(encoded(Image.new("RGB", (8, 8)), "AVIF")).notices == ()


@pytest.mark.skipif(not features.check("jpg_2000"), reason="this Pillow has no JPEG 2000")
def test_a_jpeg_2000_of_pillow_s() -> None:
    grey = noise((16, 16), np.uint16)
    picture = read(encoded(Image.fromarray(grey), "JPEG2000"))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], grey)
    colours = noise((16, 16, 3))
    picture = read(encoded(Image.fromarray(colours), "JPEG2000"))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels, colours)


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


def jpeg_2000(pixels: Any, **options: Any) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, **options))


@pytest.mark.parametrize("container", ["j2k", "jp2"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("bits", [1, 4, 7, 8, 9, 10, 12, 16])
def test_a_jpeg_2000_of_any_depth(bits: int, channels: int, container: str) -> None:
    dtype, peak = (np.uint8 if bits <= 8 else np.uint16), (1 << bits) - 1
    values = np.random.default_rng(bits).integers(0, peak, (9, 8, channels), dtype, endpoint=True)
    values[0, 0], values[0, 1] = 0, peak
    squeezed = values[:, :, 0] if channels == 1 else values
    data = jpeg_2000(squeezed, bitspersample=bits, codecformat=container)
    picture = read(data)
    whole = 255 if bits <= 8 else 65535
    assert picture.pixels.dtype == dtype
    np.testing.assert_array_equal(picture.pixels, np.rint(values * (whole / peak)))
    says = {1: "converted 1 to L", 8: "", 16: ""}.get(bits, f"scaled samples of {bits} bits to 16")
    assert picture.notices == ((says,) if says and (bits == 1 or bits > 8) else ())


def test_a_jpeg_2000_with_a_sign_is_refused() -> None:
    message = refused(jpeg_2000(np.full((8, 8), -3, np.int16)))
    assert message.endswith("samples of 1 to 16 bits without a sign, found 16 bits with a sign")


def fits(values: Any, **cards: Any) -> bytes:
    """Return a FITS of a plane, its first row at the bottom."""
    bits = values.dtype.itemsize * (-8 if values.dtype.kind == "f" else 8)
    height, width = values.shape
    head = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": 2, "NAXIS1": width, "NAXIS2": height, **cards}
    lines = "".join(f"{f'{name:8}= {value:>20} / of a test':80}" for name, value in head.items())
    lines += f"{'END':80}"
    data = values[::-1].astype(values.dtype.newbyteorder(">")).tobytes()
    head_of_blocks = (lines + " " * (-len(lines) % 2880)).encode()
    return bytes(head_of_blocks + data + bytes(-len(data) % 2880))


def test_the_samples_of_a_fits_have_a_sign_a_zero_and_a_scale() -> None:
    signed = np.array([[-1, 0], [1, 2]], np.int16)
    assert refused(fits(signed)).endswith("expected grey samples of 0..65535, found -1..2")
    unsigned = np.array([[0, 1, 32768, 65535], [4, 3, 2, 1]], np.uint16)
    for zero in ("32768", "3.2768E4", "3.2768D4"):
        data = fits((unsigned.astype(int) - 32768).astype(np.int16), BZERO=zero)
        assert read(data).pixels[:, :, 0].tolist() == unsigned.tolist()
    bytes_ = noise((3, 4))
    picture = read(fits(bytes_))
    assert picture.notices == ()
    np.testing.assert_array_equal(picture.pixels[:, :, 0], bytes_)
    picture = read(fits(signed, BSCALE=0.5))
    assert picture.notices == ("scaled floating-point grey samples from -0.5..1.0 to 16 bits",)
    assert picture.pixels.ravel().tolist() == [0, 21845, 43690, 65535]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (fits(np.zeros((3, 4), np.int16))[:2890], "truncated"),
        (fits(np.zeros((3, 4), np.int16))[:200], "without an end"),
        (fits(np.zeros((3, 4), np.int16), BLANK=0), "found blank ones"),
        (fits(np.zeros((3, 4), np.int16), NAXIS=3, NAXIS3=2), "expected FITS of one plane"),
        (fits(np.full((3, 4), np.nan, np.float32)), "expected finite samples"),
        (fits(np.zeros((3, 4), np.int16), BITPIX=7), "expected FITS of one plane"),
        (fits(np.zeros((3, 4), np.int16), BZERO="x"), "broken picture"),
    ],
)
def test_a_broken_fits_is_refused(data: bytes, message: str) -> None:
    assert message in refused(data)


@pytest.mark.parametrize(
    ("head", "package"),
    [
        (b"\0\0\0\x1cftypheic", "pillow-heif"),
        (b"\xff\x0a", "pillow-jxl-plugin"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "pillow-jxl-plugin"),
    ],
)
def test_what_a_plugin_would_read_is_named(head: bytes, package: str) -> None:
    assert refused(head + bytes(100)).endswith(f"pip install {package}")


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_an_avif_whose_own_brand_is_not_the_first_keeps_all() -> None:
    data = base64.b64decode(AVIF_OF_10_BITS)
    assert data[8:12] == b"avif"
    other = data[:8] + b"mif1" + data[12:]
    np.testing.assert_array_equal(read(other).pixels, read(data).pixels)
    assert read(other).pixels.dtype == np.uint16


def test_heic_of_more_than_8_bits_gives_a_notice() -> None:
    """Its plugin gives 8 of them, and the depth in the info."""
    for depth, notices in ((8, ()), (10, ("converted samples of more than 8 bits to 8",))):
        image = Image.new("RGB", (2, 2))
        image.format, image.info["bit_depth"] = "HEIF", depth
        assert from_pil(image, max_pixels=MAX_PIXELS).notices == notices


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
def test_of_an_animated_avif_the_first_frame_is_kept() -> None:
    frames = [Image.new("RGB", (8, 4), colour) for colour in ("red", "lime", "blue")]
    picture = read(encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:]))
    assert picture.notices == ("kept the first of 3 frames",)
    assert np.abs(picture.pixels.astype(int) - (255, 0, 0)).max() < 5
