"""One measurement: fidelity, and a zoom's."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from benches import GRID, TWO_JPEGS, lines, photo, plan
from PIL import Image

from siren_codec.bench import curves, measurement, pictures, run, tables
from siren_codec.bench.curves import Series
from siren_codec.bench.pictures import Original
from siren_codec.errors import SirenError


def test_fidelity_leaves_out_what_a_picture_is_too_small_for() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (180, 176, 3), np.uint8)
    noisy = np.clip(pixels + np.int16(9), 0, 255).astype(np.uint8)
    whole = measurement.fidelity(reference=pixels, decoded=noisy)
    assert 0.9 < whole["ms_ssim"] < 1
    lossless = measurement.fidelity(reference=pixels, decoded=pixels)
    assert [lossless[name] for name in ("psnr", "ssim", "ms_ssim")] == [99, 1, 1]
    narrow = measurement.fidelity(reference=pixels[:, :175], decoded=noisy[:, :175])
    assert narrow["ms_ssim"] is None
    assert 0.5 < narrow["ssim"] < 1
    assert measurement.fidelity(reference=pixels[:10], decoded=noisy[:10])["ssim"] is None
    with pytest.raises(SirenError, match="expected pixels"):
        measurement.fidelity(reference=pixels, decoded=noisy[:10])


def test_ssimulacra2_is_measured_where_its_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def compute(first: Any, second: Any) -> float:
        with Image.open(first) as one, Image.open(second) as other:
            return 100 - float(np.abs(np.asarray(one, float) - np.asarray(other, float)).max())

    monkeypatch.setitem(sys.modules, "ssimulacra2", SimpleNamespace(compute_ssimulacra2=compute))
    monkeypatch.setattr(measurement, "find_spec", lambda name: name)
    pixels = photo(16, 16).pixels // 2
    assert measurement.fidelity(reference=pixels, decoded=pixels + np.uint8(3))["ssimulacra2"] == 97
    assert "ssimulacra2" not in measurement.fidelity(reference=pixels[:10], decoded=pixels[:10])


def test_a_zoom_compares_what_is_decoded_larger_with_the_picture(stub: Path) -> None:
    """The stub decodes to grey, at any scale, so that every enlargement is equally near."""
    original = Original("a", photo(39, 29).pixels)
    wanted = plan(original, codecs=(TWO_JPEGS, GRID), zooms=(2,))
    assert run.measure(wanted, stub) == []
    (found,) = lines(stub)
    assert found["settings"] == {"quality": 50, "effort": 4, "zoom": 2}
    assert (found["width"], found["height"]) == (19, 14)
    assert found["file"] == "files/a/grid-e4-q50-x2.siren"
    grey, whole = np.full((28, 38, 3), 90, np.uint8), pictures.whole(original.pixels, 2)
    expected = measurement.fidelity(reference=whole, decoded=grey)
    assert found["enlarged"] == dict.fromkeys(("decoded", "bicubic", "lanczos"), expected)
    small = pictures.shrunk(whole, 2)
    assert found["psnr"] == measurement.fidelity(reference=small, decoded=grey[::2, ::2])["psnr"]
    # Two qualities of one scale are two lines, and a zoom has no curve.
    other = {**found, "settings": {**found["settings"], "quality": 80}, "bpp": found["bpp"] + 2}
    one, two = tables.zooms([found, {**found, "image": "b", "bpp": found["bpp"] + 1}, other])
    assert (one.series, one.scale, one.quality, one.pictures) == (Series("grid", 4), 2, 50, 2)
    assert (one.bpp, two.bpp) == (found["bpp"] + 0.5, found["bpp"] + 2)
    assert one.psnr == dict.fromkeys(("decoded", "bicubic", "lanczos"), expected["psnr"])
    assert curves.collect([found]).rows == {}
