"""How long a fit runs: the presets, their stages and the price of a bit."""

import numpy as np
import pytest

from siren_codec.fit import Schedule, architecture_for
from siren_codec.fit.rate import quality_lambda
from siren_codec.options import Options
from siren_codec.picture import Picture


def _preset(
    width: int, height: int, options: Options, *, quality: int = 50, prior: bool = False
) -> Schedule:
    picture = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
    architecture = architecture_for(picture, options)
    return Schedule.preset(
        architecture, options, width=width, height=height, quality=quality, prior=prior
    )


MODELS = pytest.mark.parametrize("model_", ["grid", "coordinate"])


@MODELS
def test_presets_grow_with_effort(model_: str) -> None:
    steps = [
        _preset(768, 512, Options(model=model_, effort=effort)).steps for effort in range(1, 10)
    ]
    assert steps == sorted(set(steps))


def _visits(width: int, height: int, effort: int) -> float:
    schedule = _preset(width, height, Options(effort=effort), prior=True)
    return sum(stage.visits for stage in schedule.stages + schedule.rounded_stages)


def test_large_pictures_are_seen_fewer_times() -> None:
    """Twice the pixels take 2**0.6 of the time."""
    assert _visits(768, 512, 4) == 225
    assert _visits(1536, 512, 4) == pytest.approx(225 / 2**0.4, rel=0.01)
    assert _visits(4000, 3000, 4) == 57
    assert _visits(60_000, 60_000, 4) >= 3


def test_small_pictures_are_seen_often_enough() -> None:
    """In no more time than a larger one; more than that the effort decides."""
    assert _visits(768, 512, 1) == 5
    assert _visits(384, 256, 1) == 20
    assert _visits(128, 96, 1) == _visits(8, 8, 2) == 100
    assert _visits(300, 300, 4) == _visits(8, 8, 4) == 225


@MODELS
@pytest.mark.parametrize("steps", [1, 2, 7, 37, 1000])
def test_steps_are_as_many_as_asked_for(steps: int, model_: str) -> None:
    for width, height in ((1, 1), (1, 300), (10, 10), (768, 512), (10_000, 10_000)):
        schedule = _preset(width, height, Options(model=model_, steps=steps))
        assert schedule.steps == steps
        assert all(stage.steps > 0 for stage in schedule.stages + schedule.rounded_stages)


@pytest.mark.parametrize(
    ("size", "levels"), [((64, 64), [0]), ((768, 512), [2, 1, 0]), ((6000, 4000), [5, 4, 3])]
)
def test_levels_follow_the_picture(size: tuple[int, int], levels: list[int]) -> None:
    options = Options(model="coordinate", hidden_layers=10, hidden_features=28)
    stages = _preset(*size, options).stages
    assert [stage.level for stage in stages] == levels


@pytest.mark.parametrize("size", [(1, 1), (7, 500), (64, 64), (768, 512), (6000, 4000)])
def test_grids_are_fitted_from_coarse_to_fine(size: tuple[int, int]) -> None:
    schedule = _preset(*size, Options())
    levels = [stage.level for stage in schedule.stages]
    assert levels == sorted(set(levels), reverse=True)
    assert levels[-1] == 0
    assert all(stage.level == 0 for stage in schedule.rounded_stages)


def test_quality_is_the_price_of_a_grids_bit() -> None:
    for quality in (1, 50, 100):
        schedule = _preset(64, 64, Options(), quality=quality)
        assert schedule.lambda_ == quality_lambda(quality)
        assert schedule.quality == quality
        alone = _preset(64, 64, Options(model="coordinate"), quality=quality)
        assert alone.lambda_ == 0
