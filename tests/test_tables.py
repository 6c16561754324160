"""The range coder's frequency tables: golden values, and the distributions they stand for."""

import hashlib

import numpy as np
import pytest

from siren_codec.stream.tables import (
    MAX_MAGNITUDE,
    PRECISION,
    SCALES,
    Family,
    frequencies,
    reach,
    scale_of,
)

ALL = [(family, index) for family in Family for index in range(SCALES)]

# SHA-256 of the tables' bytes as little-endian int64: all of them, family by family, and some.
GOLDEN_ALL = "d987890650392f6e50daf5347331928078404d029635fac2a4c28b0626c711d5"
GOLDEN = {
    (Family.LAPLACE, 0): "ff24340f500fbc1f179fff6fcc1867de1ce31adfd94cf447c869f0e357517e5f",
    (Family.LAPLACE, 23): "073da3c5c9aa84749986953f523346e0b8939a61a55553c5964d0b1a5419db77",
    (Family.LAPLACE, 52): "6a084a0add6bc92291697738e8de1e434d7caa9661638bb461c2b33ae6beabf0",
    (Family.LAPLACE, 63): "dfc5bb359b3c22bc6282f87e57f0c06471a03f2c7626418e883484db26a36150",
    (Family.GAUSSIAN, 1): "5d612c93dedbe65e1384cab15bd76692c930cc981f5ca9e27d0d02c33fbef499",
    (Family.GAUSSIAN, 8): "deffef8c09e26f9fecce8c37927379e5d7b34062a0c9268b199b8fe21ba2a897",
    (Family.GAUSSIAN, 40): "24f64249f7ed1692084ab7a798b9e3c8c66fda923a098903230329e26c3a6124",
    (Family.GAUSSIAN, 63): "bc750095d8a739f3ea4cb2f84363c007568ed1860efb85029f4b7545149b0a5d",
}
# The first entries from v = 0 on.
LITERALS = [
    (Family.LAPLACE, 0, [16173691, 296233, 5426, 101, 3]),
    (Family.LAPLACE, 8, [7753025, 2852180, 1049258, 386002, 142002]),
    (Family.LAPLACE, 40, [32753, 32625, 32498, 32372, 32245]),
    (Family.GAUSSIAN, 0, [16765959, 5625, 2, 1, 1]),
    (Family.GAUSSIAN, 8, [6693129, 4059588, 905817, 74355, 2246]),
    (Family.GAUSSIAN, 40, [26133, 26133, 26133, 26131, 26130]),
]


@pytest.mark.parametrize(("family", "index"), ALL)
def test_frequencies_are_positive_and_add_up(family: Family, index: int) -> None:
    table = frequencies(family, index)
    assert table.dtype == np.int64
    assert table.shape == (2 * reach(index) + 1,)
    assert table.min() >= 1
    assert int(table.sum()) == 1 << PRECISION == 1 << 24


@pytest.mark.parametrize(("family", "index"), ALL)
def test_frequencies_are_symmetric_but_for_rounding(family: Family, index: int) -> None:
    table = frequencies(family, index)
    assert np.abs(table - table[::-1]).max() <= 1
    assert np.diff(table[: len(table) // 2 + 1]).min() >= -1


@pytest.mark.parametrize(("family", "index"), ALL)
def test_frequencies_follow_the_distribution(family: Family, index: int) -> None:
    scale = 2.0 ** ((index - 8) / 4)
    magnitudes = np.abs(np.arange(-reach(index), reach(index) + 1))
    if family is Family.LAPLACE:
        density = np.exp(-magnitudes / scale)
    else:
        density = np.exp(-(magnitudes.astype(np.float64) ** 2) / (2 * scale**2))
    share = density / density.sum() * (2**24 - len(magnitudes))
    # One for each value, and the difference of two numbers rounded down.
    np.testing.assert_allclose(frequencies(family, index), 1 + share, rtol=0, atol=1.001)


@pytest.mark.parametrize(("family", "index", "entries"), LITERALS)
def test_golden_entries(family: Family, index: int, entries: list[int]) -> None:
    middle = reach(index)
    assert frequencies(family, index)[middle : middle + len(entries)].tolist() == entries


@pytest.mark.parametrize(("family", "index"), GOLDEN)
def test_golden_tables(family: Family, index: int) -> None:
    data = frequencies(family, index).astype("<i8").tobytes()
    assert hashlib.sha256(data).hexdigest() == GOLDEN[family, index]


def test_golden_digest_of_all_tables() -> None:
    digest = hashlib.sha256()
    for family, index in ALL:
        digest.update(frequencies(family, index).astype("<i8").tobytes())
    assert digest.hexdigest() == GOLDEN_ALL


def test_ids_are_the_format_s() -> None:
    assert [(family.name, int(family)) for family in Family] == [("LAPLACE", 0), ("GAUSSIAN", 1)]
    assert (SCALES, PRECISION, MAX_MAGNITUDE) == (64, 24, 32767)


def test_reach_is_sixteen_scales_within_bounds() -> None:
    reaches = [reach(index) for index in range(SCALES)]
    assert reaches == sorted(reaches)
    assert reaches[0] == 4
    assert reaches[8] == 16
    assert reaches[51] == 27554
    assert set(reaches[52:]) == {32767}
    for index, value in enumerate(reaches):
        exact = min(32767.0, max(4.0, 16 * scale_of(index)))
        # _scale_fixed keeps 16 bits of fraction: the product may be 1 below.
        assert exact - 1 - 1e-9 <= value <= exact + 1e-9


def test_scales() -> None:
    assert [scale_of(index) for index in (0, 4, 8, 12, 60)] == [0.25, 0.5, 1, 2, 8192]
    assert scale_of(9) / scale_of(8) == pytest.approx(2**0.25)


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        frequencies(Family.LAPLACE, 3)[0] = 7
