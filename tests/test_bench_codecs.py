"""The codecs that are compared: what each makes, and what our own is called with."""

from dataclasses import replace

import numpy as np
import pytest
from benches import COORDINATE, GRID, TWO_JPEGS, photo, plan

from siren_codec import metrics
from siren_codec.bench import run
from siren_codec.bench.codecs import CODECS, Codec, Jpeg2000, Siren, by_name
from siren_codec.errors import SirenError
from siren_codec.options import MODELS

LIBRARIES = [codec for codec in CODECS if not codec.is_ours and not codec.missing]


@pytest.mark.parametrize("codec", LIBRARIES, ids=lambda codec: codec.name)
def test_a_library_makes_files_of_rising_rate_and_quality(codec: Codec) -> None:
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
