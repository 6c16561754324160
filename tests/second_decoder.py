"""A second decoder, written from `docs/FORMAT.md` alone: straightforward, slow, all in one file.

It shares no code with siren_codec; the numbers in brackets are the page's sections. It reads sound
files and refuses few others.

    python tests/second_decoder.py FILE    decode a file and print what it holds
"""

import hashlib
import itertools
import math
import sys
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zstandard

__all__ = ["Decoded", "RangeDecoder", "decode", "residual_table"]

PRIORS = Path(__file__).parent.parent / "siren_codec" / "stream"

Array = npt.NDArray[Any]


class Bytes:
    """Bytes taken one after another."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        assert self.at + count <= len(self.data)
        self.at += count
        return self.data[self.at - count : self.at]

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value


@dataclass
class Network:
    """The part of the header that a prior replaces (2)."""

    hidden_layers: int
    hidden_features: int
    first_omega: float
    omega: float
    features: list[int]
    neighbours: int = 0
    context_features: int = 0

    @property
    def grids(self) -> int:
        return sum(self.features)

    def shapes(self, outputs: int) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
        """The shapes of each layer's matrix and bias (4)."""
        width, inputs = self.hidden_features, 2 + self.grids
        matrices = [(width, inputs)] + [(width, width)] * (self.hidden_layers - 1)
        matrices.append((outputs, width + (inputs if self.grids else 0)))
        shapes: list[tuple[tuple[int, int], tuple[int, ...]]] = [(m, m[:1]) for m in matrices]
        if self.grids:
            c, k = self.context_features, self.neighbours + 4
            shapes += [((c, k), (self.grids, c)), ((c, c), (c,)), ((2, c + k), (2,))]
        return shapes


@dataclass
class Tensor:
    """Integers and their step 2**exponent; of a prior's also the spreads."""

    values: Array
    exponent: int
    spreads: Array | None = None

    def real(self) -> Array:
        return self.values * 2.0**self.exponent


@dataclass
class Decoded:
    """All that a file holds."""

    width: int
    height: int
    depth: int
    channels: int
    network: Network
    tensors: list[Tensor] = field(default_factory=list)
    grids: list[Array] = field(default_factory=list)
    """(rows, columns) of each grid."""
    alpha: Array | None = None
    metadata: dict[str, bytes] = field(default_factory=dict)

    def pixels(self) -> Array:
        """The (height, width, channels) samples (7)."""
        return _pixels(self)


def decode(data: bytes, priors: Path = PRIORS) -> Decoded:
    """Return what a whole file holds."""
    assert data[:5] == b"\x89SRN\x01"
    assert zlib.crc32(data[:-4]) == int.from_bytes(data[-4:], "little")
    stream = Bytes(data[5:-4])
    found, prior, apart = _header(stream, priors)
    sections: dict[int, bytes] = {}
    while stream.at < len(stream.data):
        id_, length = stream.u8(), stream.varint()
        assert all(id_ & 0x7F > other & 0x7F for other in sections)
        sections[id_] = stream.take(length)
    shapes = [*itertools.chain(*found.network.shapes(found.channels - apart))]
    found.tensors = _weights(sections.pop(0x01), shapes, prior)
    if apart:
        found.alpha = _alpha(sections.pop(0x02), found)
    names = {0x83: "icc", 0xA0: "exif", 0xA1: "xmp"}
    found.metadata = {name: sections.pop(id_) for id_, name in names.items() if id_ in sections}
    _grids(found, [sections.pop(id_) for id_ in sorted(sections) if 0x10 <= id_ < 0x1A])
    assert all(id_ >= 0x80 for id_ in sections)
    return found


# 2. The header


def _header(stream: Bytes, priors: Path) -> tuple[Decoded, list[Tensor] | None, bool]:
    """Return the picture, what its prior expects of its tensors, and whether alpha is apart."""
    width, height, samples = stream.varint(), stream.varint(), stream.u8()
    assert samples < 0x20
    channels, depth, apart = (samples & 3) + 1, 16 if samples & 4 else 8, bool(samples & 0x10)
    if samples & 8:
        path = priors / f"prior-{stream.u8()}.npz"
        assert stream.take(4) == hashlib.sha256(path.read_bytes()).digest()[:4]
        network, prior = _prior(path, stream.u8(), channels - apart)
        return Decoded(width, height, depth, channels, network), prior, apart
    layers, features = stream.u8(), stream.varint()
    omegas = stream.varint() / 4, stream.varint() / 4
    network = Network(layers, features, *omegas, [*stream.take(stream.u8())])
    if network.features:
        network.neighbours, network.context_features = stream.u8(), stream.u8()
    return Decoded(width, height, depth, channels, network), None, apart


# 9. The prior

_GROWTH = (
    *(65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752, 92682, 96785, 101070, 105545),
    *(110218, 115098, 120194, 125515),
)


def _prior(path: Path, quality: int, outputs: int) -> tuple[Network, list[Tensor]]:
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    layers, width, first, other, neighbours, context = arrays["network"].tolist()
    features = arrays["features"].tolist()
    network = Network(layers, width, first / 4, other / 4, features, neighbours, context)
    tensors = []
    for index, exponent in enumerate(arrays["exponents"].tolist()):
        values = arrays[f"values_{index}"].astype(np.int64)
        knots = len(values)
        z = min(max(quality - int(arrays["first_knot"]), 0), 32 * (knots - 1))
        j, f = z // 32, z % 32
        v = (32 - f) * values[j] + f * values[min(j + 1, knots - 1)]
        p = (v * 2**16 + 2**20) >> 21
        if network.grids and index in (0, 2 * layers):
            o, m = (50 - quality) // 16, (50 - quality) % 16
            grown = (v * _GROWTH[m] + (1 << (20 - o))) >> (21 - o)
            p[:, -network.grids :] = grown[:, -network.grids :]
        spreads = arrays[f"spreads_{index}"].astype(np.int64)
        if outputs == 1 and index >= 2 * layers and index < 2 * layers + 2:
            p, spreads = ((p[0] + 2 * p[1] + p[2] + 2) // 4)[None], spreads[1:2]
        tensors.append(Tensor(p, exponent, spreads))
    return network, tensors


# 4. Weights


def _weights(
    payload: bytes, shapes: Sequence[tuple[int, ...]], prior: list[Tensor] | None
) -> list[Tensor]:
    stream = Bytes(payload)
    coder = stream.u8()
    exponents = [byte if byte == 0xFF else byte - 24 for byte in stream.take(len(shapes))]
    moved = [index for index, exponent in enumerate(exponents) if exponent != 0xFF]
    assert prior or len(moved) == len(shapes)
    counts = [math.prod(shapes[index]) for index in moved]
    if coder == 1:
        flats = _by_zstd(stream, counts)
    else:
        assert coder == 2
        scales = [
            prior[index].spreads.ravel() - 4 * exponents[index] - 152  # type: ignore[union-attr]
            if prior
            else np.zeros(count, int)
            for index, count in zip(moved, counts, strict=True)
        ]
        flats = _by_range_coder(stream, scales)
    tensors: list[Tensor] = [*prior] if prior else [Tensor(np.zeros(0), 0)] * len(shapes)
    for index, flat in zip(moved, flats, strict=True):
        values, exponent = np.array(flat, np.int64).reshape(shapes[index]), exponents[index]
        if prior:
            values = prior[index].values + (values << (exponent - prior[index].exponent))
            exponent = prior[index].exponent
        tensors[index] = Tensor(values, exponent)
    return tensors


def _unzigzag(u: int) -> int:
    return u // 2 if u % 2 == 0 else -(u + 1) // 2


def _by_zstd(stream: Bytes, counts: Sequence[int]) -> list[list[int]]:
    planes, count = stream.u8(), sum(counts)
    raw = zstandard.ZstdDecompressor().decompress(stream.rest())
    assert len(raw) == planes * count
    values = iter(
        _unzigzag(sum(raw[plane * count + index] << 8 * plane for plane in range(planes)))
        for index in range(count)
    )
    return [[*itertools.islice(values, count)] for count in counts]


def _by_range_coder(stream: Bytes, scales: Sequence[Array]) -> list[list[int]]:
    tables = stream.take(len(scales))
    coder = RangeDecoder(stream.rest())
    flats = []
    for scale, table in zip(scales, tables, strict=True):
        indices = np.clip(scale + (table & 63), 0, 63).tolist()
        flat = [0] * len(indices)
        for at in sorted(range(len(flat)), key=lambda at: indices[at]):
            cumulative = weight_table(table >> 6, indices[at])
            flat[at] = coder.symbol(cumulative) - len(cumulative) // 2 + 1
        flats.append(flat)
    coder.finish()
    return flats


class RangeDecoder:
    """The range coder of 4.2."""

    def __init__(self, words: bytes) -> None:
        assert len(words) % 4 == 0
        self.words = [int.from_bytes(words[i : i + 4], "little") for i in range(0, len(words), 4)]
        self.read = 0
        self.lower, self.range = 0, 2**64 - 1
        self.point = self.word() << 32
        self.point |= self.word()

    def word(self) -> int:
        self.read += 1
        return self.words[self.read - 1] if self.read <= len(self.words) else 0

    def symbol(self, cumulative: Sequence[int]) -> int:
        scale = self.range >> 24
        quantile = (self.point - self.lower) % 2**64 // scale
        assert quantile < 2**24
        symbol = bisect_right(cumulative, quantile) - 1
        self.lower = (self.lower + scale * cumulative[symbol]) % 2**64
        self.range = scale * (cumulative[symbol + 1] - cumulative[symbol])
        if self.range < 2**32:
            self.lower = self.lower * 2**32 % 2**64
            self.range *= 2**32
            self.point = (self.point * 2**32 + self.word()) % 2**64
        return symbol

    def finish(self) -> None:
        """See to it that the words are those that the encoder writes."""
        if self.lower == 0 and self.range == 2**64 - 1:
            assert not self.words
            return
        last = [(self.lower + 2**32 - 1) % 2**64 >> 32]
        if (self.lower + self.range) % 2**64 >> 32 == last[0]:
            last.append(0)
        assert self.words[self.read - 2 :] == last


# 5. Frequency tables

_R = (1 << 64, 0xD744FCCAD69D6AF4, 0xB504F333F9DE6484, 0x9837F0518DB8A96F)
_E = 0x171547652B82FE177


def _p(j: int) -> int:
    o, k = j // 4, j % 4
    return _R[k] >> o if o >= 0 else _R[k] << -o


def _t(constant: int) -> list[int]:
    entries, t = [], 1 << 64
    for _ in range(256):
        entries.append(t >> 33)
        t = t * constant >> 64
    return entries


_T1, _T2, _T3 = map(_t, (0xFF4ECB59511EC8A5, 0xFFFF4E8E25879BFA, 0xFFFFFF4E8DE845AD))


def _weight(y: int) -> int:
    z = y >> 24
    product = (_T1[y >> 16 & 255] * _T2[y >> 8 & 255] >> 31) * _T3[y & 255] >> 31
    return 0 if z >= 32 else product >> z


@cache
def weight_table(family: int, i: int) -> list[int]:
    """C[0] to C[N] of 5.1."""
    k = min(32767, max(4, _p(8 - i) >> 60))
    if family == 0:
        c = _E * _p(i - 8) >> 80
        w = [_weight(q * c >> 24) for q in range(k + 1)]
    else:
        c = _E * _p(2 * (i - 8)) >> 81
        w = [_weight(q * q * c >> 24) for q in range(k + 1)]
    n = 2 * k + 1
    s = [*itertools.accumulate((w[abs(symbol - k)] for symbol in range(n)), initial=0)]
    excess = max(0, s[n].bit_length() - 39)
    s = [each >> excess for each in s]
    return [each * (2**24 - n) // s[n] + symbol for symbol, each in enumerate(s)]


@cache
def residual_table(f: int, i: int) -> list[int]:
    """C[0] to C[32] of 5.2."""
    c = _E * _p(i - 20) >> 80

    def below(n: int) -> int:
        x = _weight(abs(n) * c >> 28)
        return x if n < 0 else 2**32 - x

    residuals = [_unzigzag(symbol) for symbol in range(31)]
    w = [below(16 * r + 8 - f) - below(16 * r - 8 - f) for r in residuals]
    w.append(2**32 - sum(w))
    s = itertools.accumulate(w, initial=0)
    return [(each * (2**24 - 32) >> 32) + symbol for symbol, each in enumerate(s)]


# 6. Latent grids

_NEIGHBOURS = (
    *((0, -1), (-1, 0), (-1, -1), (-1, 1), (0, -2), (-2, 0), (-1, -2), (-1, 2)),
    *((-2, -1), (-2, 1), (-2, -2), (-2, 2), (0, -3), (-3, 0), (-1, -3), (-3, -1)),
    *((-3, 1), (-2, -3), (-2, 3), (-3, -2), (-3, 2), (0, -4), (-1, -4), (-4, 0)),
)


def _grids(found: Decoded, payloads: Sequence[bytes]) -> None:
    """Decode the layers one after the other."""
    features = found.network.features
    sides = [
        (-(-found.height // 2**level), -(-found.width // 2**level))
        for level in range(len(features))
    ]
    found.grids = [
        np.zeros(sides[level], int) for level, n in enumerate(features) for _ in range(n)
    ]
    above = len(features)
    for payload in payloads:
        stream = Bytes(payload)
        finest = stream.u8()
        assert finest < above
        numbers = [
            sum(features[:level]) + n
            for level in range(above - 1, finest - 1, -1)
            for n in range(features[level])
        ]
        flags = int.from_bytes(stream.take(-(-len(numbers) // 8)), "little")
        assert flags < 1 << len(numbers)
        coded = [number for k, number in enumerate(numbers) if flags >> k & 1]
        if coded:
            _layer(found, stream, coded)
        assert stream.at == len(payload)
        above = finest
    assert above == 0


def _layer(found: Decoded, stream: Bytes, coded: Sequence[int]) -> None:
    escapes = Bytes(stream.take(stream.varint()))
    coder = RangeDecoder(stream.rest())
    network = [tensor.real() for tensor in found.tensors[-6:]]
    for grid, row, column in _order([found.grids[number] for number in coded], coded):
        inputs = np.array(_inputs(found, grid, row, column), float)
        mean, log_scale = _predicted(network, inputs, grid)
        a = max(-32767, min(32767, round(16 * mean)))
        u = (a + 8) >> 4
        i = max(0, min(36, round(4 * log_scale) + 20))
        symbol = coder.symbol(residual_table(a - 16 * u, i))
        r = _unzigzag(symbol if symbol < 31 else 31 + escapes.varint())
        found.grids[grid][row, column] = u + r
    coder.finish()
    assert escapes.at == len(escapes.data)


def _order(grids: Sequence[Array], numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Yield (grid, row, column) in the order of the message."""
    steps = max(o + 3 * len(grid) + len(grid[0]) for o, grid in enumerate(grids))
    for t in range(steps):
        for o, (grid, number) in enumerate(zip(grids, numbers, strict=True)):
            for i in range(len(grid)):
                if 0 <= t - o - 3 * i < len(grid[0]):
                    yield number, i, t - o - 3 * i


def _inputs(found: Decoded, grid: int, i: int, j: int) -> list[int]:
    features = found.network.features
    level = next(level for level in range(len(features)) if grid < sum(features[: level + 1]))
    n = grid - sum(features[:level])
    values = found.grids[grid]
    inputs = []
    for a, b in _NEIGHBOURS[: found.network.neighbours]:
        inside = 0 <= i + a < len(values) and 0 <= j + b < len(values[0])
        inputs.append(int(values[i + a, j + b]) if inside else 0)
    for k in (1, 2, 3):
        count = features[level + k] if level + k < len(features) else 0
        other = sum(features[: level + k]) + min(n, count - 1)
        inputs.append(int(found.grids[other][i >> k, j >> k]) if count else 0)
    inputs.append(int(found.grids[grid - 1][i, j]) if n else 0)
    return [max(-127, min(127, value)) for value in inputs]


def _predicted(network: Sequence[Array], x: Array, grid: int) -> tuple[float, float]:
    """The context network: mean, logarithm of the scale. float64 is exact arithmetic here."""
    m1, b1, m2, b2, m3, b3 = network
    h1 = np.maximum(0, m1 @ x + b1[grid])
    h2 = np.maximum(0, m2 @ h1 + b2)
    mean, log_scale = (m3 @ np.concatenate([h2, x]) + b3).tolist()
    return mean, log_scale


# 7. The function


def _pixels(found: Decoded) -> Array:
    x, y = np.meshgrid(np.arange(found.width), np.arange(found.height))
    inputs = [(2 * x + 1) / found.width - 1, (2 * y + 1) / found.height - 1]
    levels = [level for level, n in enumerate(found.network.features) for _ in range(n)]
    inputs += [_spline(grid, level, x, y) for grid, level in zip(found.grids, levels, strict=True)]
    z = np.stack(inputs, axis=-1)
    h, layers = z, found.network.hidden_layers
    for layer in range(layers):
        omega = found.network.omega if layer else found.network.first_omega
        m, b = found.tensors[2 * layer].real(), found.tensors[2 * layer + 1].real()
        h = np.sin(omega * (h @ m.T + b))
    if found.grids:
        h = np.concatenate([h, z / 8], axis=-1)
    f = h @ found.tensors[2 * layers].real().T + found.tensors[2 * layers + 1].real()
    peak = 2**found.depth - 1
    samples: Array = np.rint(np.clip((f + 1) * peak / 2, 0, peak)).astype(int)
    if found.alpha is not None:
        samples = np.concatenate([samples, found.alpha[:, :, None]], axis=-1)
    return samples


def _spline(grid: Array, level: int, x: Array, y: Array) -> Array:
    def axis(points: Array, cells: int) -> list[tuple[Array, Array]]:
        p = (points + 0.5) / 2**level - 0.5
        a = np.floor(p)
        t = p - a
        b = {-3: 0 * t, -2: 0 * t, 3: 0 * t, 4: 0 * t, -1: (1 - t) ** 3 / 6, 2: t**3 / 6}
        b[0] = (4 - 3 * t**2 * (2 - t)) / 6
        b[1] = (4 - 3 * (1 - t) ** 2 * (1 + t)) / 6
        return [
            (
                np.clip(a + k, 0, cells - 1).astype(int),
                (26 * b[k] - 5 * b[k - 1] - 5 * b[k + 1]) / 16,
            )
            for k in range(-2, 4)
        ]

    value: Array = np.zeros(x.shape)
    for rows, by_row in axis(y, len(grid)):
        for columns, by_column in axis(x, len(grid[0])):
            value = value + grid[rows, columns] * by_row * by_column
    return value


# 10. Alpha


def _alpha(payload: bytes, found: Decoded) -> Array:
    form, raw = payload[0], zstandard.ZstdDecompressor().decompress(payload[1:])
    shape = found.height, found.width
    if form == 3:
        rows = np.frombuffer(raw, np.uint8).reshape(found.height, -1)
        samples = np.unpackbits(rows, axis=1)[:, : found.width].astype(int)
        samples *= 2**found.depth - 1
        return samples
    assert form in (1, 2)
    samples = np.zeros(shape, int)
    for index, plane in enumerate(np.frombuffer(raw, np.uint8).reshape(-1, *shape)):
        samples += plane.astype(int) << 8 * index
    if form == 2:
        samples = np.cumsum(samples, axis=0)
        samples %= 2**found.depth
    return samples


if __name__ == "__main__":
    result = decode(Path(sys.argv[1]).read_bytes())
    print(
        result.network, *(f"{tensor.values.shape} {tensor.exponent}" for tensor in result.tensors)
    )
    print(result.pixels())
