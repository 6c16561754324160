"""Make the golden files: small `.siren` files and the pixels that they stand for.

    python tests/make_goldens.py [NAME ...]

writes what is missing in tests/golden, of all files or of those named, and leaves alone what
exists: a golden file that changes is a change of the format, and wants `docs/FORMAT.md` and the
CHANGELOG. The weights come from SHA-256, so that every machine and every numpy makes the same; the
pixels are computed here in float64, and not by the package. `digests.json` has each file's coder
and the digest of its tensors, which `tests/test_format.py` compares.
"""

import hashlib
import json
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from goldens import GOLDEN, tensors_digest

from siren_codec import stream
from siren_codec.field import Architecture, Field, Layer, PriorName, QuantisedTensor
from siren_codec.stream import format, prior, weights

METADATA = {
    "icc": bytes(range(128)),
    "exif": b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x0f\0\x02\0\0\0\x04abc\0\0\0\0\0",
    "xmp": '<x:xmpmeta xmlns:x="adobe:ns:meta/">naïve</x:xmpmeta>'.encode(),
}


SMALL = partial(Architecture, neighbours=4, context_features=3)
FIELDS: dict[str, Callable[[], Field]] = {
    "grey_8": lambda: _field(17, 11, 8, Architecture(1, 2, 6)),
    "rgb_8_range": lambda: _field(24, 16, 8, Architecture(3, 3, 10, 20.0, 27.25)),
    "rgba_16_zstd": lambda: _field(15, 13, 16, Architecture(4, 2, 12), period=24),
    "rgb_8_laplace": lambda: _field(14, 18, 8, Architecture(3, 2, 11), peaked=True),
    "grey_16_zstd_2": lambda: _field(9, 21, 16, Architecture(1, 3, 8), period=20, finer=5),
    "la_8_metadata": lambda: _field(20, 24, 8, Architecture(2, 1, 7), metadata=METADATA),
    "rgb_8_grid": lambda: _field(21, 13, 8, Architecture(3, 2, 6, 30.0, 30.0, (1, 0, 2), 7, 5)),
    "grey_16_grid": lambda: _field(11, 18, 16, Architecture(1, 1, 8, 10.0, 30.0, (1, 2), 24, 4)),
    "rgb_8_layers": lambda: _field(
        *(88, 64, 8, SMALL(3, 1, 4, 5.0, 5.0, (1, 1, 2, 1, 3))), metadata=METADATA, largest=12
    ),
    "rgb_8_prior_1": lambda: _prior_field(19, 14, 8, 3, PriorName(1, 43), 5000),
    "grey_16_prior_1": lambda: _prior_field(12, 9, 16, 1, PriorName(1, 71), 2000),
    "rgb_8_prior_2": lambda: _prior_field(16, 16, 8, 3, PriorName(2, 50), 6000),
    "la_16_alpha": lambda: _with_alpha(_field(13, 16, 16, Architecture(1, 2, 5)), False),
    "rgba_8_alpha": lambda: _with_alpha(_prior_field(19, 11, 8, 3, PriorName(1, 30), 9000), True),
}
"""The golden Fields by name."""


def expected_pixels(field: Field) -> npt.NDArray[Any]:
    """Return the (height, width, channels) pixels, each layer as the specification says."""
    x, y = np.meshgrid(np.arange(field.width), np.arange(field.height))
    inputs = [(2 * x + 1) / field.width - 1, (2 * y + 1) / field.height - 1]
    for level, grids in enumerate(field.latents):
        inputs += [_spline(grid, x, y, level) for grid in grids]
    h = past = np.stack(inputs, axis=-1)
    for layer, omega in zip(field.layers, (*field.architecture.omegas, None), strict=True):
        if omega is None and field.latents:
            h = np.concatenate([h, past / 8], axis=-1)
        weight = layer.weight.values * 2.0**layer.weight.exponent
        h = h @ weight.T + layer.bias.values * 2.0**layer.bias.exponent
        h = h if omega is None else np.sin(omega * h)
    peak = 2**field.depth - 1
    pixels = np.rint(np.clip((h + 1) / 2, 0, 1) * peak)
    if field.alpha is not None:
        pixels = np.concatenate([pixels, field.alpha[:, :, None]], axis=2)
    return np.asarray(pixels, dtype=f"<u{field.depth // 8}")


def _spline(
    grid: npt.NDArray[np.int32], x: npt.NDArray[np.int64], y: npt.NDArray[np.int64], level: int
) -> npt.NDArray[np.float64]:
    """Return the spline of a grid at the points, the weights as the specification says."""
    axes = []
    for points, cells in ((y, grid.shape[0]), (x, grid.shape[1])):
        p = (points + 0.5) / 2**level - 0.5
        t = p - np.floor(p)
        zero = np.zeros_like(t)
        b = (1 - t) ** 3, 4 - 3 * t**2 * (2 - t), 4 - 3 * (1 - t) ** 2 * (1 + t), t**3
        spline = [zero, zero, *b, zero, zero]
        weights = [(26 * spline[k + 1] - 5 * spline[k] - 5 * spline[k + 2]) / 96 for k in range(6)]
        nearest = np.floor(p).astype(int)
        axes.append([(np.clip(nearest + k - 2, 0, cells - 1), weights[k]) for k in range(6)])
    value = np.zeros(x.shape)
    for rows, by_row in axes[0]:
        for columns, by_column in axes[1]:
            value += by_row * by_column * grid[rows, columns]
    return value


def _field(
    width: int,
    height: int,
    depth: int,
    architecture: Architecture,
    *,
    period: int = 1 << 16,
    peaked: bool = False,
    finer: int = 0,
    metadata: Mapping[str, bytes] | None = None,
    largest: int = 5,
) -> Field:
    """Return a Field of integers that repeat after `period`: zstd is the better coder then.

    `peaked` integers lie near 0, as Laplace's do; `finer` takes the steps down by so many octaves.
    `largest` is the magnitude of most latents.
    """
    layers = []
    last = architecture.hidden_layers
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        bound = (64 if index in (0, last) else 90) << finer
        exponent = (-7 if index in (0, last) else -11) - finer
        label = f"{width}x{height} {index}"
        weight = _integers(label + " weight", n_out * n_in, bound, period)
        bias = _integers(label + " bias", n_out, bound, period)
        if peaked:
            weight = (weight * np.abs(weight) // bound).astype(np.int32)
        layers.append(
            Layer(
                QuantisedTensor(weight.reshape(n_out, n_in), exponent),
                QuantisedTensor(bias, exponent - 1),
            )
        )
    return Field(
        *(width, height, depth, architecture, tuple(layers), dict(metadata or {})),
        latents=_latents(width, height, architecture, largest),
        context=_context(architecture),
    )


def _with_alpha(field: Field, hard: bool) -> Field:
    """Return a Field with an alpha that is stored apart: a disc, or what rises to the right."""
    y, x = np.mgrid[: field.height, : field.width]
    inside = (x - 8) ** 2 + (y - 5) ** 2 < 30
    alpha = inside * (2**field.depth - 1) if hard else 1000 * x + 37 * y
    return replace(field, alpha=alpha.astype(np.uint8 if field.depth == 8 else np.uint16))


def _prior_field(
    width: int, height: int, depth: int, channels: int, name: PriorName, rarity: int
) -> Field:
    """Return a Field of a prior's integers and of some differences, the fewer the larger `rarity`.

    Every third tensor is the prior's.
    """
    known = prior.load(name.id)
    architecture = known.architecture_for(channels)
    assert architecture is not None
    tensors = []
    for index, x in enumerate(known.expect(channels, name.quality)):
        label = f"{width}x{height} prior {index}"
        shape = x.tensor.values.shape
        drawn = _integers(label, math.prod(shape), 20, 1 << 16)
        integers = np.sign(drawn) * (np.abs(drawn) ** 3 // rarity)
        octaves = 9 if index < 2 * len(architecture.shapes) else 3
        moved = (integers << octaves).reshape(shape) * (index % 3 > 0)
        tensors.append(QuantisedTensor(x.tensor.values + moved.astype(np.int32), x.tensor.exponent))
    layers = tuple(Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True))
    return Field(
        *(width, height, depth, architecture, layers[: len(architecture.shapes)]),
        latents=_latents(width, height, architecture),
        context=layers[len(architecture.shapes) :],
        prior=name,
    )


def _latents(
    width: int, height: int, architecture: Architecture, largest: int = 5
) -> tuple[npt.NDArray[np.int32], ...]:
    """Return grids of small integers with two large ones in the first; the last grid is all 0."""
    levels = []
    for level, features in enumerate(architecture.features):
        shape = features, -(-height // 2**level), -(-width // 2**level)
        label = f"{width}x{height} level {level}"
        flat = _integers(label, math.prod(shape), 40, 1 << 16)
        levels.append((flat**3 * largest // 60000).reshape(shape))
    if levels:
        levels[0][0, 2, 3], levels[0][0, 5, 0] = 120, -250
        levels[-1][-1] = 0
    return tuple(levels)


def _context(architecture: Architecture) -> tuple[Layer, ...]:
    """Return the layers of a context network, which predicts at random."""
    layers = []
    for index, (n_out, n_in) in enumerate(architecture.context_shapes):
        bias_shape = (architecture.grids, n_out) if index == 0 else (n_out,)
        label = f"{n_out}x{n_in} context {index}"
        weight = _integers(label + " weight", n_out * n_in, 64, 1 << 16).reshape(n_out, n_in)
        bias = _integers(label + " bias", math.prod(bias_shape), 64, 1 << 16).reshape(bias_shape)
        layers.append(Layer(QuantisedTensor(weight, -7 - index), QuantisedTensor(bias, -6)))
    return tuple(layers)


def _integers(label: str, count: int, bound: int, period: int) -> npt.NDArray[np.int32]:
    """Return `count` integers of -bound..bound from SHA-256, which repeat after `period`."""
    digests = (hashlib.sha256(f"{label} {block}".encode()).digest() for block in range(count))
    words = np.frombuffer(b"".join(digests), "<u4")[: min(count, period)]
    return np.resize((words % (2 * bound + 1)).astype(np.int32) - bound, count)


def main() -> None:
    """Write the files that are missing."""
    path = GOLDEN / "digests.json"
    digests = json.loads(path.read_text()) if path.exists() else {}
    for name in sys.argv[1:] or FIELDS:
        field = FIELDS[name]()
        data = stream.write(field)
        if (GOLDEN / f"{name}.siren").exists():
            print(f"{name}: exists already, left alone")
            continue
        coder = weights.coder(format.parse(data)[1][format.Section.WEIGHTS]).name
        digests[name] = {"coder": coder, "digest": tensors_digest(field)}
        print(f"{name}: {coder}, {len(data)} bytes")
        (GOLDEN / f"{name}.siren").write_bytes(data)
        np.save(GOLDEN / f"{name}.npy", expected_pixels(field), allow_pickle=False)
    path.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
