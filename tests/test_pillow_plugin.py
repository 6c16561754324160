"""The Pillow plugin: what opening, loading, drafting and saving do, and what they refuse."""

import io
import os
import pickle
import re
import shutil
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from conftest import make_field
from goldens import GOLDEN
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

import siren_codec
from siren_codec import pillow_plugin, stream
from siren_codec.field import Field
from siren_codec.framing import View
from siren_codec.picture import Picture, save_bytes

Pixels = npt.NDArray[Any]

PACKAGING = Path(__file__).parent.parent / "packaging"
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'.encode()
TINY: dict[str, Any] = {
    "model": "coordinate",
    "hidden_layers": 2,
    "hidden_features": 8,
    "steps": 4,
    "device": "cpu",
}


def tags(orientation: int | None = None) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    if orientation:
        exif[ExifTags.Base.Orientation] = orientation
    return exif


METADATA = {"icc": ICC, "exif": tags().tobytes(), "xmp": XMP}


@pytest.fixture(autouse=True, scope="module")
def _registered() -> Iterator[None]:
    """Register the plugin, and take it out again, for Pillow is the same for all tests."""
    siren_codec.register_pillow()
    yield
    Image.ID.remove("SIREN")
    for registered in (Image.OPEN, Image.SAVE, Image.MIME):
        del registered["SIREN"]
    del Image.EXTENSION[".siren"]


def opened(data: bytes) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data))


def saved(image: Image.Image, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, "SIREN", **(TINY | options))
    return out.getvalue()


def with_crc(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


@pytest.fixture(scope="module")
def field() -> Field:
    return make_field(width=20, height=12, metadata=METADATA)


@pytest.fixture(scope="module")
def data(field: Field) -> bytes:
    return stream.write(field)


@pytest.fixture
def path(data: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "a.siren"
    path.write_bytes(data)
    return path


# Registration


def test_registered_once_however_often() -> None:
    siren_codec.register_pillow()
    assert Image.ID.count("SIREN") == 1
    assert Image.registered_extensions()[".siren"] == "SIREN"
    assert Image.MIME["SIREN"] == "image/x-siren"


def test_the_import_registers_and_neither_it_nor_opening_needs_torch() -> None:
    code = """
import sys
import siren_codec
assert "PIL" not in sys.modules
import siren_codec.pillow_plugin
from PIL import Image
with Image.open(sys.argv[1]) as image:
    image.load()
assert image.size == (21, 13)
assert not {"torch", "numba"} & set(sys.modules)
"""
    arguments = [sys.executable, "-c", code, str(GOLDEN / "rgb_8_grid.siren")]
    subprocess.run(arguments, check=True)


# Opening and loading


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.siren")))
def test_golden_files_open_and_decode(name: str) -> None:
    path = GOLDEN / f"{name}.siren"
    pixels = siren_codec.decode(path.read_bytes())
    with Image.open(path) as image:
        assert image.format == "SIREN"
        assert image.get_format_mimetype() == "image/x-siren"
        assert image.size == pixels.shape[1::-1]
        if pixels.dtype == np.uint16 and pixels.ndim == 3:
            pixels = np.rint(pixels / 257).astype(np.uint8)
        found = np.asarray(image)
    assert found.dtype == pixels.dtype
    np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("channels", MODES)
@pytest.mark.parametrize("depth", [8, 16])
def test_modes(channels: int, depth: int) -> None:
    field = make_field(channels=channels, depth=depth)
    image = opened(stream.write(field))
    pixels = field.render()
    if depth == 16 and channels == 1:
        assert image.mode == "I;16"
        assert image.info == {}
    else:
        assert image.mode == MODES[channels]
        assert image.info == ({"siren_depth": 16} if depth == 16 else {})
        pixels = np.rint(pixels / (257 if depth == 16 else 1)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize("depth", [8, 16])
def test_alpha_that_is_stored_apart(depth: int) -> None:
    peak = (1 << depth) - 1
    alpha = np.linspace(0, peak, 16 * 12).reshape(12, 16).astype(f"u{depth // 8}")
    image = opened(stream.write(replace(make_field(depth=depth), alpha=alpha)))
    assert image.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(image)[:, :, 3], np.rint(alpha / (peak // 255)))


def test_opening_decodes_nothing(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError

    with monkeypatch.context() as patch:
        patch.setattr(stream, "read", fail)
        image = opened(data)
        assert (image.size, image.mode) == ((20, 12), "RGB")
        assert set(image.info) == {"icc_profile", "exif", "xmp"}
        assert image.getexif()[ExifTags.Base.Make] == "maker"
    image.load()


def test_metadata(data: bytes) -> None:
    image = opened(data)
    assert image.info == {"icc_profile": ICC, "exif": METADATA["exif"], "xmp": XMP}
    assert dict(image.getexif()) == {ExifTags.Base.Make: "maker"}


def test_a_path_is_closed_when_loaded_and_a_file_of_the_caller_s_is_not(path: Path) -> None:
    image = Image.open(path)
    file = image.fp
    assert file is not None
    image.load()
    assert file.closed
    assert image.fp is None
    with path.open("rb") as own:
        Image.open(own).load()
        assert not own.closed


def test_load_twice_and_after_the_file_is_gone(path: Path, field: Field) -> None:
    with Image.open(path) as image:
        path.unlink()
        image.load()
        image.load()
    np.testing.assert_array_equal(np.asarray(image), field.render())


def test_copy_and_pickle(data: bytes, field: Field) -> None:
    for image in (opened(data).copy(), pickle.loads(pickle.dumps(opened(data)))):
        np.testing.assert_array_equal(np.asarray(image), field.render())
        assert image.info["icc_profile"] == ICC
        assert image.draft(None, (5, 5)) is None


def test_pickle_of_16_bit_grey() -> None:
    field = make_field(channels=1, depth=16)
    image = pickle.loads(pickle.dumps(opened(stream.write(field))))
    np.testing.assert_array_equal(np.asarray(image), field.render())


def test_what_pillow_does_with_any_picture(data: bytes, field: Field) -> None:
    pixels = field.render()
    image = opened(data)
    np.testing.assert_array_equal(np.asarray(image.crop((3, 2, 9, 8))), pixels[2:8, 3:9])
    np.testing.assert_array_equal(np.asarray(ImageOps.exif_transpose(opened(data))), pixels)
    assert opened(data).convert("L").size == (20, 12)
    image.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) == (1, 2, 3)


def test_as_png(data: bytes, field: Field) -> None:
    out = io.BytesIO()
    opened(data).save(out, "PNG")
    np.testing.assert_array_equal(np.asarray(Image.open(out)), field.render())


# Other sizes


@pytest.mark.parametrize("size", [(10, 6), (40, 24), (7, 31), (1, 1), (20, 12), (63, 2)])
def test_draft_decodes_at_any_size(data: bytes, field: Field, size: tuple[int, int]) -> None:
    image = opened(data)
    assert image.draft(None, size) == ("RGB", (0, 0, *size))
    assert image.size == size
    np.testing.assert_array_equal(np.asarray(image), field.render(size))


def test_a_draft_reads_what_it_shows(
    data: bytes, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def read(_: bytes, view: View, **__: Any) -> Field:
        sizes.append(view.size)
        return field

    monkeypatch.setattr(pillow_plugin, "read_shown", read)
    image = opened(data)
    image.draft(None, (5, 3))
    image.load()
    opened(data).load()
    assert sizes == [(5, 3), (20, 12)]


def test_the_last_draft_counts(data: bytes, field: Field) -> None:
    image = opened(data)
    image.draft("RGB", (9, 9))
    image.draft("RGB", (13, 8))
    np.testing.assert_array_equal(np.asarray(image), field.render((13, 8)))


def test_draft_ignores_the_mode_and_loaded_pictures(data: bytes) -> None:
    image = opened(data)
    assert image.draft("L", None) is None
    assert image.draft("L", (5, 4)) == ("RGB", (0, 0, 5, 4))
    image.load()
    assert image.mode == "RGB"
    assert image.draft(None, (7, 7)) is None
    assert image.size == (5, 4)


@pytest.mark.parametrize("size", [(0, 5), (5, -1)])
def test_draft_of_no_size(data: bytes, size: tuple[int, int]) -> None:
    image = opened(data)
    with pytest.raises(ValueError, match="expected at least 1x1"):
        image.draft(None, size)
    assert image.size == (20, 12)


def test_draft_of_16_bits() -> None:
    grey, colour = (make_field(channels=channels, depth=16) for channels in (1, 3))
    for field, divisor in ((grey, 1), (colour, 257)):
        image = opened(stream.write(field))
        image.draft(None, (31, 9))
        np.testing.assert_array_equal(np.asarray(image), np.rint(field.render((31, 9)) / divisor))


@pytest.mark.parametrize("size", [(10, 10), (7, 7), (5, 10**9), (400, 3), (19, 12), (300, 300)])
@pytest.mark.parametrize("reducing_gap", [None, 2.0])
def test_thumbnails_are_those_of_the_decoded_picture(
    data: bytes, field: Field, size: tuple[int, int], reducing_gap: float | None
) -> None:
    image, expected = opened(data), Image.fromarray(field.render())
    for each in (image, expected):
        each.thumbnail(size, reducing_gap=reducing_gap)
    assert image.size == expected.size
    np.testing.assert_array_equal(np.asarray(image), np.asarray(expected))


# What is refused


def test_a_foreign_file_is_not_identified() -> None:
    for data in (b"", b"\x89SR", b"hello", b"\x89PNG\r\n\x1a\n"):
        with pytest.raises(UnidentifiedImageError):
            opened(data)


def test_other_pictures_still_open() -> None:
    out = io.BytesIO()
    Image.new("RGB", (3, 2)).save(out, "PNG")
    with Image.open(out) as image:
        assert image.format == "PNG"


def test_every_truncation_is_an_error_at_opening(tmp_path: Path) -> None:
    data = (GOLDEN / "la_8_metadata.siren").read_bytes()
    path = tmp_path / "short.siren"
    for length in range(4, len(data)):
        path.write_bytes(data[:length])
        for source in (path, io.BytesIO(data[:length])):
            with pytest.raises(OSError, match=r"^(corrupt or )?truncated: expected") as caught:
                Image.open(source)
            assert type(caught.value) is OSError


def test_every_flipped_byte_is_an_error_at_opening() -> None:
    data = (GOLDEN / "la_8_metadata.siren").read_bytes()
    for position in range(4, len(data)):
        broken = bytearray(data)
        broken[position] ^= 1 << position % 8
        with pytest.raises(OSError, match="expected") as caught:
            opened(bytes(broken))
        assert type(caught.value) is OSError


def test_broken_contents_are_an_error_at_loading() -> None:
    body = (GOLDEN / "rgba_16_zstd.siren").read_bytes()[:-4]
    image = opened(with_crc(body[:-1] + bytes([body[-1] ^ 0xFF])))
    assert image.size == (15, 13)
    for _ in range(2):
        with pytest.raises(OSError, match=r"^(zstd|weights): "):
            image.load()


@pytest.mark.parametrize("name", ["rgb_8_grid", "grey_16_prior_1", "rgba_16_zstd"])
def test_mutations_with_the_right_checksum(name: str) -> None:
    rng = np.random.default_rng(0)
    body = (GOLDEN / f"{name}.siren").read_bytes()[:-4]
    refusals = 0
    for _ in range(100):
        broken = bytearray(body)
        broken[rng.integers(5, len(body))] = rng.integers(256)
        try:
            opened(with_crc(bytes(broken))).load()
        except UnidentifiedImageError:
            pytest.fail("expected to be told what is wrong")
        except (OSError, Image.DecompressionBombError):
            refusals += 1
    assert refusals > 0


def test_a_file_of_another_version(data: bytes) -> None:
    with pytest.raises(OSError, match=r"^expected version 1, found 9$"):
        opened(with_crc(data[:4] + b"\x09" + data[5:-4]))


def test_verify(data: bytes) -> None:
    opened(data).verify()


def test_too_many_pixels_are_as_pillow_has_it(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 119)
    with pytest.raises(Image.DecompressionBombError):
        opened(data)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 120)
    with pytest.warns(Image.DecompressionBombWarning):
        image = opened(data)
    image.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    opened(data).load()


def test_a_header_of_many_pixels_is_refused_before_anything_is_decoded() -> None:
    large = stream.write(make_field(width=65_535, height=65_535))
    with pytest.raises(Image.DecompressionBombError):
        opened(large)


def test_a_draft_of_too_many_pixels(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    image = opened(data)
    image.draft(None, (100_000, 100_000))
    with pytest.raises(Image.DecompressionBombError, match=r"^100000x100000: expected at most"):
        image.load()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    image.draft(None, (1 << 31, 1))
    with pytest.raises(Image.DecompressionBombError, match="expected at most 2147483647 a side"):
        image.load()
    image.draft(None, (2, 2))
    assert np.asarray(image).shape == (2, 2, 3)


# Saving


def noise(mode: str) -> Image.Image:
    rng = np.random.default_rng(0)
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65536, (12, 20), np.uint16))
    shape = (12, 20, len(mode))
    pixels = rng.integers(0, 256, shape if len(mode) > 1 else shape[:2], np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "I;16"])
def test_save_and_open(mode: str) -> None:
    original = noise(mode)
    image = opened(saved(original))
    assert (image.mode, image.size) == (mode, (20, 12))
    assert image.info == {}
    assert np.asarray(image).shape == np.asarray(original).shape


def test_saving_gives_the_bytes_that_encode_gives() -> None:
    image = noise("RGB")
    options = TINY | {"model": "grid", "steps": 3, "quality": 70, "seed": 5}
    assert saved(image, **options) == siren_codec.encode(np.asarray(image), **options)


def test_save_to_a_path_by_its_extension(tmp_path: Path) -> None:
    for name in ("a.siren", "B.SIREN"):
        noise("L").save(tmp_path / name, **TINY)
        with Image.open(tmp_path / name) as image:
            assert (image.format, image.mode) == ("SIREN", "L")


def test_save_over_the_file_that_was_opened(path: Path) -> None:
    with Image.open(path) as image:
        image.save(path, **TINY)
    with Image.open(path) as again:
        assert again.size == (20, 12)


@pytest.mark.parametrize(("mode", "becomes"), [("P", "RGB"), ("CMYK", "RGB"), ("1", "L")])
def test_what_is_converted_is_said_in_a_warning(mode: str, becomes: str) -> None:
    with pytest.warns(UserWarning, match=f"^converted {mode} to {becomes}$"):
        data = saved(noise("RGB").convert(mode))
    assert opened(data).mode == becomes


def test_transparency_is_kept() -> None:
    image = noise("L")
    image.info["transparency"] = 7
    with pytest.warns(UserWarning, match="^converted L to LA$"):
        data = saved(image)
    assert opened(data).mode == "LA"


def test_a_ppm_of_16_bit_grey_is_saved_whole() -> None:
    ppm = b"P5 20 12 65535\n" + np.asarray(noise("I;16")).astype(">u2").tobytes()
    image = opened(ppm)
    assert image.mode == "I"
    assert opened(saved(image)).mode == "I;16"


def test_given_metadata_is_stored() -> None:
    for exif in (tags(), tags().tobytes()):
        image = opened(saved(noise("RGB"), icc_profile=ICC, exif=exif, xmp=XMP))
        assert image.info == {"icc_profile": ICC, "exif": METADATA["exif"], "xmp": XMP}


def test_the_colour_profile_goes_along_and_the_rest_does_not(data: bytes) -> None:
    assert opened(saved(opened(data))).info == {"icc_profile": ICC}
    assert opened(saved(opened(data), icc_profile=None)).info == {}
    assert opened(saved(opened(data), icc_profile=b"", exif=b"", xmp=b"")).info == {}
    other = ICC[:-1] + b"x"
    assert opened(saved(opened(data), icc_profile=other)).info == {"icc_profile": other}


def test_saving_leaves_the_image_as_it_was(data: bytes) -> None:
    image = opened(data)
    before = dict(image.info)
    exif = tags(6)
    saved(image, exif=Image.Exif(), xmp=None)
    with pytest.warns(UserWarning, match="orientation"):
        saved(image, exif=exif)
    assert image.info == before
    assert dict(exif) == dict(tags(6))


def test_a_given_orientation_is_applied() -> None:
    with pytest.warns(UserWarning, match="^applied the EXIF orientation to the pixels$"):
        image = opened(saved(noise("RGB"), exif=tags(6)))
    assert image.size == (12, 20)
    assert dict(image.getexif()) == {ExifTags.Base.Make: "maker", ExifTags.Base.Orientation: 1}


def test_broken_exif_is_dropped_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="^dropped the EXIF, which is broken$"):
        data = saved(noise("L"), exif=b"garbage")
    assert opened(data).info == {}


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"optimize": True}, TypeError, "^SIREN has no option 'optimize': expected one of "),
        ({"append_images": []}, TypeError, "'append_images'.* icc_profile, .* quality, "),
        ({"progress": print}, TypeError, "'progress'"),
        ({"max_pixels": 5}, TypeError, "'max_pixels'"),
        ({"quality": 101}, ValueError, "^quality: expected 1 to 100, found 101$"),
        ({"model": "x"}, ValueError, "^model: expected grid or coordinate, found 'x'$"),
    ],
)
def test_options_that_are_refused(
    options: dict[str, Any], kind: type[Exception], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.siren"
    with pytest.raises(kind, match=message):
        noise("L").save(path, **(TINY | options))
    assert not path.exists()


@pytest.mark.parametrize(("mode", "value"), [("F", float("nan")), ("I", -1)])
def test_a_picture_that_cannot_be_stored_leaves_no_file(
    mode: str, value: float, tmp_path: Path
) -> None:
    path = tmp_path / "a.siren"
    with pytest.raises(OSError, match="expected"):
        Image.new(mode, (4, 3), value).save(path)
    assert not path.exists()


def test_a_fit_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MemoryError

    monkeypatch.setattr("siren_codec.encoding.encode_picture", fail)
    path = tmp_path / "a.siren"
    with pytest.raises(MemoryError):
        noise("L").save(path)
    assert not path.exists()


# The old file


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "old.siren"
    path.write_bytes(b"old")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("image", "options", "kind"),
    [
        (Image.new("L", (4, 3)), {"optimize": True}, TypeError),
        (Image.new("L", (4, 3)), {"quality": 0}, ValueError),
        (Image.new("L", (4, 3)), {"save_all": True}, KeyError),
        (Image.new("F", (4, 3), float("nan")), {}, OSError),
        (Image.new("I", (4, 3), -1), {}, OSError),
        (Image.new("P", (4, 3)), {}, UserWarning),  # A warning that is an error here.
    ],
)
@pytest.mark.parametrize("name", [str, Path, os.fsencode])
def test_a_save_that_is_refused_leaves_the_old_file(
    old: Path,
    image: Image.Image,
    options: dict[str, Any],
    kind: type[Exception],
    name: Callable[[Path], Any],
) -> None:
    with pytest.raises(kind):
        image.save(name(old), **(TINY | options))
    assert old.read_bytes() == b"old"
    assert [path.name for path in old.parent.iterdir()] == [old.name]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_a_save_that_is_interrupted_leaves_what_there_was(
    old: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("siren_codec.encoding.encode_picture", fail)
    for path, format_ in ((old, None), (old.with_name("a.png"), "SIREN"), (old, "siren")):
        with pytest.raises(error):
            noise("L").save(path, format_, **TINY)
    assert old.read_bytes() == b"old"
    assert [path.name for path in old.parent.iterdir()] == [old.name]


def test_a_save_over_an_old_file(old: Path) -> None:
    link = old.with_name("link.siren")
    link.symlink_to(old)
    noise("L").save(link, **TINY)
    assert link.is_symlink()
    assert old.read_bytes() == siren_codec.encode(np.asarray(noise("L")), **TINY)
    assert old.stat().st_mode & 0o777 == 0o600


def test_a_path_that_cannot_be_written_is_told_before_the_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("siren_codec.encoding.encode_picture", lambda *_: pytest.fail("it began"))
    with pytest.raises(FileNotFoundError, match=r"missing.a\.siren"):
        noise("L").save(tmp_path / "missing" / "a.siren")
    (tmp_path / "b.siren").mkdir()
    with pytest.raises(OSError, match="is a directory"):
        noise("L").save(tmp_path / "b.siren")


def test_other_formats_are_saved_as_ever(tmp_path: Path) -> None:
    save, image = Image.Image.save, noise("RGB")
    siren_codec.register_pillow()
    assert Image.Image.save is save
    image.save(tmp_path / "a.png", optimize=True)
    image.save(tmp_path / "b.siren", "PNG")
    for name in ("a.png", "b.siren"):
        with Image.open(tmp_path / name) as again:
            assert again.format == "PNG"
            np.testing.assert_array_equal(np.asarray(again), np.asarray(image))
    with pytest.raises(ValueError, match="unknown file extension"):
        image.save(tmp_path / "a.xyz")


def test_a_file_of_the_caller_s(tmp_path: Path) -> None:
    expected = saved(noise("L"))
    with open(tmp_path / "a.siren", "wb") as file:
        file.write(b"before")
        noise("L").save(file, **TINY)
    assert (tmp_path / "a.siren").read_bytes() == b"before" + expected
    out = io.BytesIO(b"old")
    with pytest.raises(TypeError):
        noise("L").save(out, "SIREN", optimize=True)
    assert out.getvalue() == b"old"


# Depth and orientation


def deep_png() -> bytes:
    pixels = np.random.default_rng(0).integers(0, 65536, (12, 20, 3), np.uint16)
    return save_bytes(Picture(pixels), "PNG")[0]


@pytest.mark.parametrize("by_path", [False, True])
def test_16_bits_of_a_png_are_kept(tmp_path: Path, by_path: bool) -> None:
    image, expected = opened(deep_png()), siren_codec.encode(opened(deep_png()), **TINY)
    if by_path:
        image.save(tmp_path / "a.siren", **TINY)
        assert (tmp_path / "a.siren").read_bytes() == expected
    else:
        assert saved(image) == expected
    assert siren_codec.info(expected)["depth"] == 16


def test_16_bits_of_a_siren_are_kept() -> None:
    field = make_field(depth=16, metadata={"icc": ICC})
    data = stream.write(field)
    wanted = siren_codec.encode(field.render(), **TINY)
    again = saved(opened(data))
    assert siren_codec.encode(opened(data), **TINY) == siren_codec.encode(opened(data), **TINY)
    assert siren_codec.info(siren_codec.encode(opened(data), **TINY))["depth"] == 16
    assert siren_codec.info(again)["depth"] == 16
    np.testing.assert_array_equal(siren_codec.decode(again), siren_codec.decode(wanted))
    assert opened(again).info["icc_profile"] == ICC
    small = opened(data)
    small.draft(None, (5, 4))
    assert siren_codec.info(saved(small))["depth"] == 16
    assert opened(saved(small)).size == (5, 4)


def test_16_bits_that_are_gone_are_said() -> None:
    loaded = opened(stream.write(make_field(depth=16)))
    loaded.load()
    for image in (loaded, loaded.copy()):
        with pytest.warns(UserWarning, match="^kept the 8 bits a sample of this SIREN"):
            assert siren_codec.info(saved(image))["depth"] == 8
        with pytest.warns(UserWarning, match="^kept the 8 bits a sample of this SIREN"):
            siren_codec.encode(image, **TINY)


def lying(orientation: int, format_: str = "PNG") -> ImageFile.ImageFile:
    """Return an opened picture that is to be turned."""
    out = io.BytesIO()
    noise("RGB").save(out, format_, exif=tags(orientation))
    return opened(out.getvalue())


@pytest.mark.parametrize(
    ("own", "given", "counts"),
    [
        (6, None, 6),
        (6, 6, 6),
        (6, 8, 8),
        (8, 3, 3),
        (5, 6, 6),
        (7, 2, 2),
        (1, 6, 6),
        (6, 1, 6),
    ],
)
def test_a_picture_is_saved_upright(own: int, given: int | None, counts: int) -> None:
    options: dict[str, Any] = {} if given is None else {"exif": tags(given)}
    with pytest.warns(UserWarning, match="^applied the EXIF orientation to the pixels$"):
        found = saved(lying(own), **options)
    upright = ImageOps.exif_transpose(lying(counts))
    assert siren_codec.decode(found).shape == np.asarray(upright).shape
    wanted = siren_codec.encode(np.asarray(upright), **TINY)
    np.testing.assert_array_equal(siren_codec.decode(found), siren_codec.decode(wanted))
    assert opened(found).getexif().get(ExifTags.Base.Orientation, 1) == 1


@pytest.mark.parametrize("loaded", [False, True])
def test_a_tiff_that_lies_is_turned_once(loaded: bool) -> None:
    for given in (False, True):
        image = lying(6, "TIFF")
        if loaded:
            image.load()
        options: dict[str, Any] = {"exif": image.getexif()} if given else {}
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = saved(image, **options)
        applied = "applied the EXIF orientation to the pixels"
        assert loaded or applied in [str(each.message) for each in said]
        wanted = siren_codec.encode(np.asarray(ImageOps.exif_transpose(lying(6))), **TINY)
        np.testing.assert_array_equal(siren_codec.decode(found), siren_codec.decode(wanted))


# Other libraries


def test_imageio(path: Path, data: bytes, field: Field) -> None:
    iio = pytest.importorskip("imageio.v3")
    for source in (path, data):
        np.testing.assert_array_equal(iio.imread(source), field.render())
    assert iio.improps(path).shape == (12, 20, 3)
    out = path.with_name("b.siren")
    iio.imwrite(out, field.render(), **TINY)
    assert iio.imread(out).shape == (12, 20, 3)


def test_imageio_keeps_16_bit_grey(tmp_path: Path) -> None:
    iio = pytest.importorskip("imageio.v3")
    field = make_field(channels=1, depth=16)
    path = tmp_path / "deep.siren"
    path.write_bytes(stream.write(field))
    np.testing.assert_array_equal(iio.imread(path), field.render())


def test_skimage(path: Path, field: Field) -> None:
    io_ = pytest.importorskip("skimage.io")
    np.testing.assert_array_equal(io_.imread(path), field.render())


# What tells a system about the files


@pytest.mark.skipif(shutil.which("file") is None, reason="needs file(1)")
def test_the_magic_of_file() -> None:
    def says(*arguments: str) -> str:
        command = ["file", "-b", "-m", str(PACKAGING / "siren.magic"), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    for path in map(str, GOLDEN.glob("*.siren")):
        assert says(path) == "SIREN image data, version 1"
        assert says("--mime-type", path) == "image/x-siren"
    assert "SIREN" not in says(__file__)


def test_the_mime_type_of_the_desktop() -> None:
    space = "{http://www.freedesktop.org/standards/shared-mime-info}"
    root = ElementTree.parse(PACKAGING / "siren.xml").getroot()
    assert root.tag == space + "mime-info"
    (kind,) = root
    assert kind.attrib == {"type": Image.MIME["SIREN"]}
    (glob,) = kind.iter(space + "glob")
    assert glob.attrib == {"pattern": "*.siren"}
    (match,) = kind.iter(space + "match")
    assert (match.attrib["type"], match.attrib["offset"]) == ("string", "0")
    value = re.sub(r"\\x(..)", lambda found: chr(int(found[1], 16)), match.attrib["value"])
    assert value.encode("latin-1") == (GOLDEN / "grey_8.siren").read_bytes()[:4]
