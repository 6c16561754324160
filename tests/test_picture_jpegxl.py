"""JPEG XL that is written: by imagecodecs, by Pillow's plugin, by neither."""

import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
from pictures import METADATA, noise
from PIL import Image

from siren_codec.errors import PictureError
from siren_codec.picture import Picture, jpegxl, save_bytes

TIFF = METADATA["exif"].removeprefix(b"Exif\0\0")


def _ramp(channels: int, dtype: type) -> npt.NDArray[Any]:
    x, y = np.meshgrid(np.arange(40), np.arange(30))
    planes = np.stack([5 * x, 7 * y, x + y, 255 - 3 * x][:channels], axis=2)
    return (planes * (np.iinfo(dtype).max // 255)).astype(dtype)


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big") or len(data) - at
        yield data[at + 4 : at + 8], data[at + 8 : at + length]
        at += length
    assert at == len(data)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("metadata", [{}, METADATA])
def test_depth_alpha_exif_and_xmp_are_kept(
    channels: int, dtype: type, metadata: dict[str, bytes]
) -> None:
    pixels = _ramp(channels, dtype)
    data, notices = save_bytes(Picture(pixels, metadata), "JXL")
    profile = "dropped the ICC: JXL cannot hold it: the library that writes it takes no profile"
    assert notices == ((profile,) if metadata else ())
    found = np.atleast_3d(imagecodecs.jpegxl_decode(data))
    assert (found.shape, found.dtype) == (pixels.shape, pixels.dtype)
    assert np.abs(found.astype(float) - pixels).mean() < np.iinfo(dtype).max / 100
    if metadata:
        boxes = dict(_boxes(data))
        assert boxes[b"Exif"] == bytes(4) + TIFF
        assert boxes[b"xml "] == METADATA["xmp"]
        kinds = [kind for kind, _ in _boxes(data)]
        assert kinds[:2] == [b"JXL ", b"ftyp"]
        assert kinds.index(b"Exif") < kinds.index(b"jxlc")


def test_without_imagecodecs_the_plugin_writes_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    saved: dict[str, Any] = {}

    def save(image: Image.Image, file: Any, _: str) -> None:
        saved.update(image.encoderinfo, mode=image.mode, value=image.getpixel((0, 0)))
        file.write(b"\xff\x0a")

    monkeypatch.setitem(Image.SAVE, "JXL", save)
    monkeypatch.setitem(sys.modules, "pillow_jxl", ModuleType("pillow_jxl"))
    plugin = SimpleNamespace()
    monkeypatch.setattr(jpegxl, "find_spec", lambda name: plugin if name == "pillow_jxl" else None)
    picture = Picture(np.full((5, 6, 1), 129, np.uint16), {"exif": METADATA["exif"]})
    data, notices = save_bytes(picture, "JXL")
    assert data == b"\xff\x0a"
    assert notices == ("converted 16-bit samples to the 8 bits that this JXL writer keeps",)
    assert saved == {"quality": 95, "use_container": True, "exif": TIFF, "mode": "L", "value": 1}


def test_with_neither_a_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(_: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(jpegxl, "find_spec", absent)
    with pytest.raises(PictureError, match="pip install either") as found:
        save_bytes(Picture(noise((5, 6, 3))), "JXL")
    assert "\n" not in str(found.value)
