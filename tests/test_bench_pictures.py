"""The pictures that are compressed: read, cut, shrunk."""

from pathlib import Path

import numpy as np
import pytest
from benches import photo
from PIL import Image

from siren_codec.bench import pictures
from siren_codec.bench.pictures import Original
from siren_codec.errors import SirenError


def test_pictures_are_rgb_of_8_bits_and_have_names_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(photo().pixels).save(path)
    (found,) = pictures.load([path])
    assert found.name == "a"
    np.testing.assert_array_equal(found.pixels, photo().pixels)
    assert found.sha256 == photo().sha256
    assert found.sha256 != photo(47).sha256
    with pytest.raises(SirenError, match="different names, found a twice"):
        pictures.load([path, path])
    Image.new("L", (20, 20)).save(path)
    with pytest.raises(SirenError, match="expected RGB of 8 bits, found 1 channels of 8 bits"):
        pictures.load([path])


def test_bundled_pictures_are_colour_and_nothing_is_downloaded() -> None:
    pytest.importorskip("skimage")
    found = {original.name: original.pixels.shape for original in pictures.bundled()}
    assert found == {
        "astronaut": (512, 512, 3),
        "chelsea": (300, 451, 3),
        "coffee": (400, 600, 3),
    }


def test_what_is_shrunk_is_rounded_means() -> None:
    pixels = np.array([[0, 1, 255, 255], [1, 0, 255, 255], [0, 0, 9, 9]], np.uint8)[:, :, None]
    small = pictures.shrunk(pictures.whole(pixels, 2), 2)
    np.testing.assert_array_equal(small[:, :, 0], [[1, 255]])
    with pytest.raises(SirenError, match="expected at least 4 x 4 pixels, found 4 x 3"):
        pictures.whole(pixels, 4)


def test_the_middle_of_a_picture() -> None:
    pixels = np.arange(5 * 8 * 3, dtype=np.uint8).reshape(5, 8, 3)
    original = Original("a", pixels)
    np.testing.assert_array_equal(pictures.middle(original, 4).pixels, pixels[:4, 2:6])
    np.testing.assert_array_equal(pictures.middle(original, 6).pixels, pixels[:, 1:7])
    np.testing.assert_array_equal(pictures.middle(original, 9).pixels, pixels)
