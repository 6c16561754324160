"""What `info` shows of a file: every byte, grid and tensor of it."""

import numpy as np
import pytest
from goldens import GOLDEN

import siren_codec


def test_info_accounts_for_every_byte() -> None:
    data = (GOLDEN / "rgb_8_range.siren").read_bytes()
    found = siren_codec.info(data)
    assert sum(found["sections"].values()) == found["bytes"] == len(data)
    assert (found["width"], found["height"]) == (24, 16)
    assert (found["channels"], found["depth"]) == ("RGB", 8)
    assert found["model"] == "coordinate"
    assert found["weights"] == (2 * 10 + 10) + 2 * (10 * 10 + 10) + (10 * 3 + 3)
    assert found["bits_per_weight"] == 8 * found["sections"]["weights"] / found["weights"]
    assert found["weight_coder"] == "range"
    assert len(found["tensors"]) == 8
    assert found["levels"] == found["latents"] == []


def test_info_of_a_grid_file() -> None:
    """Each byte, each grid, each tensor, those of the context network by their names."""
    data = (GOLDEN / "rgb_8_layers.siren").read_bytes()
    field, found = siren_codec.open(data), siren_codec.info(data)
    assert sum(found["sections"].values()) == found["bytes"] == len(data)
    assert found["bpp"] == 8 * len(data) / (88 * 64)
    assert found["model"] == "grid"
    assert found["levels"] == list(field.architecture.features)
    assert found["neighbours"] == field.architecture.neighbours
    assert found["context_features"] == field.architecture.context_features
    grids = [(level, grid) for level, grids in enumerate(field.latents) for grid in grids]
    assert len(found["latents"]) == field.architecture.grids == len(grids)
    for shown, (level, grid) in zip(found["latents"], grids, strict=True):
        assert shown["level"] == level
        assert shown["shape"] == list(grid.shape)
        assert shown["nonzero"] == np.mean(grid != 0)
        assert shown["largest"] == np.abs(grid).max()
    assert [layer["levels"] for layer in found["layers"]] == [[3, 4], [2], [1], [0]]
    sizes = [found["sections"][f"layer_{index}"] for index in range(4)]
    for layer, size in zip(found["layers"], sizes, strict=True):
        assert layer["bytes"] == size - 1 - (1 if size < 130 else 2)
        spent = sum(x["bytes"] for x in found["latents"] if x["level"] in layer["levels"])
        assert spent == pytest.approx(layer["bytes"], abs=8 + len(grids))
    assert found["weights"] == sum(tensor.values.size for tensor in field.tensors())
    names = [f"{tensor['layer']} {tensor['kind']}" for tensor in found["tensors"]]
    assert names[-6:] == [
        f"context {layer} {kind}" for layer in range(3) for kind in ("weight", "bias")
    ]
    assert found["tensors"][-5]["shape"] == [len(grids), field.architecture.context_features]
