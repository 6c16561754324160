"""The mosaic of a large picture, from which its networks learn."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from skimage import data

from siren_codec.encoding import Encoded, encode_picture
from siren_codec.field.kernel import unit_coordinates
from siren_codec.fit import Progress, mosaic
from siren_codec.fit.mosaic import Mosaic, is_large
from siren_codec.fit.samples import Samples
from siren_codec.image import Picture, from_array
from siren_codec.options import Options


def test_only_large_pictures_have_one() -> None:
    assert is_large(4000, 3000)
    assert not is_large(1024, 1024)


@pytest.mark.parametrize("length", [1025, 1100, 1536, 3000, 4001, 65535])
def test_bands_lie_evenly_and_begin_with_cells(length: int) -> None:
    found = Mosaic.of_picture(length, 7)
    assert found.rows.tolist() == list(range(7))
    bands = found.columns.reshape(4, 256)
    assert (np.diff(bands, axis=1) == 1).all()
    starts = bands[:, 0]
    assert (starts % 64 == 0).all()
    assert starts[0] == 0
    assert length - 64 <= bands[-1, -1] + 1 <= length
    assert np.ptp(np.diff(starts)) <= 128


def test_the_network_sees_pixels_where_they_are() -> None:
    """With their own coordinates, and with the samples of the picture there."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 2000, 3), np.uint8)
    found = Mosaic.of_picture(2000, 300)
    lattice = Samples(found.take(pixels), None, levels=3, device="cpu", units=found.units).at(0)
    assert lattice.target is not None
    assert lattice.target.shape == (3, 300, 1024)
    x, y = lattice.units
    for row, column in ((0, 0), (299, 1023), (17, 600)):
        place = found.rows[row], found.columns[column]
        assert x[column] == unit_coordinates(float(place[1]), 2000)
        assert y[row] == unit_coordinates(float(place[0]), 300)
        expected = torch.tensor(pixels[place] / 127.5 - 1, dtype=torch.float32)
        torch.testing.assert_close(lattice.target[:, row, column], expected)


@pytest.fixture
def _small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mosaic, "_LARGE", 1 << 12)
    monkeypatch.setattr(mosaic, "_BAND", 16)
    monkeypatch.setattr(mosaic, "_CELL", 16)


def _pixels() -> npt.NDArray[np.uint8]:
    found: npt.NDArray[np.uint8] = data.astronaut()[100:196, 150:270].copy()  # type: ignore[no-untyped-call]
    return found


def _picture() -> Picture:
    return from_array(_pixels(), max_pixels=1 << 20)


def _encode(**options: object) -> Encoded:
    return encode_picture(_picture(), Options(steps=60, quality=50, **options))  # type: ignore[arg-type]


@pytest.mark.usefixtures("_small_is_large")
def test_a_fit_with_a_mosaic_is_nearly_as_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """10 steps over the whole after 56 over a third, against 60 over the whole."""
    seen: list[Progress] = []
    with_mosaic = encode_picture(_picture(), Options(steps=60), progress=seen.append)
    monkeypatch.setattr(mosaic, "_LARGE", 1 << 20)
    plain = _encode()
    costs = [
        10 ** (-found.psnr / 10) + 1e-3 * 8 * len(found.data) / (96 * 120)
        for found in (with_mosaic, plain)
    ]
    assert costs[0] < 1.12 * costs[1]
    assert [p.step for p in seen] == list(range(1, 56 + 10 + 1))
    assert {p.steps for p in seen} == {56 + 10}
    assert all(p.seconds_left >= 0 for p in seen)
    assert seen[-1].seconds_left == 0


@pytest.mark.usefixtures("_small_is_large")
def test_a_fit_can_be_stopped_while_the_mosaic_teaches() -> None:
    steps = iter(range(1000))
    found = encode_picture(_picture(), Options(steps=60), stop=lambda: next(steps) >= 4)
    assert found.interrupted
    assert found.psnr > 15
    assert next(steps) < 10


@pytest.mark.usefixtures("_small_is_large")
def test_alpha_and_hidden_colours_go_through_a_mosaic(tmp_path: Path) -> None:
    pixels = np.dstack([_pixels(), np.full((96, 120), 255, np.uint8)])
    pixels[:40, :50, 3] = 0
    picture = from_array(pixels, max_pixels=1 << 20)
    found = encode_picture(picture, Options(steps=20), checkpoint=tmp_path / "state")
    assert found.alpha_psnr is not None
    assert found.psnr > 20
    assert not (tmp_path / "state").exists()
