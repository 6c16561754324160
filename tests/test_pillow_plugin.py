"""The Pillow plugin: what opening, loading, drafting and saving do, and what they refuse."""

import io
import pickle
import re
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest
from conftest import make_field
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, UnidentifiedImageError

import siren_codec
from siren_codec import pillow_plugin, stream
from siren_codec.field import Field

Pixels = npt.NDArray[Any]

GOLDEN = Path(__file__).parent / "golden"
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

    def read(_: bytes, size: tuple[int, int], **__: Any) -> Field:
        sizes.append(size)
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
    expected = {ExifTags.Base.Make: "maker", ExifTags.Base.Orientation: 1}
    assert dict(image.getexif()) == expected


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
        ({"model": "x"}, ValueError, "^model: expected grid or coordinate, found x$"),
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
