"""Colours that a file names by numbers are kept as an ICC profile that says the same."""

import io
import struct
from collections.abc import Sequence
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pictures import chunk, encoded, noise, read
from PIL import Image, ImageCms

from siren_codec.picture import Picture, colours, save_bytes

P3 = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def png(*chunks: bytes, mode: str = "RGB") -> bytes:
    """Return a PNG with chunks before its pixels."""
    data = encoded(Image.new(mode, (3, 2), 90), "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def chrm(primaries: Sequence[float]) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * each) for each in primaries)))


def gama(gamma: float) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * gamma)))


def in_srgb(profile: bytes, colour: tuple[int, int, int]) -> tuple[int, ...]:
    """Return what littlecms makes of a colour of a profile."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    image = ImageCms.profileToProfile(
        Image.new("RGB", (1, 1), colour), source, ImageCms.createProfile("sRGB"), ImageCms.Intent(1)
    )
    assert image is not None
    found: Any = image.getpixel((0, 0))
    return tuple(found)


def expected(colour: tuple[int, int, int], primaries: Sequence[float], gamma: float) -> Any:
    """Return a colour of gamma and D65 primaries in sRGB, by its formulas."""

    def matrix(c: Sequence[float]) -> Any:
        columns = np.array([[x, y, 1 - x - y] for x, y in zip(c[2::2], c[3::2], strict=True)]).T
        white = np.array([c[0], c[1], 1 - c[0] - c[1]]) / c[1]
        return columns * np.linalg.solve(columns, white)

    linear = (np.array(colour) / 255) ** (1 / gamma)
    linear = np.linalg.inv(matrix(colours.SRGB_PRIMARIES)) @ matrix(primaries) @ linear
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_gamma_and_primaries_of_a_png() -> None:
    picture = read(png(chrm(P3), gama(0.45455)))
    assert picture.notices == ()
    for colour in ((100, 150, 200), (200, 120, 90), (30, 30, 30)):
        found = in_srgb(picture.metadata["icc"], colour)
        np.testing.assert_allclose(found, expected(colour, P3, 0.45455), atol=1.5)


def test_a_gamma_alone_is_of_srgb_s_primaries() -> None:
    profile = read(png(gama(1.0))).metadata["icc"]
    wanted = expected((20, 100, 180), colours.SRGB_PRIMARIES, 1)
    np.testing.assert_allclose(in_srgb(profile, (20, 100, 180)), wanted, atol=1.5)


def test_grey_has_a_profile_of_grey() -> None:
    profile = read(png(gama(1.0), chrm(P3), mode="L")).metadata["icc"]
    assert profile[16:20] == b"GRAY"
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space == "GRAY"


@pytest.mark.parametrize(
    "chunks",
    [
        (),
        (gama(0.45455),),
        (gama(0.45455), chrm(colours.SRGB_PRIMARIES)),
        (chunk(b"sRGB", b"\0"), gama(1.0), chrm(P3)),
        (chunk(b"cICP", bytes([1, 13, 0, 1])), gama(1.0)),
    ],
)
def test_srgb_needs_no_profile(chunks: tuple[bytes, ...]) -> None:
    picture = read(png(*chunks))
    assert picture.notices == ()
    assert dict(picture.metadata) == {}


@pytest.mark.parametrize("codes", [(9, 16), (9, 18), (12, 13), (1, 1), (11, 17), (4, 4), (5, 5)])
def test_cicp_is_kept_in_a_profile_and_given_back(codes: tuple[int, int]) -> None:
    cicp = bytes([*codes, 0, 1])
    picture = read(png(chunk(b"cICP", cicp)))
    assert picture.notices == ()
    profile = picture.metadata["icc"]
    assert colours.cicp_of(profile) == cicp
    assert ImageCms.ImageCmsProfile(io.BytesIO(profile)).profile.xcolor_space == "RGB "
    data, notices = save_bytes(picture, "PNG")
    assert notices == ()
    assert chunk(b"cICP", cicp) in data
    assert dict(read(data).metadata) == {"icc": profile}


def test_the_curves_of_pq_and_hlg() -> None:
    # BT.2100: 58% of PQ is 203 candela per square metre, 75% of HLG is 0.265 of the scene's light.
    for transfer, sample, light in ((16, 0.5807, 203 / 10_000), (18, 0.75, 0.265)):
        profile = colours.profile_of_cicp(bytes([9, transfer, 0, 1]), grey=False)
        assert profile is not None
        at = profile.index(b"curv") + 12
        curve = np.frombuffer(profile, ">u2", 1024, at) / 65535
        assert curve[round(sample * 1023)] == pytest.approx(light, rel=0.02)


@pytest.mark.parametrize("cicp", [(200, 13, 0, 1), (9, 99, 0, 1), (9, 16, 0, 0)])
def test_cicp_that_is_not_known_gives_a_notice(cicp: tuple[int, ...]) -> None:
    picture = read(png(chunk(b"cICP", bytes(cicp))))
    assert picture.notices[0].startswith("dropped the CICP ")
    assert dict(picture.metadata) == {}


def test_cicp_overrides_a_profile_with_a_notice() -> None:
    data = encoded(Image.new("RGB", (3, 2)), "PNG", icc_profile=b"some profile")
    data = data[:33] + chunk(b"cICP", bytes([9, 16, 0, 1])) + data[33:]
    picture = read(data)
    assert picture.notices == ("dropped the ICC profile, which the CICP of this PNG overrides",)
    assert colours.cicp_of(picture.metadata["icc"])


@pytest.mark.parametrize("primaries", [(0.0,) * 8, (0.3,) * 8, (21474.0,) * 8])
def test_primaries_that_are_no_colours_give_a_notice(primaries: Sequence[float]) -> None:
    picture = read(png(chrm(primaries), gama(0.5)))
    assert picture.notices == ("dropped the primaries of this PNG, which are no colours",)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_cicp_of_an_avif(bits: int) -> None:
    pixels = noise((16, 16, 3), np.uint16) >> (16 - bits)
    pixels = pixels.astype(np.uint8 if bits == 8 else np.uint16)
    data = imagecodecs.avif_encode(pixels, 100, bitspersample=bits, primaries=9, transfer=16)
    picture = read(bytes(data))
    assert colours.cicp_of(picture.metadata["icc"]) == bytes([9, 16, 0, 1])
    assert (
        dict(read(bytes(imagecodecs.avif_encode(pixels, 100, bitspersample=bits))).metadata) == {}
    )


@pytest.mark.parametrize("profile", [b"", b"short", bytes(200), b"\xff" * 300])
def test_a_profile_that_is_none_has_no_cicp(profile: bytes) -> None:
    assert colours.cicp_of(profile) == b""
    assert save_bytes(Picture(noise((2, 2, 3)), {"icc": profile or b"x"}), "PNG")[1] == ()
