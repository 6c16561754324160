"""The codecs that are compared: what each makes, and what our own is called with."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benches import COORDINATE, GRID, TWO_JPEGS, photo, plan
from PIL import Image

from siren_codec import metrics
from siren_codec.bench import run
from siren_codec.bench.codecs import CODECS, Codec, Jpeg2000, Library, Siren, by_name
from siren_codec.errors import SirenError
from siren_codec.options import MODELS

LIBRARIES = [codec for codec in CODECS if isinstance(codec, Library) and not codec.missing]


@pytest.mark.parametrize("codec", LIBRARIES, ids=lambda codec: codec.name)
def test_a_library_makes_files_of_rising_rate_and_quality(codec: Library) -> None:
    original = photo().pixels
    sizes, psnrs = [], []
    for quality in (codec.qualities[0], codec.qualities[-1]):
        data = codec.encode(original, quality)
        decoded = codec.decode(data)
        assert decoded.shape == original.shape
        assert decoded.dtype == np.uint8
        sizes.append(len(data))
        psnrs.append(metrics.psnr(reference=original, decoded=decoded))
    assert sizes[0] < sizes[1]
    assert psnrs[0] + 3 < psnrs[1]
    assert psnrs[1] > 28
    assert list(codec.qualities) == sorted(codec.qualities)
    assert any(digit in codec.version for digit in "0123456789")


def test_codecs_are_told_from_each_other() -> None:
    for names in zip(*((x.name, x.label, x.marker, *x.colours) for x in CODECS), strict=True):
        assert len(set(names)) == len(CODECS)
    assert [codec.name for codec in CODECS if codec.is_ours] == list(MODELS)
    assert len([codec for codec in CODECS if codec.is_reference]) == 1
    with pytest.raises(SirenError, match=r"expected one of grid, .*, found bpg"):
        by_name("bpg")


def test_jpeg_2000_is_better_with_its_colour_transform() -> None:
    ours = by_name("jpeg2000")
    assert isinstance(ours, Jpeg2000)
    assert ours.options["mct"] == 1
    without = replace(ours, options={**ours.options, "mct": 0})
    original = photo(128, 128).pixels
    found = []
    for codec in (without, ours):
        files = [codec.encode(original, quality) for quality in (28, 34, 40)]
        psnrs = [metrics.psnr(reference=original, decoded=codec.decode(file)) for file in files]
        found.append(list(zip(map(len, files), psnrs, strict=True)))
    assert metrics.bd_rate(reference=found[0], test=found[1]) < -20


def test_jpeg_is_progressive_and_decoded_by_its_own_decoder_alone() -> None:
    data = TWO_JPEGS.encode(photo().pixels, 50)
    assert b"\xff\xc2" in data
    with pytest.raises(OSError, match="cannot identify"):
        replace(TWO_JPEGS, format="PNG").decode(data)


def test_what_siren_encode_is_asked_for() -> None:
    narrow = replace(COORDINATE, qualities=(28,))
    wanted = plan(photo(), codecs=(GRID, narrow), qualities=(36,), steps=5)
    grid, coordinate = run.measurements(wanted)
    assert isinstance(grid.codec, Siren)
    assert isinstance(coordinate.codec, Siren)
    same = ["-e", "4", "--device", "cpu"]
    asked = grid.codec.arguments(grid.settings, "cpu")
    assert asked == ["--model", "grid", *same, "-q", "36", "--steps", "5"]
    network = ["--hidden-layers", "10", "--hidden-features", "28"]
    asked = coordinate.codec.arguments(coordinate.settings, "cpu")
    assert asked == ["--model", "coordinate", *same, *network, "--steps", "5"]
    assert coordinate.file == "files/photo/coordinate-e4-q28-s5.siren"


NEW = """
import sys
from dataclasses import dataclass
from siren_codec.bench import codecs

@dataclass(frozen=True, kw_only=True)
class New(codecs.PillowCodec):
    package: str = "bjontegaard"

new = New(
    name="new", label="A new one", detail="of a test", marker="h", colours=("#123456", "#abcdef"),
    extension="new", qualities=(20, 60, 90), quality_name="level", quality_meaning="its level",
    note="New ones are better.", at_equal_size=True, format="PNG", library="zlib",
)
codecs.CODECS += (new,)
from siren_codec import cli
cli.bench_main()
"""


def test_a_new_codec_needs_no_other_file(tmp_path: Path) -> None:
    source = tmp_path / "photo.png"
    Image.fromarray(photo(19, 14).pixels).save(source)

    def bench(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", NEW, *arguments], capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "There are also coordinate, jpegli, avif-best, jxl-best" in " ".join(
        bench("--help").split()
    )
    assert "bjontegaard" in bench("--version")
    table = bench(source, "--out", tmp_path, "--codecs", "new,jpeg")
    assert [line.split()[0] for line in table.splitlines()[2:4]] == ["jpeg", "new"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    for said in (
        "of A new one it is its level",
        "New ones are better.",
        "--c-new: #123456",
        "JPEG, AVIF and A new one at the quality",
    ):
        assert said in page
    assert "JPEG 2000" not in page


def test_what_every_codec_says_of_itself() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Codec(  # type: ignore[abstract]
            name="a", label="A", marker="o", colours=("", ""), extension="a", qualities=(1,)
        )
