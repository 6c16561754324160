"""What a `.siren` file says of itself, and what each of its parts costs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from siren_codec import metrics, stream
from siren_codec.decoding import Source, read_bytes
from siren_codec.field import Architecture, Field, QuantisedTensor
from siren_codec.keywords import named
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.picture import MODES
from siren_codec.stream import format, latents, weights
from siren_codec.stream import prior as priors
from siren_codec.stream.tables import MAX_MAGNITUDE

__all__ = ["info"]


@named
def info(source: Source, *, limits: Limits = DEFAULT_LIMITS) -> dict[str, Any]:
    """Return everything that a `.siren` file says of itself, as JSON has it.

    `source` is a path, bytes or another buffer, or a file object. Raises SirenError.

    >>> siren_codec.info("photo.siren")["width"]
    96
    """
    data = read_bytes(source, limits)
    field = stream.read(data, limits)
    architecture = field.architecture
    header, sections = format.parse(data, limits)
    sizes = format.parts(data, sections)
    count = sum(tensor.values.size for tensor in field.tensors())
    return {
        "version": format.VERSION,
        "width": field.width,
        "height": field.height,
        "channels": MODES[field.channels - 1],
        "depth": field.depth,
        "model": field.model,
        **_architecture_info(architecture),
        "bytes": len(data),
        "bpp": metrics.bpp(file_bytes=len(data), width=field.width, height=field.height),
        "sections": sizes,
        "prior": _prior_info(field),
        "weights": count,
        "weight_coder": weights.coder(sections[format.Section.WEIGHTS]).name.lower(),
        "bits_per_weight": 8 * sizes["weights"] / count,
        "layers": _layers_info(sections, architecture),
        "latents": _grid_costs(field),
        "multiply_adds": {
            "latents": header.symbols() * architecture.context_multiply_adds,
            "rendering": field.width * field.height * architecture.multiply_adds,
        },
        "tensors": _tensors_info(field),
    }


def _architecture_info(architecture: Architecture) -> dict[str, Any]:
    """Return what `info` says of the networks' sizes."""
    return {
        "hidden_layers": architecture.hidden_layers,
        "hidden_features": architecture.hidden_features,
        "first_omega_0": architecture.first_omega_0,
        "omega_0": architecture.omega_0,
        "levels": list(architecture.features),
        "neighbours": architecture.neighbours,
        "context_features": architecture.context_features,
    }


def _tensors_info(field: Field) -> list[dict[str, Any]]:
    """Return what `info` says of each tensor of weights."""
    return [
        {
            "layer": _layer_name(field.architecture, index // 2),
            "kind": ("weight", "bias")[index % 2],
            "shape": list(tensor.values.shape),
            "step": 2.0**tensor.exponent,
            "largest": int(np.abs(tensor.values).max()),
        }
        for index, tensor in enumerate(field.tensors())
    ]


def _prior_info(field: Field) -> dict[str, Any] | None:
    """Return what `info` says of a file's prior, and what the weights would cost without it."""
    if field.prior is None:
        return None
    known = priors.load(field.prior.id)
    expected = known.expect(field.architecture.channels, field.prior.quality)
    differences = [
        weights.differences(tensor, x.tensor)
        for tensor, x in zip(field.tensors(), expected, strict=True)
    ]
    alone = weights.pack(
        [
            _alone(tensor, x, moved.exponent if moved else None)
            for tensor, x, moved in zip(field.tensors(), expected, differences, strict=True)
        ]
    )
    return {
        "id": known.id,
        "hash": known.digest.hex(),
        "quality": field.prior.quality,
        "differences": sum(int(np.count_nonzero(x.values)) for x in differences if x),
        "bytes_without": len(alone),
    }


def _alone(
    tensor: QuantisedTensor, expected: priors.Expected, exponent: int | None
) -> QuantisedTensor:
    """Return a tensor rounded to the step of its differences, or if it has none to its spread."""
    if exponent is None:
        exponent = math.floor((np.median(expected.spreads) - priors.SPREAD_OF_ONE) / 4)
    real = tensor.dequantise()
    largest = max(float(np.abs(real).max()), 2.0**-20)
    least = math.ceil(math.log2(largest / MAX_MAGNITUDE))
    exponent = min(max(exponent, least, weights.EXPONENTS.start), weights.EXPONENTS.stop - 1)
    return QuantisedTensor(np.rint(np.ldexp(real, -exponent)).astype(np.int32), exponent)


def _layer_name(architecture: Architecture, index: int) -> str:
    """Return what `info` calls a layer: its number, after `context` in the context network."""
    depth = len(architecture.shapes)
    return str(index) if index < depth else f"context {index - depth}"


def _layers_info(sections: Mapping[int, bytes], architecture: Architecture) -> list[dict[str, Any]]:
    """Return what `info` says of each layer of latent grids, coarsest first: levels and bytes."""
    payloads = format.layers_of(sections)
    return [
        {"levels": [*levels], "bytes": len(payload)}
        for payload, levels in zip(
            payloads, latents.layer_levels(payloads, architecture.features), strict=True
        )
    ]


def _grid_costs(field: Field) -> list[dict[str, Any]]:
    """Return what `info` says of each latent grid."""
    if field.model == "coordinate":
        return []
    bits = latents.cost(field.latents, field.context, field.architecture).tolist()
    grids = [(level, grid) for level, grids in enumerate(field.latents) for grid in grids]
    return [
        {
            "level": level,
            "shape": list(grid.shape),
            "bytes": round(cost / 8),
            "nonzero": float(np.mean(grid != 0)),
            "largest": int(np.abs(grid).max()),
        }
        for (level, grid), cost in zip(grids, bits, strict=True)
    ]
