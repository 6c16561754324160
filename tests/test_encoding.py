"""Encoding: every kind of picture, the options, and what is refused before a fit."""

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import siren_codec
from siren_codec.encoding import encode_picture
from siren_codec.errors import LimitError, UsageError
from siren_codec.options import Options
from siren_codec.picture import Picture

GRID: dict[str, Any] = {"hidden_layers": 2, "hidden_features": 8, "steps": 10, "device": "cpu"}
COORDINATE = {**GRID, "model": "coordinate"}
"""Much the quicker one: for what has nothing to do with the model."""


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:12, :20]
    return np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8)


@pytest.mark.parametrize(("options", "model"), [(GRID, "grid"), (COORDINATE, "coordinate")])
def test_the_default_is_the_grid_model(
    pixels: npt.NDArray[np.uint8], options: dict[str, Any], model: str
) -> None:
    data = siren_codec.encode(pixels, **options)
    assert siren_codec.open(data).model == siren_codec.info(data)["model"] == model
    decoded = siren_codec.decode(data)
    assert decoded.shape == pixels.shape
    assert decoded.dtype == np.uint8


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("L", (12, 20)), ("LA", (12, 20, 2)), ("RGB", (12, 20, 3)), ("RGBA", (12, 20, 4))],
)
def test_pillow_images(mode: str, shape: tuple[int, ...]) -> None:
    decoded = siren_codec.decode(siren_codec.encode(Image.new(mode, (20, 12)), **COORDINATE))
    assert decoded.shape == shape


@pytest.mark.parametrize(
    ("options", "channels"), [*((COORDINATE, channels) for channels in (1, 2, 3, 4)), (GRID, 4)]
)
def test_sixteen_bits(
    pixels: npt.NDArray[np.uint8], options: dict[str, Any], channels: int
) -> None:
    deep = np.dstack([pixels, pixels[:, :, :1]])[:, :, :channels].astype(np.uint16) * 257
    decoded = siren_codec.decode(siren_codec.encode(deep, **options))
    assert decoded.dtype == np.uint16
    assert np.atleast_3d(decoded).shape == deep.shape


@pytest.mark.parametrize("options", [{"steps": 3, "device": "cpu"}, COORDINATE])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (13, 9, 3), (3, 2, 4)])
def test_the_smallest_and_the_oddest_pictures(
    options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    picture = (37 * np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    data = siren_codec.encode(picture, **options)
    assert siren_codec.decode(data).shape == shape
    assert siren_codec.decode(data, scale=3).size == 9 * picture.size


def test_what_is_converted_is_said() -> None:
    with pytest.warns(UserWarning, match="converted CMYK to RGB"):
        siren_codec.encode(Image.new("CMYK", (5, 4)), **COORDINATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        siren_codec.encode(Image.new("RGB", (5, 4)), **COORDINATE)


@pytest.mark.parametrize("options", [GRID, COORDINATE])
def test_progress_and_seed(pixels: npt.NDArray[np.uint8], options: dict[str, Any]) -> None:
    steps: list[int] = []
    first = siren_codec.encode(pixels, progress=lambda p: steps.append(p.step), seed=1, **options)
    assert steps == list(range(1, 11))
    assert first == siren_codec.encode(pixels, seed=1, **options)
    assert first != siren_codec.encode(pixels, seed=2, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "jpeg"}, "model: expected grid or coordinate"),
        ({"quality": 101}, "quality: expected 1 to 100"),
        ({"effort": 0}, "effort: expected 1 to 9"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"hidden_layers": 17}, "hidden layers: expected 1 to 16"),
        ({"hidden_features": 513}, "hidden features: expected 1 to 512"),
        ({"device": "tpu"}, "device: expected auto, cpu or cuda"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        siren_codec.encode(np.zeros((4, 4), np.uint8), **options)


def test_bad_pictures() -> None:
    with pytest.raises(UsageError, match="expected uint8 or uint16, found float64"):
        siren_codec.encode(np.zeros((4, 4)))
    with pytest.raises(LimitError, match="expected at most 15 pixels"):
        siren_codec.encode(np.zeros((4, 4), np.uint8), max_pixels=15)


def test_what_cannot_be_written_is_refused_before_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siren_codec.fit.plan_for", lambda *_: pytest.fail("the plan began"))
    with pytest.raises(LimitError, match="width: expected 1 to 65535, found 65536"):
        siren_codec.encode(np.zeros((1, 65536), np.uint8))
    picture = Picture(np.zeros((4, 4, 1), np.uint8), {"icc": bytes((16 << 20) + 1)})
    with pytest.raises(LimitError, match="icc: expected at most 16777216 bytes"):
        encode_picture(picture, Options(target_size=1000))


def test_what_cannot_be_written_is_refused_without_torch() -> None:
    code = """
import sys, numpy, siren_codec
try:
    siren_codec.encode(numpy.zeros((1, 65536, 4), numpy.uint8), target_psnr=30)
except siren_codec.SirenError as error:
    print(error, 'torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "width: expected 1 to 65535, found 65536 False\n"
