"""What an encoder can be asked for, and what it says of anything else."""

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from siren_codec.errors import UsageError
from siren_codec.limits import QUALITIES
from siren_codec.options import DEVICES, EFFORTS, MODELS, Options


def test_defaults() -> None:
    assert Options() == Options(
        model="grid",
        quality=50,
        effort=4,
        hidden_layers=None,
        hidden_features=None,
        steps=None,
        device="auto",
        seed=0,
    )


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Options().quality = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("model", MODELS),
        ("device", DEVICES),
        ("quality", QUALITIES),
        ("effort", EFFORTS),
        ("hidden_layers", (None, 1, 16)),
        ("hidden_features", (None, 1, 512)),
        ("steps", (None, 1, 10**9)),
        ("seed", (0, 2**63 - 1)),
    ],
)
def test_whole_ranges(name: str, values: Any) -> None:
    for value in values:
        assert getattr(Options(**{name: value}), name) == value


@pytest.mark.parametrize("name", ["quality", "effort", "steps", "hidden_layers", "seed"])
def test_any_integer_becomes_an_int(name: str) -> None:
    given: dict[str, Any] = {name: np.uint8(7)}
    found = getattr(Options(**given), name)
    assert found == 7
    assert type(found) is int


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "jpeg"}, "model: expected grid or coordinate, found 'jpeg'"),
        ({"device": "tpu"}, "device: expected auto, cpu or cuda, found 'tpu'"),
        ({"quality": 0}, "quality: expected 1 to 100, found 0"),
        ({"quality": 101}, "quality: expected 1 to 100, found 101"),
        ({"quality": 50.0}, "quality: expected an integer, found 50.0"),
        ({"quality": "50"}, "quality: expected an integer, found '50'"),
        (
            {"quality": 50, "target_bpp": 1.0},
            "expected one of quality and the targets, found quality and target bpp",
        ),
        (
            {"target_size": 9, "target_psnr": 30},
            "expected one of quality and the targets, found target size and target psnr",
        ),
        ({"target_size": 0}, "target size: expected at least 1, found 0"),
        ({"target_size": 1.5}, "target size: expected an integer, found 1.5"),
        ({"target_bpp": 0.0}, "target bpp: expected above 0, found 0.0"),
        ({"target_bpp": "1"}, "target bpp: expected above 0, found '1'"),
        ({"target_psnr": float("nan")}, "target psnr: expected above 0, found nan"),
        ({"target_psnr": float("inf")}, "target psnr: expected above 0, found inf"),
        (
            {"target_psnr": 30, "model": "coordinate"},
            "target: expected the grid model, found coordinate",
        ),
        ({"alpha": "none"}, "alpha: expected auto, lossless or lossy, found 'none'"),
        ({"memory": 0}, "memory: expected at least 1, found 0"),
        ({"effort": 0}, "effort: expected 1 to 9, found 0"),
        ({"effort": 10}, "effort: expected 1 to 9, found 10"),
        ({"hidden_layers": 0}, "hidden layers: expected 1 to 16, found 0"),
        ({"hidden_layers": 17}, "hidden layers: expected 1 to 16, found 17"),
        ({"hidden_features": 0}, "hidden features: expected 1 to 512, found 0"),
        ({"hidden_features": 513}, "hidden features: expected 1 to 512, found 513"),
        ({"steps": 0}, "steps: expected at least 1, found 0"),
        ({"steps": 1.5}, "steps: expected an integer, found 1.5"),
        ({"seed": -1}, "seed: expected 0 to 9223372036854775807, found -1"),
        ({"seed": 2**63}, "seed: expected 0 to 9223372036854775807, found 9223372036854775808"),
    ],
)
def test_what_is_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}$"):
        Options(**options)


def test_what_there_is_not() -> None:
    with pytest.raises(TypeError, match="batch"):
        Options(batch=3)  # type: ignore[call-arg]
