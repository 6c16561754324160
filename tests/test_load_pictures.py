"""Bad pictures of every kind are a Picture, or are refused with one line."""

import io
import struct
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from conftest import with_checksums
from load_pictures import main, try_to_load
from PIL import Image

import siren_codec
from siren_codec import cli
from siren_codec import picture as pictures
from siren_codec.errors import LimitError, PictureError, UsageError
from siren_codec.limits import DEFAULT_LIMITS

MAX_PIXELS = 1 << 20
Generator = np.random.Generator


def tiny_files() -> dict[str, bytes]:
    """Return tiny files of the formats that people have pictures in, by name."""
    rng = np.random.default_rng(3)
    colours = rng.integers(0, 256, (9, 7, 3), np.uint8)
    deep = rng.integers(0, 1 << 16, (9, 7, 3), np.uint16)
    whole = Image.fromarray(colours)
    grey = whole.convert("L")

    def saved(picture: Image.Image, format_: str, **options: Any) -> bytes:
        out = io.BytesIO()
        picture.save(out, format_, **options)
        return out.getvalue()

    def tiff(pixels: Any, **options: Any) -> bytes:
        out = io.BytesIO()
        tifffile.imwrite(out, pixels, **options)
        return out.getvalue()

    return {
        "png": saved(whole, "PNG", exif=Image.Exif(), icc_profile=b"profile" * 9),
        "png_palette": saved(whole.convert("P"), "PNG", transparency=3),
        "png_interlaced_grey": saved(grey.convert("1"), "PNG"),
        "png_16": png_of(deep),
        "jpeg": saved(whole, "JPEG"),
        "jpeg_progressive_cmyk": saved(whole.convert("CMYK"), "JPEG", progressive=True),
        "webp": saved(whole, "WEBP"),
        "webp_lossless": saved(whole.convert("RGBA"), "WEBP", lossless=True),
        "gif": saved(whole, "GIF", save_all=True, append_images=[grey, whole]),
        "bmp": saved(whole, "BMP"),
        "bmp_palette": saved(whole.convert("P"), "BMP"),
        "ppm": saved(whole, "PPM"),
        "pgm_16": b"P5 7 9 65535\n" + deep[:, :, 0].tobytes(),
        "tiff": saved(whole, "TIFF"),
        "tiff_lzw": saved(grey, "TIFF", compression="tiff_lzw"),
        "tiff_16": tiff(deep, photometric="rgb", compression="zlib"),
        "tiff_planes": tiff(deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        "tiff_float": tiff(colours[:, :, 0].astype(np.float32)),
        "tiff_tiles": tiff(colours, photometric="rgb", tile=(16, 16)),
    }


def png_of(pixels: Any) -> bytes:
    return pictures.save_bytes(pictures.Picture(pixels), "PNG")[0]


PICTURES = tiny_files()
PNG_OF_40 = png_of(np.zeros((40, 40, 1), np.uint8))


def test_the_pictures_are_sound() -> None:
    for name, data in PICTURES.items():
        outcome, message = try_to_load(data, MAX_PIXELS)
        assert outcome == "loaded", (name, message)
        assert message.startswith("7x9, ")


# Mutants


def damaged(data: bytes, rng: Generator) -> bytes:
    """Return a file that was cut off, or has some of its bytes changed, mostly near its start."""
    if rng.integers(6) == 0:
        return data[: rng.integers(len(data))]
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 5))):
        at = int(rng.integers(len(out) if rng.integers(2) else min(len(out), 120)))
        match rng.integers(5):
            case 0 | 1:
                out[at] ^= 1 << int(rng.integers(8))
            case 2:
                out[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF]))
            case 3:
                out[at:at] = rng.bytes(3)
            case _:
                del out[at : at + int(rng.integers(1, 5))]
    return with_checksums(bytes(out)) if rng.integers(2) else bytes(out)


@pytest.mark.parametrize("name", PICTURES)
def test_damaged_pictures_are_loaded_or_refused(name: str) -> None:
    rng = np.random.default_rng(8)
    outcomes = Counter[str]()
    for _ in range(600):
        data = damaged(PICTURES[name], rng)
        outcome, message = try_to_load(data, MAX_PIXELS)
        assert outcome != "failed", (message, data.hex())
        outcomes[outcome] += 1
    assert outcomes["refused"] > 40
    # Of this one each byte is checked.
    assert outcomes["loaded"] > 0 or name == "png_16"


HUGE, LARGE = 60_000, 1000


def declaring(name: str, side: int) -> bytes:
    """Return a tiny file that says that it is so many pixels a side."""
    data = bytearray(PICTURES[name])
    kind = name.split("_")[0]
    if kind == "png":
        data[16:24] = struct.pack(">II", side, side)
        return with_checksums(bytes(data))
    if kind == "jpeg":
        marker = next(at for at in (data.find(b"\xff\xc0"), data.find(b"\xff\xc2")) if at >= 0)
        data[marker + 5 : marker + 9] = struct.pack(">HH", side, side)
    elif kind == "gif":
        data[6:10] = struct.pack("<HH", side, side)
    elif kind == "bmp":
        data[18:26] = struct.pack("<ii", side, side)
    elif kind in ("ppm", "pgm"):
        return bytes(data).replace(b"7 9", b"%d %d" % (side, side), 1)
    else:
        for entry in range(10, len(data) - 12):
            tag, type_, count = struct.unpack_from("<HHI", data, entry)
            if tag in (256, 257) and type_ in (3, 4) and count == 1:
                struct.pack_into("<HHII", data, entry, tag, 4, 1, side)
    return bytes(data)


NO_WEBP = [name for name in PICTURES if not name.startswith("webp")]


@pytest.mark.parametrize("name", NO_WEBP)
def test_a_size_that_is_only_declared_is_refused_before_it_is_allocated(name: str) -> None:
    data = declaring(name, HUGE)
    assert len(data) < 2000
    with pytest.raises(LimitError, match=f"{HUGE}x{HUGE}|decompression bomb"):
        pictures.load(data, max_pixels=DEFAULT_LIMITS.pixels)


FILLED_UP = ("jpeg", "gif")
"""What Pillow completes: with grey, and with what lies behind a smaller frame."""


@pytest.mark.parametrize("name", [name for name in NO_WEBP if not name.startswith(FILLED_UP)])
def test_pixels_that_are_not_there_are_refused(name: str) -> None:
    outcome, message = try_to_load(declaring(name, LARGE), LARGE**2)
    assert outcome == "refused", message
    assert f"{LARGE}x{LARGE}" not in message


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_has_all_of_its_tiles(orientation: int, planar: str, dtype: type) -> None:
    """48 x 16 pixels, on their side or not, in three tiles, or in nine."""
    pixels = np.random.default_rng(4).integers(0, 255, (16, 48, 3), dtype)
    out = io.BytesIO()
    tifffile.imwrite(
        *(out, pixels if planar == "contig" else pixels.transpose(2, 0, 1)),
        photometric="rgb",
        planarconfig=planar,
        tile=(16, 16),
        metadata=None,
        extratags=[(274, 3, 1, orientation, True)],
    )
    found = pictures.load(out.getvalue(), max_pixels=MAX_PIXELS).pixels
    np.testing.assert_array_equal(found, pixels if orientation == 1 else np.rot90(pixels, -1))
    fewer = bytearray(out.getvalue())
    entry = next(at for at in range(len(fewer)) if struct.unpack_from("<H", fewer, at)[0] == 257)
    assert struct.unpack_from("<HHI", fewer, entry) == (257, 4, 1)
    struct.pack_into("<I", fewer, entry + 8, 17)
    outcome, message = try_to_load(bytes(fewer), MAX_PIXELS)
    assert outcome == "refused", message


@pytest.mark.parametrize("name", ["webp", "webp_lossless"])
def test_a_webp_of_another_size_than_its_pixels_is_refused(name: str) -> None:
    data = bytearray(PICTURES[name])
    at = data.index(b"VP8")
    if data[at + 3 : at + 4] == b"L":
        data[at + 9 : at + 12] = b"\xff\xff\xff"
    else:
        data[at + 14 : at + 18] = struct.pack("<HH", 16_383, 16_383)
    outcome, message = try_to_load(bytes(data), MAX_PIXELS)
    assert outcome == "refused", message


def test_more_pixels_than_the_limit_are_an_error_long_before_pillow_warns_of_them() -> None:
    """Pillow warns of a decompression bomb from its limit on, and refuses twice as many."""
    for side in (33, 40, 46, 100):
        out = io.BytesIO()
        Image.new("L", (side, side)).save(out, "PNG")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(LimitError):
                pictures.load(out.getvalue(), max_pixels=32 * 32)
        assert not warned
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Image, "MAX_IMAGE_PIXELS", 32 * 32)
        with pytest.raises(Image.DecompressionBombWarning):
            Image.open(io.BytesIO(PNG_OF_40))


def test_what_pillow_warns_of_is_a_notice() -> None:
    """Or it would be two lines on standard error that name this package's source."""
    out = io.BytesIO()
    Image.new("L", (3, 2)).save(out, "TIFF", description="a description")
    data = bytearray(out.getvalue())
    entry = next(at for at in range(len(data)) if struct.unpack_from("<HH", data, at) == (270, 2))
    struct.pack_into("<I", data, entry + 8, 10_000)
    picture = pictures.load(bytes(data), max_pixels=MAX_PIXELS)
    assert picture.notices == ("Pillow: Truncated File Read",)


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_samples_that_are_not_finite_are_refused(odd: float, dtype: type) -> None:
    pixels: npt.NDArray[Any] = np.ones((3, 4), dtype)
    pixels[1, 2] = odd
    with pytest.raises(UsageError, match="expected uint8 or uint16, found float"):
        pictures.from_array(pixels, max_pixels=MAX_PIXELS)
    with pytest.raises(UsageError, match="expected uint8 or uint16, found float"):
        siren_codec.encode(pixels)
    out = io.BytesIO()
    tifffile.imwrite(out, pixels)
    outcome, message = try_to_load(out.getvalue(), MAX_PIXELS)
    assert outcome == "refused"
    if dtype is np.float32:
        assert "expected finite samples" in message


# By the command


class Result(NamedTuple):
    code: object
    err: str


@pytest.fixture
def encode(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Path, Path], Result]:
    """Run siren-encode on a file, in this process."""

    def call(source: Path, out: Path) -> Result:
        monkeypatch.setattr(sys, "argv", ["siren-encode", str(source), str(out)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            cli.encode_main()
        found = capfd.readouterr()
        assert found.out == ""
        return Result(stop.value.code, found.err)

    return call


@pytest.mark.parametrize("name", [name for name in NO_WEBP if not name.startswith("tiff")])
@pytest.mark.parametrize("damage", ["cut", "huge", "other"])
def test_the_command_refuses_in_one_line(
    encode: Callable[[Path, Path], Result], tmp_path: Path, name: str, damage: str
) -> None:
    data = PICTURES[name]
    broken = {
        "cut": data[: len(data) // 3],
        "huge": declaring(name, HUGE),
        "other": data[:1] + bytes(50),
    }[damage]
    source, out = tmp_path / "bad", tmp_path / "out.siren"
    source.write_bytes(broken)
    code, err = encode(source, out)
    assert code == 1
    assert len(err.splitlines()) == 1, err
    assert str(source) in err
    assert not out.exists()
    assert sorted(tmp_path.iterdir()) == [source]


# The command of the developers


def test_a_folder_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "good.png").write_bytes(PICTURES["png"])
    (tmp_path / "bad.png").write_bytes(PICTURES["png"][:40])
    (tmp_path / "folder").mkdir()
    assert main([str(tmp_path)]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith(f"refused: bad.png: {tmp_path / 'bad.png'}: ")
    assert last == "1 loaded, 1 refused, 0 differing, 0 failed"


@pytest.mark.parametrize(
    "fault", [IndexError("list index out of range"), PictureError("two\nlines"), None]
)
def test_anything_else_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fault: Exception | None
) -> None:
    def broken(source: Path, *, max_pixels: int) -> pictures.Picture:
        if fault:
            raise fault
        warnings.warn("half of it is missing", stacklevel=1)
        return pictures.Picture(np.zeros((1, 1, 1), np.uint8))

    monkeypatch.setattr(pictures, "load", broken)
    (tmp_path / "a.png").touch()
    assert try_to_load(tmp_path / "a.png")[0] == "failed"
    assert main([str(tmp_path)]) == 1
