"""A Field in a session, a notebook, a pickle, and as a picture file."""

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import make_field
from goldens import GOLDEN
from PIL import Image

import siren_codec
from siren_codec import stream
from siren_codec.field import Field
from siren_codec.picture import load
from siren_codec.stream import format


@pytest.fixture
def field() -> Field:
    return siren_codec.open(GOLDEN / "rgb_8_grid.siren")


def test_it_prints_in_one_line(field: Field) -> None:
    said = "<siren_codec.Field 21x13 RGB, 8 bits, grid model, SIREN 2x6>"
    assert repr(field) == str(field) == said
    deep = make_field(depth=16, channels=2)
    assert repr(deep) == "<siren_codec.Field 16x12 LA, 16 bits, coordinate model, SIREN 3x8>"
    cut = (GOLDEN / "rgb_8_layers.siren").read_bytes()[:-40]
    assert repr(siren_codec.open(cut, partial=True)).endswith(", cut short>")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_its_shape_is_what_it_renders(channels: int) -> None:
    field = make_field(channels=channels)
    assert field.shape == field.render().shape


@pytest.mark.parametrize("name", ["rgba_8_alpha", "la_8_metadata", "grey_16_prior_1"])
@pytest.mark.parametrize(
    "copied",
    [lambda one: pickle.loads(pickle.dumps(one)), copy.copy, copy.deepcopy],
    ids=["pickle", "copy", "deepcopy"],
)
def test_copies_are_the_same_picture(name: str, copied: Callable[[Field], Field]) -> None:
    field = siren_codec.open(GOLDEN / f"{name}.siren")
    found = copied(field)
    assert stream.write(found) == stream.write(field)
    assert np.array_equal(found.render(), field.render())
    assert found.metadata == field.metadata
    with pytest.raises(TypeError):
        found.metadata["icc"] = b""  # type: ignore[index]
    for tensor in found.tensors():
        with pytest.raises(ValueError, match="read-only"):
            tensor.values[...] = 0


def test_a_thumbnail_for_notebooks(field: Field) -> None:
    with Image.open(io.BytesIO(field._repr_png_())) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), field.render())
    wide = make_field(width=2000, height=10, depth=16)
    with Image.open(io.BytesIO(wide._repr_png_())) as image:
        assert image.size == (512, 3)


def test_a_thumbnail_of_strange_metadata() -> None:
    field = make_field(metadata={"icc": b"x" * (1 << 21), "exif": b"y"})
    with Image.open(io.BytesIO(field._repr_png_())) as image:
        assert image.size == (16, 12)


# Picture files


@pytest.mark.parametrize("extension", ["png", "tif", "TIFF", "webp", "bmp", "jpg"])
def test_saved_pictures(field: Field, tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    field.save(str(path), scale=2, crop=(1, 2, 10, 8))
    expected = field.render(scale=2, crop=(1, 2, 10, 8))
    with Image.open(path) as image:
        assert image.size == (20, 16)
        if extension not in ("jpg", "webp"):
            assert np.array_equal(np.asarray(image), expected)


def test_derivatives_are_saved_without_metadata(tmp_path: Path) -> None:
    field = siren_codec.open(GOLDEN / "rgb_8_layers.siren")
    assert field.metadata
    field.save(tmp_path / "a.png", show="gradient")
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), field.render(show="gradient"))
        assert "icc_profile" not in image.info


def test_what_is_there_stays(field: Field, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"mine")
    with pytest.raises(siren_codec.SirenError, match="exists already"):
        field.save(path)
    assert path.read_bytes() == b"mine"
    field.save(path, force=True)
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["a", "a.siren", "a.gif"])
def test_what_is_no_picture_s_name(field: Field, tmp_path: Path, name: str) -> None:
    with pytest.raises(siren_codec.UsageError, match="that ends with one of"):
        field.save(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_lost_is_a_warning(tmp_path: Path) -> None:
    deep = make_field(depth=16)
    with pytest.warns(siren_codec.SirenWarning, match="converted 16-bit samples") as found:
        deep.save(tmp_path / "a.jpg")
    assert found[0].filename == __file__
    deep.save(tmp_path / "a.png")
    assert np.array_equal(load(tmp_path / "a.png", max_pixels=1000).pixels, deep.render())


# Pillow images


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (2, "LA"), (3, "RGB"), (4, "RGBA")])
def test_pillow_images(channels: int, mode: str) -> None:
    field = make_field(channels=channels, metadata={"icc": b"profile", "xmp": b"<x/>"})
    image = field.to_pil(scale=1.5)
    assert image.mode == mode
    assert np.array_equal(np.asarray(image), field.render(scale=1.5))
    assert image.info["icc_profile"] == b"profile"
    assert image.info["xmp"] == b"<x/>"
    assert field.to_pil(show="laplacian").info == {}


def test_pillow_has_no_deep_colours() -> None:
    grey = make_field(depth=16, channels=1)
    assert np.array_equal(np.asarray(grey.to_pil()), grey.render())
    deep = make_field(depth=16)
    with pytest.warns(siren_codec.SirenWarning, match="8 bits that Pillow has") as found:
        image = deep.to_pil((5, 4))
    assert found[0].filename == __file__
    assert np.array_equal(np.asarray(image), np.rint(deep.render((5, 4)) / 257).astype(np.uint8))


def test_every_section_is_named() -> None:
    data = (GOLDEN / "rgb_8_layers.siren").read_bytes()
    parts = format.parts(data, format.parse(data)[1])
    assert sum(parts.values()) == len(data)
    assert list(parts)[0] == "header"  # noqa: RUF015
    assert [*parts][-1] == "checksum"
