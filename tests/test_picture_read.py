"""Files that are pictures, or are not; and limits."""

import contextlib
import os
import struct
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import with_checksums
from pictures import (
    LAYOUTS,
    LOSSLESS,
    MAX_PIXELS,
    chunk,
    encoded,
    noise,
    png,
    read,
    refused,
    written_by_tifffile,
)
from PIL import Image, ImageFile

from siren_codec.errors import LimitError, PictureError, SirenError
from siren_codec.picture import Picture, from_pil, load, save_bytes


def test_what_few_pictures_need_is_imported_for_those() -> None:
    heavy = {"imagecodecs", "numba", "tifffile", "torch"}
    code = f"import sys, siren_codec.picture; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "set()\n"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.png"
    path.touch()
    assert refused(path) == f"{path}: expected a picture, found an empty file"
    assert refused(b"") == "standard input: expected a picture, found an empty file"


def test_a_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "missing.png"
    assert refused(path) == f"{path}: No such file or directory"
    assert refused(str(path)) == f"{path}: No such file or directory"
    assert refused(tmp_path / "no" / "such" / "place.png").endswith("No such file or directory")


def test_a_directory(tmp_path: Path) -> None:
    assert refused(tmp_path) == f"{tmp_path}: Is a directory"


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\0" * 1000,
        b"\x89SRN\x01" + bytes(100),
        b"%PDF-1.7\n" * 20,
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff",
    ],
)
def test_a_foreign_file(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "foreign.png"
    path.write_bytes(data)
    assert refused(path).startswith(f"{path}: ")
    assert refused(data).startswith("standard input: ")


def test_a_pipe(tmp_path: Path) -> None:
    pixels = noise((3, 4, 3), np.uint16)
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(png(pixels, 2),))
    writer.start()
    np.testing.assert_array_equal(load(path, max_pixels=12).pixels, pixels)
    writer.join()


def test_names_that_are_not_ascii(tmp_path: Path) -> None:
    path = tmp_path / "ゾウ é.png"
    pixels = noise((3, 4, 3))
    path.write_bytes(encoded(Image.fromarray(pixels), "PNG"))
    for source in (path, os.fspath(path)):
        np.testing.assert_array_equal(load(source, max_pixels=12).pixels, pixels)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file(tmp_path: Path, format_: str, part: float) -> None:
    data = encoded(Image.fromarray(noise((30, 40, 3))), format_)
    path = tmp_path / "truncated"
    path.write_bytes(data[: int(part * len(data))])
    assert refused(path).startswith(f"{path}: ")


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_every_prefix_is_a_picture_or_refused(format_: str) -> None:
    data = encoded(Image.fromarray(noise((7, 5, 3))), format_, **LOSSLESS.get(format_, {}))
    for length in range(len(data)):
        try:
            picture = read(data[:length])
        except PictureError:
            continue
        assert picture.pixels.shape == (7, 5, 3)
        # Only what follows the pixels may be missing.
        assert length > 0.9 * len(data) - 20


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
def test_broken_bytes_give_a_picture_or_a_siren_error(format_: str) -> None:
    rng = np.random.default_rng(1)
    data = encoded(Image.fromarray(noise((7, 5, 3))), format_)
    refusals = 0
    for _ in range(150):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), rng.integers(1, 6)):
            broken[position] = rng.integers(0, 256)
        try:
            load(bytes(broken), max_pixels=MAX_PIXELS)
        except SirenError:
            refusals += 1
    assert refusals > 0


def deep_files() -> list[bytes]:
    pixels = noise((7, 5, 4), np.uint16)
    files = [save_bytes(Picture(pixels[:, :, :n]), "PNG")[0] for n in (2, 3, 4)]
    files += [
        written_by_tifffile(pixels[:, :, :channels], **LAYOUTS[layout])
        for channels in (2, 3)
        for layout in ("strips", "deflate", "planes", "deflated planes")
    ]
    files.append(b"P6 5 7 65535\n" + pixels[:, :, :3].tobytes())
    files.append(b"P3 2 1 300 1 2 3 4 5 300")
    return files


@pytest.mark.parametrize("data", deep_files())
def test_every_prefix_of_16_bits_is_a_picture_or_refused(data: bytes) -> None:
    whole = read(data).pixels
    for length in range(0, len(data), 3):
        try:
            picture = read(data[:length])
        except PictureError:
            continue
        np.testing.assert_array_equal(picture.pixels, whole)
        assert length > 0.9 * len(data) - 20


@pytest.mark.parametrize("data", deep_files())
def test_broken_bytes_of_16_bits_give_a_picture_or_a_siren_error(data: bytes) -> None:
    rng = np.random.default_rng(1)
    messages: list[str] = []
    for _ in range(100):
        broken = bytearray(data)
        # Most of it in the head, or in the tags, which tifffile writes there.
        for position in rng.integers(0, [len(data), min(len(data), 250)][rng.integers(2)], 2):
            broken[position] = rng.integers(0, 256)
        try:
            assert read(with_checksums(bytes(broken))).pixels.size
        except SirenError as error:
            messages.append(str(error))
    assert messages
    assert not any("\n" in message for message in messages)


@pytest.mark.parametrize("max_pixels", [11, 6, 5, 1])
def test_max_pixels(tmp_path: Path, max_pixels: int) -> None:
    before = Image.MAX_IMAGE_PIXELS
    path = tmp_path / "a.png"
    path.write_bytes(encoded(Image.new("RGB", (4, 3)), "PNG"))
    with pytest.raises(LimitError) as caught:
        load(path, max_pixels=max_pixels)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert before == Image.MAX_IMAGE_PIXELS


def test_max_pixels_says_what_was_found() -> None:
    data = encoded(Image.new("RGB", (4, 3)), "PNG")
    with pytest.raises(LimitError, match=r"^standard input: 4x3: expected at most 11 pixels$"):
        load(data, max_pixels=11)
    assert load(data, max_pixels=12).pixels.shape == (3, 4, 3)


def test_the_limit_stands_in_the_place_of_pillow_s_own(monkeypatch: pytest.MonkeyPatch) -> None:
    # With Pillow's limit of 5 pixels, 12 would be an error: ours says they are fine, in silence.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    data = encoded(Image.new("RGB", (4, 3)), "PNG")
    assert load(data, max_pixels=12).pixels.shape == (3, 4, 3)
    assert Image.MAX_IMAGE_PIXELS == 5


def test_a_large_header_is_refused_before_it_is_decoded() -> None:
    head = struct.pack(">IIBBBBB", 1 << 30, 1 << 30, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    refused(data, LimitError)


@pytest.mark.parametrize("colour_type", [4, 2, 6])
def test_the_limit_holds_for_16_bits(colour_type: int) -> None:
    channels = {4: 2, 2: 3, 6: 4}[colour_type]
    pixels = noise((3, 4, channels), np.uint16)
    ppm = b"P6 4 3 65535\n" + noise((3, 4, 3), np.uint16).tobytes()
    for data in (png(pixels, colour_type), written_by_tifffile(pixels), ppm):
        assert load(data, max_pixels=12).pixels.dtype == np.uint16
        with pytest.raises(LimitError, match=r"expected at most 11 pixels$"):
            load(data, max_pixels=11)


def test_a_picture_without_pixels() -> None:
    with pytest.raises(PictureError, match="expected at least 1x1 pixels, found 0x4"):
        from_pil(Image.new("L", (0, 4)), max_pixels=MAX_PIXELS)


def test_no_setting_of_the_process_is_changed_for_long() -> None:
    files = [
        encoded(Image.fromarray(noise((40, 30, 3))), format_)
        for format_ in ("PNG", "JPEG", "TIFF", "GIF", "WEBP", "BMP")
    ]
    files.append(files[0][:60])
    before = Image.MAX_IMAGE_PIXELS, list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(40):
                with contextlib.suppress(PictureError):
                    load(files[(number + turn) % len(files)], max_pixels=1200 + 10**9 * (turn % 2))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    after = Image.MAX_IMAGE_PIXELS, list(warnings.filters), ImageFile.LOAD_TRUNCATED_IMAGES
    assert after == before


def test_a_warning_of_pillow_is_a_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(Image.new("L", (4, 3)), "BMP")

    def warned(file: Any) -> Image.Image:
        warnings.warn("odd\n picture", stacklevel=1)
        return opened(file)

    opened = Image.open
    monkeypatch.setattr(Image, "open", warned)
    assert read(data).notices == ("Pillow: odd picture",)
