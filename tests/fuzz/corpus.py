"""Small valid files of every kind, which mutants are made from."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import zstandard
from conftest import make_field, quantise

from fuzz.mutate import seal, varint
from siren_codec import stream
from siren_codec.field import Architecture, Field, Layer, PriorName, QuantisedTensor
from siren_codec.stream import format, latents, prior
from siren_codec.stream.frame import compress

__all__ = ["GOLDEN", "bombs", "corpus"]

GOLDEN = Path(__file__).parent.parent / "golden"
METADATA = {"icc": bytes(range(40)), "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0", "xmp": b"<x/>"}


def corpus() -> dict[str, bytes]:
    """Return the golden files but for the large one, and those of random Fields, by name."""
    golden = {path.stem: path.read_bytes() for path in sorted(GOLDEN.glob("*.siren"))}
    del golden["rgb_8_layers"]
    written = {name: stream.write(field) for name, field in _fields()}
    layers = {f"{name}_layers": _in_layers(written[name]) for name in ("grid_3_8", "grid_metadata")}
    return golden | written | layers


def _in_layers(data: bytes) -> bytes:
    """Return a file again with a layer for each level that has grids; for so few bytes none are."""
    field, (_, sections) = stream.read(data), format.parse(data)
    layers = latents.pack(field.latents, field.context, field.architecture, 1 << 20)
    sections |= {format.Section.LAYER + index: layer for index, layer in enumerate(layers)}
    head = len(data) - 4 - sum(format.sizes(format.parse(data)[1]).values())
    ordered = sorted(sections.items(), key=lambda section: section[0] & 0x7F)
    body = b"".join(bytes([id_]) + varint(len(payload)) + payload for id_, payload in ordered)
    return seal(data[:head] + body)


def bombs() -> dict[str, bytes]:
    """Return files of some hundred bytes that ask for as much as the format allows, by name."""
    network = Architecture(4, 16, 512)
    grids = Architecture(3, 1, 1, features=(4,), neighbours=24, context_features=64)
    likely = b"\0\x0f\0" + bytes(4)
    return {
        "largest network": _file(1, 1, network),
        "largest network, 1 megapixel": _file(1024, 1024, network),
        "alpha of 1 megapixel": _file(1024, 1024, Architecture(1, 1, 1), bits=1024 * 128),
        "a narrow strip": _file(65_535, 16, Architecture(3, 16, 16)),
        "grids, none coded": _file(512, 512, grids, latents=b"\0\0"),
        "grids of integers that cost nothing": _file(256, 256, grids, latents=likely),
    }


def _file(
    width: int, height: int, network: Architecture, *, bits: int = 0, latents: bytes = b""
) -> bytes:
    """Return a file whose weights are 0, but for the last, which is -64.

    With grids that is the logarithm of their integers' scale: a 0 then costs next to nothing.
    `bits` are the bytes of an alpha of 0.
    """
    samples = network.channels - 1 + (0x11 if bits else 0)
    body = b"\x89SRN\x01" + varint(width) + varint(height) + bytes([samples])
    body += bytes([network.hidden_layers]) + varint(network.hidden_features) + varint(120) * 2
    body += bytes([len(network.features), *network.features])
    if network.features:
        body += bytes([network.neighbours, network.context_features])
    shapes = network.tensor_shapes
    raw = bytes(sum(map(math.prod, shapes)) - 1) + b"\x7f"
    frame = zstandard.ZstdCompressor().compress(raw)
    sections = {1: b"\1" + b"\x18" * len(shapes) + b"\1" + frame}
    if bits:
        sections[2] = b"\3" + compress(bytes(bits))
    if network.features:
        sections[0x10] = latents
    for id_, payload in sections.items():
        body += bytes([id_]) + varint(len(payload)) + payload
    return seal(body)


def _fields() -> Iterator[tuple[str, Field]]:
    """Yield small Fields: each model, depth, number of channels and prior, with much and little."""
    for channels in (1, 2, 3, 4):
        for depth in (8, 16):
            name = f"{channels}_{depth}"
            # Repeated weights are what zstd is the better coder for.
            coordinate = make_field(
                channels, width=9, height=7, depth=depth, channels=channels, hidden_layers=2
            )
            yield f"coordinate_{name}", coordinate
            yield f"zstd_{name}", replace(_repeated(coordinate), metadata=METADATA)
            yield f"grid_{name}", _grids(channels, depth, features=(1, 0, 2), neighbours=7)
            if channels in (1, 3):
                apart = replace(coordinate, alpha=_plane(9, 7, depth, hard=channels == 1))
                yield f"apart_{name}", apart
    wide = _grids(3, 8, features=(2, 1, 1, 1), neighbours=24)
    yield "grid_metadata", replace(wide, metadata=METADATA)
    yield "grid_empty", replace(wide, latents=tuple(map(np.zeros_like, wide.latents)))
    yield "one_pixel", make_field(5, width=1, height=1, hidden_layers=1, hidden_features=1)
    yield "many_layers", make_field(6, width=3, height=20, hidden_layers=16, hidden_features=2)
    for id_ in prior.IDS:
        for channels in (1, 3):
            moved = _of_prior(PriorName(id_, 20 * id_ + 9), channels)
            yield f"prior_{id_}_{channels}", moved
            yield f"prior_{id_}_{channels}_apart", replace(moved, alpha=_plane(10, 6, 8))


def _plane(
    width: int, height: int, depth: int, *, hard: bool = False
) -> npt.NDArray[np.uint8 | np.uint16]:
    """Return an alpha that rises to the right, or is 0 on the left and opaque on the right."""
    y, x = np.mgrid[:height, :width]
    peak = (1 << depth) - 1
    plane = (x > 4) * peak if hard else (19 * x + 7 * y) * peak // 255
    return np.asarray(plane, np.uint8 if depth == 8 else np.uint16)


def _repeated(field: Field) -> Field:
    """Return a Field whose weights come from few large integers, over and over."""
    pattern = np.arange(-3000, 3000, 500, dtype=np.int32)
    layers = (
        Layer(*(_filled(tensor, pattern) for tensor in (layer.weight, layer.bias)))
        for layer in field.layers
    )
    return replace(field, layers=tuple(layers))


def _filled(tensor: QuantisedTensor, pattern: npt.NDArray[np.int32]) -> QuantisedTensor:
    return QuantisedTensor(np.resize(pattern, tensor.values.shape), tensor.exponent)


def _grids(channels: int, depth: int, *, features: tuple[int, ...], neighbours: int) -> Field:
    """Return a Field of random grids, with escapes, and a random context network."""
    rng = np.random.default_rng(channels)
    plain = make_field(
        channels,
        width=11,
        height=8,
        depth=depth,
        channels=channels,
        hidden_layers=2,
        hidden_features=6,
        features=features,
    )
    architecture = replace(plain.architecture, neighbours=neighbours, context_features=3)
    context = []
    for index, (n_out, n_in) in enumerate(architecture.context_shapes):
        biases = (architecture.grids, n_out) if index == 0 else (n_out,)
        weight = rng.normal(0, 0.7 / math.sqrt(n_in), (n_out, n_in))
        context.append(Layer(quantise(weight, -8), quantise(rng.normal(0, 0.5, biases), -9)))
    levels = tuple(np.where(rng.uniform(size=x.shape) < 0.03, 300, x) for x in plain.latents)
    return replace(
        plain,
        architecture=architecture,
        context=tuple(context),
        latents=tuple(level.astype(np.int32) for level in levels),
    )


def _of_prior(name: PriorName, channels: int) -> Field:
    """Return a Field with a few differences from a prior in every third tensor."""
    known = prior.load(name.id)
    architecture = known.architecture_for(channels)
    assert architecture is not None
    rng = np.random.default_rng(channels)
    tensors = []
    for index, x in enumerate(known.expect(channels, name.quality)):
        integers = np.rint(rng.laplace(0, 0.4, x.tensor.values.shape)).astype(np.int32)
        octaves = 9 if index < 2 * len(architecture.shapes) else 3
        values = x.tensor.values + (integers << octaves) * (index % 3 == 0)
        tensors.append(QuantisedTensor(values, x.tensor.exponent))
    layers = tuple(Layer(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True))
    depth = len(architecture.shapes)
    levels = tuple(
        rng.integers(-1, 2, shape, np.int32) for shape in latents.shapes(architecture, 10, 6)
    )
    return Field(
        *(10, 6, 8, architecture, layers[:depth]),
        latents=levels,
        context=layers[depth:],
        prior=name,
    )
