"""The library as its users see it: names, signatures, sources, values, errors, Encoded."""

import array
import inspect
import io
import mmap
import os
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import siren_codec
from siren_codec.options import Options

QUICK: dict[str, Any] = {
    "model": "coordinate",
    "hidden_layers": 2,
    "hidden_features": 8,
    "steps": 4,
    "device": "cpu",
}
GOLDEN = Path(__file__).parent / "golden" / "rgb_8_grid.siren"


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:12, :20]
    return np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8)


@pytest.fixture
def picture(tmp_path: Path, pixels: npt.NDArray[np.uint8]) -> Path:
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    return path


# Names and signatures


def test_public_names_are_there_and_say_what_they_are() -> None:
    for name in siren_codec.__all__:
        assert inspect.getdoc(getattr(siren_codec, name)), name
    assert sorted(siren_codec._WHERE) == sorted({*siren_codec.__all__} - {"__version__"})
    assert dir(siren_codec) == sorted(siren_codec.__all__)


@pytest.mark.parametrize("name", ["encode", "encode_file", "encode_many"])
def test_the_options_are_in_the_signatures(name: str) -> None:
    """Each with the default that `Options` has."""
    parameters = inspect.signature(getattr(siren_codec, name)).parameters
    for each in fields(Options):
        assert parameters[each.name].default == each.default, each.name
        assert parameters[each.name].kind is inspect.Parameter.KEYWORD_ONLY
        assert parameters[each.name].annotation is not inspect.Parameter.empty


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: siren_codec.encode([[0]], qualty=3), "'qualty', did you mean 'quality'"),  # type: ignore[call-arg]
        (lambda: siren_codec.encode_file("a", targetsize=3), "did you mean 'target_size'"),  # type: ignore[call-arg]
        (lambda: siren_codec.decode(b"", sclae=3), "did you mean 'scale'"),  # type: ignore[call-arg]
        (lambda: siren_codec.open(b"", device="cpu"), "expected one of partial, limits"),  # type: ignore[call-arg]
        (lambda: siren_codec.info(b"", x=3), "no option 'x': expected one of limits"),  # type: ignore[call-arg]
        (lambda: siren_codec.encode_many("a", "b", worker=3), "did you mean 'workers'"),  # type: ignore[call-arg]
        (lambda: siren_codec.decode_many("a", "b", Scale=3), "did you mean 'scale'"),  # type: ignore[call-arg]
    ],
)
def test_a_wrong_keyword_names_the_right_ones(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_a_user_s_script(
    picture: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That mypy finds nothing wrong with it is a part of bin/test."""
    monkeypatch.setattr(sys, "argv", ["script", str(picture)])
    runpy.run_path(str(Path(__file__).parent / "user_script.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "<siren_codec.Field 20x12 RGB, 8 bits, grid model, SIREN 2x48>" in out
    assert "(24, 24, 3) uint8" in out
    assert "(0, 0, 10, 8) (30, 24)" in out
    assert {path.name for path in picture.parent.iterdir()} >= {"picture.siren", "picture.jpg"}


# What is encoded


def test_any_picture_is_encoded(pixels: npt.NDArray[np.uint8], picture: Path) -> None:
    expected = siren_codec.encode(pixels, **QUICK)
    assert siren_codec.encode(Image.fromarray(pixels), **QUICK) == expected
    for source in (str(picture), picture, picture.read_bytes(), io.BytesIO(picture.read_bytes())):
        assert siren_codec.encode(source, **QUICK) == expected
    with open(picture, "rb") as file:
        assert siren_codec.encode(file, **QUICK) == expected


def test_metadata_goes_along_unless_it_is_stripped(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    Image.new("L", (4, 4)).save(tmp_path / "a.png", exif=exif)
    assert set(siren_codec.open(siren_codec.encode(tmp_path / "a.png", **QUICK)).metadata) == {
        "exif"
    }
    stripped = siren_codec.encode(tmp_path / "a.png", strip=True, **QUICK)
    assert siren_codec.open(stripped).metadata == {}


def test_what_is_converted_is_a_warning_of_ours() -> None:
    with pytest.warns(siren_codec.SirenWarning, match="converted") as found:
        siren_codec.encode(Image.new("CMYK", (4, 4)), **QUICK)
    assert found[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": "50"}, "quality: expected an integer, found '50'"),
        ({"quality": True}, "quality: expected an integer, found True"),
        ({"effort": 4.0}, "effort: expected an integer, found 4.0"),
        ({"model": "Grid"}, "model: expected grid or coordinate, found 'Grid'"),
        ({"target_psnr": "30"}, "target psnr: expected above 0, found '30'"),
        ({"target_bpp": np.nan}, "target bpp: expected above 0, found nan"),
        ({"max_pixels": 10}, "expected at most 10 pixels"),
    ],
)
def test_a_wrong_value_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(siren_codec.SirenError) as raised:
        siren_codec.encode(np.zeros((4, 4), np.uint8), **options)
    assert message in str(raised.value)
    assert isinstance(raised.value, siren_codec.UsageError) == ("max_pixels" not in options)


def test_numpy_s_numbers_are_numbers(pixels: npt.NDArray[np.uint8]) -> None:
    chosen = Options(quality=np.int64(40), effort=np.uint8(2), seed=np.int32(3))  # type: ignore[arg-type]
    assert chosen == Options(quality=40, effort=2, seed=3)
    assert type(Options(target_bpp=np.float32(0.5)).target_bpp) is float  # type: ignore[arg-type]
    field = siren_codec.open(GOLDEN)
    size: Any = np.array([5, 4])
    assert field.render(size, crop=tuple(np.arange(4) + 1)).shape == (4, 5, 3)  # type: ignore[arg-type]
    assert np.array_equal(field.render(scale=np.float64(2)), field.render(scale=2))


# What is decoded


class Slow(io.RawIOBase):
    """A file that gives three bytes at a time, as a socket may."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._file.read(min(3, size) if size >= 0 else 3)


@pytest.fixture
def sources() -> Iterator[list[Any]]:
    data = GOLDEN.read_bytes()
    with open(GOLDEN, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        yield [
            data,
            bytearray(data),
            memoryview(data),
            np.frombuffer(data, np.uint8),
            array.array("B", data),
            mapped,
            str(GOLDEN),
            GOLDEN,
            file,
            io.BytesIO(data),
            Slow(data),
        ]


@pytest.mark.parametrize(
    "function",
    [siren_codec.decode, lambda one: siren_codec.open(one).render(), siren_codec.info],
    ids=["decode", "open", "info"],
)
def test_any_source_is_decoded(function: Callable[[Any], Any], sources: list[Any]) -> None:
    expected = function(GOLDEN.read_bytes())
    for source in sources:
        found = function(source)
        assert (
            np.array_equal(found, expected)
            if isinstance(found, np.ndarray)
            else (found == expected)
        )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "expected a path, bytes or a file object, found int"),
        (None, "found NoneType"),
        (io.StringIO("text"), "expected a file of bytes, found one of str"),
        ("no/such.siren", "no/such.siren: No such file or directory"),
        ("a\0b", "null"),
        (b"", "expected"),
    ],
)
def test_what_is_no_source(source: Any, message: str) -> None:
    for function in (siren_codec.decode, siren_codec.open, siren_codec.info):
        with pytest.raises(siren_codec.SirenError, match=message):
            function(source)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"show": "edges"}, "show: expected colour, gradient or laplacian, found 'edges'"),
        ({"device": "auto"}, "device: expected cpu or cuda, found 'auto'"),
        ({"scale": "2"}, "scale 2: expected a finite number above 0"),
        ({"scale": True}, "scale True: expected a finite number above 0"),
        ({"size": (4.5, 2)}, r"size: expected 2 integers, found \(4.5, 2\)"),
        ({"size": 4}, "size: expected 2 integers, found 4"),
        ({"crop": (0, 0, 100, 2)}, "expected a part of the 21x13 picture"),
    ],
)
def test_a_wrong_request_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(siren_codec.UsageError, match=message):
        siren_codec.decode(GOLDEN, **options)


def test_derivatives_are_shown() -> None:
    field = siren_codec.open(GOLDEN)
    for show in ("gradient", "laplacian"):
        found = siren_codec.decode(GOLDEN, show=show, scale=2)
        assert found.dtype == np.uint8
        assert np.array_equal(found, field.render(scale=2, show=show))


# encode_file


def test_a_file_and_what_is_said_of_it(picture: Path, pixels: npt.NDArray[np.uint8]) -> None:
    encoded = siren_codec.encode_file(picture, **QUICK)
    assert picture.with_suffix(".siren").read_bytes() == encoded.data
    assert sum(encoded.sections.values()) == len(encoded.data)
    assert encoded.sections == siren_codec.info(encoded.data)["sections"]
    assert encoded.bpp == 8 * len(encoded.data) / (20 * 12)
    error = siren_codec.decode(encoded.data).astype(float) - pixels
    assert encoded.psnr == pytest.approx(10 * np.log10(255**2 / np.mean(error**2)))
    assert encoded.alpha_psnr is None
    assert encoded.missed is None
    assert not encoded.interrupted
    assert encoded.seconds > 0
    assert np.array_equal(encoded.field.render(), siren_codec.decode(encoded.data))
    said = f"<siren_codec.Encoded {len(encoded.data)} bytes, {encoded.bpp:.3f} bpp, PSNR "
    assert repr(encoded).startswith(said)


def test_a_file_that_is_there_stays(picture: Path) -> None:
    out = picture.with_suffix(".siren")
    out.write_bytes(b"mine")
    with pytest.raises(siren_codec.SirenError, match="exists already"):
        siren_codec.encode_file(picture, **QUICK)
    assert out.read_bytes() == b"mine"
    assert siren_codec.encode_file(picture, force=True, **QUICK).data == out.read_bytes()


def test_a_picture_is_not_its_own_output(picture: Path) -> None:
    before = picture.read_bytes()
    link = picture.with_name("link.png")
    link.symlink_to(picture)
    for target in (picture, link):
        with pytest.raises(siren_codec.UsageError, match="is the picture itself"):
            siren_codec.encode_file(picture, target, force=True, **QUICK)
    assert picture.read_bytes() == before


def test_what_has_no_path_needs_one(tmp_path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(siren_codec.UsageError, match="expected a path"):
        siren_codec.encode_file(pixels, **QUICK)
    path = tmp_path / "a.siren"
    assert siren_codec.encode_file(pixels, path, **QUICK).data == path.read_bytes()


def test_a_missed_target_is_a_warning(picture: Path) -> None:
    options: dict[str, Any] = {**QUICK, "model": "grid", "target_size": 60}
    with pytest.warns(siren_codec.SirenWarning, match="60 bytes") as found:
        encoded = siren_codec.encode_file(picture, **options)
    assert found[0].filename == __file__
    assert encoded.missed == str(found[0].message)
    assert encoded.missed in repr(encoded)


def test_a_fit_is_stopped(picture: Path) -> None:
    seen: list[siren_codec.Progress] = []

    def stop() -> bool:
        return len(seen) >= 3

    options = {**QUICK, "steps": 1000, "progress": seen.append, "stop": stop}
    assert siren_codec.encode_file(picture, **options).interrupted
    assert len(seen) == 3
    assert [progress.step for progress in seen] == [1, 2, 3]


def test_an_error_in_progress_leaves_nothing(picture: Path) -> None:
    def fail(progress: siren_codec.Progress) -> None:
        raise KeyboardInterrupt

    before = os.listdir(picture.parent)
    with pytest.raises(KeyboardInterrupt):
        siren_codec.encode_file(picture, progress=fail, **QUICK)
    assert os.listdir(picture.parent) == before


def test_nothing_is_said_where_nothing_was_converted(pixels: npt.NDArray[np.uint8]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        siren_codec.encode(pixels, **QUICK)
