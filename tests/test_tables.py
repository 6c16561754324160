"""The range coder's frequency tables: golden values, and the distributions they stand for."""

import hashlib

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec.stream.tables import (
    ESCAPE,
    FRACTIONS,
    MAX_MAGNITUDE,
    PRECISION,
    RESIDUAL_SCALES,
    SCALES,
    Family,
    frequencies,
    reach,
    residual_frequencies,
)

ALL = [(family, index) for family in Family for index in range(SCALES)]

# SHA-256 of the tables' bytes as little-endian int64: all of them, family by family, and some.
GOLDEN_ALL = "dc1d7405c6b2b3a9805ee543e86055b3b3ad69f8d216fe5fe7b7c9340edc6a1c"
GOLDEN = {
    (Family.LAPLACE, 0): "ff24340f500fbc1f179fff6fcc1867de1ce31adfd94cf447c869f0e357517e5f",
    (Family.LAPLACE, 23): "69ee326e3a5a77a8539f50ccc48a9c9dca983f0a5fef5506890dea90662c7ff7",
    (Family.LAPLACE, 52): "f2a33ce0f28c6422891e28f702eef280fac222d2a3981ae0c6e9d8c68dd8f141",
    (Family.LAPLACE, 63): "58e0de621cdbd6b402eba98cef4316114e0c3d08bee4de0f9bf4bd98da4b28f6",
    (Family.GAUSSIAN, 1): "a318d21675f5043d2303620f014287c4c14ad4c1d09b60544278765ef4e6506b",
    (Family.GAUSSIAN, 8): "16d1fa9c8816b27f1bcc83c1ecc2d71684fc672a02833a758dda0314ddaaaeef",
    (Family.GAUSSIAN, 40): "b475170653c67e5cec40ce8f0432b2a5e1ff91522534e643039012041ea2cee5",
    (Family.GAUSSIAN, 63): "a4a97b97370e64560739752ab2fb32c712301c32f1894f0982e1e3b3aca6a6db",
}
# The first entries from v = 0 on.
LITERALS = [
    (Family.LAPLACE, 0, [16173691, 296233, 5426, 101, 3]),
    (Family.LAPLACE, 8, [7753025, 2852180, 1049258, 386002, 142002]),
    (Family.LAPLACE, 40, [32753, 32625, 32498, 32372, 32245]),
    (Family.GAUSSIAN, 0, [16765959, 5626, 1, 1, 1]),
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
    np.testing.assert_allclose(frequencies(family, index), 1 + share, rtol=0, atol=1.1)


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


def _power(j: int) -> int:
    """P(j) of docs/FORMAT.md, section 5.1."""
    roots = (1 << 64, 0xD744FCCAD69D6AF4, 0xB504F333F9DE6484, 0x9837F0518DB8A96F)
    o, k = divmod(j, 4)
    return roots[k] >> o if o >= 0 else roots[k] * 2**-o


def _bytes_table(constant: int) -> list[int]:
    table, t = [], 1 << 64
    for _ in range(256):
        table.append(t >> 33)
        t = t * constant >> 64
    return table


_TABLES = [_bytes_table(r) for r in (0xFF4ECB59511EC8A5, 0xFFFF4E8E25879BFA, 0xFFFFFF4E8DE845AD)]


def _weight(y: int) -> int:
    """Return the weight that docs/FORMAT.md, section 5.1, makes of y[q]."""
    weight = _TABLES[0][y >> 16 & 255] * _TABLES[1][y >> 8 & 255] >> 31
    return (weight * _TABLES[2][y & 255] >> 31) >> (y >> 24)


def _as_specified(family: int, i: int) -> list[int]:
    """Return the frequencies as docs/FORMAT.md, section 5.1, has them, in Python's integers."""
    e = 0x171547652B82FE177
    k = min(32767, max(4, _power(8 - i) >> 60))
    c = (e * _power(i - 8)) >> 80 if family == 0 else (e * _power(2 * (i - 8))) >> 81
    w = []
    for q in range(k + 1):
        w.append(_weight((q * c if family == 0 else q * q * c) >> 24))
    n = 2 * k + 1
    s = [0]
    for symbol in range(n):
        s.append(s[-1] + w[abs(symbol - k)])
    excess = max(0, s[n].bit_length() - 39)
    s = [total >> excess for total in s]
    f = [total * (2**24 - n) // s[n] for total in s]
    return [f[symbol + 1] - f[symbol] + 1 for symbol in range(n)]


@pytest.mark.parametrize(("family", "index"), [*ALL[::5], ALL[-1]])
def test_tables_are_as_specified(family: Family, index: int) -> None:
    assert frequencies(family, index).tolist() == _as_specified(family, index)


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
        exact = min(32767.0, max(4.0, 16 * 2 ** ((index - 8) / 4)))
        # _scale_fixed keeps 16 bits of fraction: the product may be 1 below.
        assert exact - 1 - 1e-9 <= value <= exact + 1e-9


def test_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        frequencies(Family.LAPLACE, 3)[0] = 7


# Residuals

RESIDUALS = [(f, i) for i in range(RESIDUAL_SCALES) for f in range(-FRACTIONS // 2, FRACTIONS // 2)]
GOLDEN_RESIDUALS = "7d890ffbbc3357e07e9c238600adcf355f0189387bb674452b8cced6e7635396"
# (f, i): the first entries, those of the residuals 0, -1, 1, -2, 2, and the escape's.
RESIDUAL_LITERALS = {
    (0, 0): [16777183, 2, 2, 1, 1, 1],
    (-8, 0): [8388593, 8388593, 1, 1, 1, 1],
    (7, 3): [14223172, 1, 2554013, 1, 2, 1],
    (0, 20): [6601308, 3216191, 3216192, 1183171, 1183171, 5],
    (-3, 20): [6421910, 3879468, 2666316, 1427177, 980884, 5],
    (5, 36): [513078, 483076, 502319, 453807, 471885, 6369117],
}


def residual_table(f: int, i: int) -> list[int]:
    """Return the frequencies as docs/FORMAT.md, section 5.2, has them, in Python's integers."""
    c = 0x171547652B82FE177 * _power(i - 20) >> 80

    def below(n: int) -> int:
        x = _weight(abs(n) * c >> 28)
        return x if n < 0 else 2**32 - x

    weights = []
    for symbol in range(31):
        r = symbol >> 1 ^ -(symbol & 1)
        weights.append(below(16 * r + 8 - f) - below(16 * r - 8 - f))
    weights.append(2**32 - sum(weights))
    s = [0]
    for weight in weights:
        s.append(s[-1] + weight)
    g = [total * (2**24 - 32) >> 32 for total in s]
    return [g[symbol + 1] - g[symbol] + 1 for symbol in range(32)]


def test_residual_tables_are_as_specified() -> None:
    expected = [residual_table(f, i) for f, i in RESIDUALS]
    assert residual_frequencies().tolist() == expected


def test_golden_residuals() -> None:
    assert (ESCAPE, FRACTIONS, RESIDUAL_SCALES) == (31, 16, 37)
    table = residual_frequencies()
    assert hashlib.sha256(table.astype("<i8").tobytes()).hexdigest() == GOLDEN_RESIDUALS
    for (f, i), entries in RESIDUAL_LITERALS.items():
        row = table[16 * i + f + 8]
        assert [*row[:5].tolist(), int(row[31])] == entries


def test_residual_frequencies_are_positive_and_add_up() -> None:
    table = residual_frequencies()
    assert table.shape == (37 * 16, 32)
    assert table.min() >= 1
    assert set(table.sum(axis=1).tolist()) == {1 << 24}
    # What constriction is given has to be exact in float32.
    assert table.max() - 1 < 1 << 24


def test_residual_frequencies_are_symmetric_but_for_rounding() -> None:
    table = residual_frequencies().reshape(37, 16, 32)
    mirrored = [0, *(k + 1 if k % 2 else k - 1 for k in range(1, 31)), 31]
    # f = -8 has no opposite.
    assert np.abs(table[:, 1:] - table[:, :0:-1, mirrored]).max() <= 2


def test_residual_frequencies_follow_the_distribution() -> None:
    i, f = np.mgrid[:37, -8:8][:, :, :, None]
    scale, symbols = 2.0 ** ((i - 20) / 4), np.arange(31)
    r = symbols >> 1 ^ -(symbols & 1)

    def below(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        tail: npt.NDArray[np.float64] = np.exp(-np.abs(x) / scale) / 2
        return np.where(x < 0, tail, 1 - tail)

    masses = below(r + 0.5 - f / 16) - below(r - 0.5 - f / 16)
    masses = np.concatenate([masses, 1 - masses.sum(axis=2, keepdims=True)], axis=2)
    expected = 1 + masses.reshape(-1, 32) * (2**24 - 32)
    np.testing.assert_allclose(residual_frequencies(), expected, rtol=0, atol=2)


def test_residual_tables_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        residual_frequencies()[0, 0] = 7
