"""JPEGs whose pixels are not all there: a notice, and never a false one."""

from typing import Any

import numpy as np
import pytest
from pictures import encoded, read, refused
from PIL import Image

from siren_codec.picture import from_pil, jpeg

KINDS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"quality": 100, "subsampling": 0},
    {"quality": 20, "subsampling": 1, "optimize": True},
    {"restart_marker_rows": 1},
    {"progressive": True, "restart_marker_blocks": 3},
]
MISSING = "pixels of this JPEG are missing or damaged: "


def photograph(mode: str = "RGB") -> Image.Image:
    """Return 161x83 pixels of blobs and noise: codes of all lengths, and blocks of few."""
    rng = np.random.default_rng(5)
    blobs = Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)).resize((161, 83))
    noise = rng.integers(-20, 20, (83, 161, 3)) * (np.arange(161) > 90)[:, None]
    return Image.fromarray(np.clip(np.asarray(blobs) + noise, 0, 255).astype(np.uint8)).convert(
        mode
    )


def scan_of(data: bytes) -> int:
    """Return where the codes of the first scan begin."""
    at = data.index(b"\xff\xda")
    return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")


@pytest.mark.parametrize("options", KINDS)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_a_whole_jpeg_gives_no_notice(mode: str, options: dict[str, Any]) -> None:
    data = encoded(photograph(mode), "JPEG", **options)
    assert jpeg.fault(data) == ""
    # What follows the end is of no matter.
    assert jpeg.fault(data + b"more") == ""


@pytest.mark.parametrize("options", KINDS)
def test_a_jpeg_that_was_cut_off_gives_a_notice(options: dict[str, Any]) -> None:
    data = encoded(photograph(), "JPEG", **options)
    for end in np.linspace(scan_of(data) + 10, len(data) - 10, 25).astype(int):
        cut = data[:end].rstrip(b"\xff") + b"\xff\xd9"
        assert jpeg.fault(cut), end
    cut = data[: (scan_of(data) + len(data)) // 2].rstrip(b"\xff") + b"\xff\xd9"
    assert read(cut).notices[0].startswith(MISSING)
    # Without an end Pillow refuses it.
    assert "truncated" in refused(cut[:-2])


@pytest.mark.parametrize("progressive", [False, True])
def test_damage_that_libjpeg_warns_of_gives_a_notice(progressive: bool) -> None:
    data = encoded(photograph(), "JPEG", progressive=progressive)
    middle = (scan_of(data) + len(data)) // 2
    gone = data[:middle] + data[middle + 300 :]
    more = data[:middle] + data[middle - 300 : middle] + data[middle:]
    for damaged in (gone, more):
        assert read(damaged).notices[0].startswith(MISSING)


def test_scans_that_are_missing_give_a_notice() -> None:
    data = encoded(photograph(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    assert read(data[:last] + b"\xff\xd9").notices == (f"{MISSING}scans are missing",)


def test_restart_markers_must_be_in_their_order() -> None:
    data = encoded(photograph(), "JPEG", restart_marker_rows=1)
    assert read(data.replace(b"\xff\xd1", b"\xff\xd5", 1)).notices[0].startswith(MISSING)


def test_an_image_that_pillow_opened_gives_the_notice_too(tmp_path: Any) -> None:
    data = encoded(photograph(), "JPEG")
    path = tmp_path / "cut.jpg"
    path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    with Image.open(path) as image:
        for _ in range(2):
            assert from_pil(image, max_pixels=1 << 20).notices[0].startswith(MISSING)


def test_many_scans_are_refused() -> None:
    data = encoded(photograph("L"), "JPEG", progressive=True)
    first = data.index(b"\xff\xda")
    second = data.index(b"\xff\xc4", first)
    bomb = data[:first] + 501 * data[first:second] + data[second:]
    assert "at most 500 scans" in refused(bomb)


def segment(marker: int, payload: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def test_metadata_that_are_not_whole_give_a_notice() -> None:
    data = encoded(photograph(), "JPEG", icc_profile=bytes(range(250)) * 600)
    assert read(data).notices == ()
    at = data.index(b"ICC_PROFILE\0\2") - 4
    end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    picture = read(data[:at] + data[end:])
    assert picture.notices == ("dropped the ICC, of which parts are missing",)
    extension = b"http://ns.adobe.com/xmp/extension/\0" + bytes(40) + b"more"
    picture = read(data[:2] + segment(0xE1, extension) * 2 + data[2:])
    assert picture.notices == ("dropped the extension of the XMP, beyond its first 64 KB",)
