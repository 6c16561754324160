"""PGM, PPM and PAM."""

import numpy as np
import pytest
from pictures import noise, read, refused


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


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("peak", [1, 15, 100, 255, 256, 4095, 65535])
def test_a_pam_of_any_depth(peak: int, channels: int) -> None:
    values = np.random.default_rng(1).integers(0, peak, (3, 5, channels), endpoint=True)
    values[0, 0], values[0, 1] = 0, peak
    kind = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"][channels - 1]
    head = f"P7\nWIDTH 5\nHEIGHT 3\n# words\nDEPTH {channels}\nMAXVAL {peak}\n"
    head += f"TUPLTYPE {kind}\nENDHDR\n"
    picture = read(head.encode() + values.astype(">u2" if peak > 255 else "u1").tobytes())
    whole = 255 if peak < 256 else 65535
    np.testing.assert_array_equal(picture.pixels, (2 * values * whole + peak) // (2 * peak))
    assert picture.notices == (("converted 1 to L",) if peak == 1 else ())


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P7\nWIDTH 5\nENDHDR\n", "expected the header of a PAM"),
        (b"P7\nWIDTH 5\n", "expected the header of a PAM"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 5\nMAXVAL 1\nENDHDR\n", "expected 1..4 channels"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 3\nMAXVAL 70000\nENDHDR\n", "of up to 65535"),
        (b"P7\nWIDTH 1\nHEIGHT 1\nDEPTH 4\nMAXVAL 9\nTUPLTYPE CMYK\nENDHDR\n", "of CMYK"),
        (b"P5 1 1 70000\n\0\0", "of up to 65535"),
        (b"P5 1\n", "three numbers"),
        (b"P5 2 2 255\n\0\0\0", "truncated"),
        (b"P5 1 1 9\n\x0a", "samples of 0..9, found 10..10"),
    ],
)
def test_a_broken_pnm_is_refused(data: bytes, message: str) -> None:
    assert message in refused(data)


@pytest.mark.parametrize("magic", ["P2", "P5"])
@pytest.mark.parametrize("peak", [1, 7, 100, 254, 255])
def test_a_pgm_of_few_values_is_scaled(peak: int, magic: str) -> None:
    values = np.arange(peak + 1)
    data = bytes(range(peak + 1)) if magic == "P5" else " ".join(map(str, values)).encode()
    picture = read(f"{magic} {peak + 1} 1 {peak}\n".encode() + data)
    np.testing.assert_array_equal(picture.pixels.ravel(), (510 * values + peak) // (2 * peak))
