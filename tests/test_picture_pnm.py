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
