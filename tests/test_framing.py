"""Views: checked when they are made, and once more against a picture."""

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from siren_codec import LimitError, UsageError, View


@pytest.mark.parametrize(
    ("view", "crop", "size"),
    [
        (View(), (0, 0, 30, 20), (30, 20)),
        (View((7, 9)), (0, 0, 30, 20), (7, 9)),
        (View(scale=0.25), (0, 0, 30, 20), (8, 5)),
        (View(scale=1e-9), (0, 0, 30, 20), (1, 1)),
        (View(crop=(28, 19, 2, 1)), (28, 19, 2, 1), (2, 1)),
        (View(scale=4, crop=(1, 2, 3, 4)), (1, 2, 3, 4), (12, 16)),
        (View((5, 5), crop=(1, 2, 3, 4)), (1, 2, 3, 4), (5, 5)),
    ],
)
def test_frames(view: View, crop: tuple[int, ...], size: tuple[int, ...]) -> None:
    assert view.frame(30, 20) == (crop, size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 3)}, "size 0x3: expected at least 1x1"),
        ({"size": (3, -1)}, "expected at least 1x1"),
        ({"size": (3,)}, "size: expected 2 integers"),
        ({"size": "34"}, "size: expected 2 integers"),
        ({"size": 7}, "size: expected 2 integers, found 7"),
        ({"crop": (1, 2, 3)}, "crop: expected 4 integers"),
        ({"crop": (0, 0, 1.5, 2)}, "crop: expected 4 integers"),
        ({"scale": 0}, "scale 0: expected a finite number above 0"),
        ({"scale": -1.0}, "expected a finite number above 0"),
        ({"scale": float("inf")}, "expected a finite number above 0"),
        ({"scale": float("nan")}, "expected a finite number above 0"),
        ({"scale": "2"}, "expected a finite number above 0"),
        ({"scale": [2]}, "expected a finite number above 0"),
        ({"scale": 10**400}, "expected a finite number above 0"),
        ({"scale": 2, "size": (3, 3)}, "expected a size or a scale, found both"),
    ],
)
def test_what_fits_no_picture(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        View(**arguments)


@pytest.mark.parametrize(
    "crop", [(0, 0, 31, 20), (-1, 0, 4, 4), (0, 0, 0, 4), (0, 0, 4, -4), (29, 0, 2, 1)]
)
def test_what_fits_no_picture_of_this_size(crop: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="expected a part of the 30x20 picture"):
        View(crop=crop).frame(30, 20)


def test_a_scale_beyond_counting() -> None:
    with pytest.raises(LimitError, match="an output that can be counted"):
        View(scale=1e308).frame(30, 20)


def test_views_are_plain_values() -> None:
    view = View(np.array([3, 4]), crop=[0, 1, np.int64(2), 3])  # type: ignore[arg-type]
    assert view == View((3, 4), None, (0, 1, 2, 3))
    assert hash(view) == hash(View((3, 4), crop=(0, 1, 2, 3)))
    assert type(View(scale=np.float32(2)).scale) is float  # type: ignore[arg-type]
    with pytest.raises(FrozenInstanceError):
        view.scale = 2.0  # type: ignore[misc]
