"""The plan of a fit: its quality, what is stored of alpha, network, prior, schedule and target."""

from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec.field import PriorName
from siren_codec.fit import Plan, architecture_for, plan_for, prior_for
from siren_codec.options import Options
from siren_codec.picture import Picture
from siren_codec.stream import format

Pixels = npt.NDArray[np.uint8]

FINE = [(0, 211), (0, 14)]
COARSE = [(3, 9), (2, 9), (1, 18), (0, 175), (0, 14)]
ALONE = [(1, 396), (0, 324), (0, 180)]
"""(level, steps) at effort 4: with a prior, without one, and of the coordinate model."""


def _pixels(kind: str) -> Pixels:
    """Return 96 x 64 pixels of waves, whose alpha is a disc, or noise."""
    y, x = np.mgrid[:64, :96]
    waves = [127 + 100 * np.sin(x / 9), 127 + 90 * np.cos(y / 7), (x + y) * 255 / 158]
    disc = np.where((x - 48) ** 2 + (y - 32) ** 2 < 450, 255, 0)
    noise = np.random.default_rng(0).integers(0, 256, (64, 96))
    planes = {
        "grey": waves[:1],
        "rgb": waves,
        "grey, disc": [waves[0], disc],
        "rgb, disc": [*waves, disc],
        "rgb, noise": [*waves, noise],
    }
    return np.stack(planes[kind], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "given", "learned", "apart", "prior", "quality", "stages"),
    [
        ("rgb", {}, 3, False, (1, 50), 50, FINE),
        ("grey", {"quality": 10}, 1, False, (1, 10), 10, FINE),
        ("rgb", {"effort": 5}, 3, False, (1, 50), 50, [(0, 423), (0, 27)]),
        ("rgb", {"effort": 1}, 3, False, (1, 50), 50, [(0, 94), (0, 6)]),
        ("rgb", {"effort": 1, "steps": 400}, 3, False, (1, 50), 50, [(0, 376), (0, 24)]),
        ("rgb", {"effort": 9, "steps": 399}, 3, False, (1, 50), 50, [(0, 375), (0, 24)]),
        ("rgb", {"start": "zero"}, 3, False, None, 50, COARSE),
        ("rgb", {"start": "prior", "effort": 9}, 3, False, (1, 50), 50, [(0, 4136), (0, 264)]),
        ("rgb", {"hidden_features": 16}, 3, False, None, 50, COARSE),
        ("grey, disc", {}, 1, True, (1, 50), 50, FINE),
        ("rgb, disc", {}, 3, True, (1, 50), 50, FINE),
        ("rgb, disc", {"alpha": "lossy"}, 4, False, None, 50, COARSE),
        ("rgb, noise", {}, 3, True, (1, 50), 50, FINE),
        ("grey, disc", {"alpha": "lossless", "quality": 99}, 1, True, (1, 99), 99, FINE),
        ("rgb, noise", {"quality": 10}, 4, False, None, 10, COARSE),
        ("rgb, noise", {"target_psnr": 26}, 3, True, (1, 13), 13, FINE),
        ("rgb, disc", {"start": "zero"}, 3, True, None, 50, COARSE),
        ("rgb", {"target_size": 900}, 3, False, (1, 91), 91, FINE),
        ("rgb", {"target_bpp": 1}, 3, False, (1, 81), 81, FINE),
        ("grey", {"target_psnr": 36, "effort": 6}, 1, False, (1, 19), 19, [(0, 799), (0, 51)]),
        ("rgb", {"target_psnr": 30, "hidden_layers": 3}, 3, False, None, 24, COARSE),
        ("rgb, disc", {"target_psnr": 33}, 3, True, (1, 38), 38, FINE),
        ("rgb", {"model": "coordinate"}, 3, False, None, 50, ALONE),
        (
            "rgb, disc",
            {"model": "coordinate", "effort": 9},
            3,
            True,
            None,
            50,
            [(1, 11000), (0, 9000), (0, 5000)],
        ),
        ("rgb, disc", {"model": "coordinate", "alpha": "lossy"}, 4, False, None, 50, ALONE),
        (
            "rgb",
            {
                "model": "coordinate",
                "start": "prior",
                "hidden_layers": 10,
                "hidden_features": 28,
                "quality": 70,
            },
            3,
            False,
            (2, 70),
            50,
            [(0, 720), (0, 180)],
        ),
        ("rgb", {"model": "coordinate", "start": "prior"}, 3, False, None, 50, ALONE),
    ],
)
def test_plans(
    kind: str,
    given: dict[str, Any],
    learned: int,
    apart: bool,
    prior: tuple[int, int] | None,
    quality: int,
    stages: list[tuple[int, int]],
) -> None:
    options = Options(**given)
    pixels = _pixels(kind)
    plan = plan_for(Picture(pixels), options)
    # Another processor may guess a target's quality otherwise by one.
    assert plan.schedule.quality == pytest.approx(quality, abs=1 if options.target else 0)
    if prior is None:
        assert plan.prior is None
    elif options.model == "grid":
        assert plan.prior == PriorName(prior[0], int(plan.schedule.quality))
    else:
        assert plan.prior == PriorName(*prior)
    found = plan.schedule.stages + plan.schedule.rounded_stages
    assert [(stage.level, stage.steps) for stage in found] == stages
    assert plan.architecture == architecture_for(Picture(pixels[:, :, :learned]), options)
    assert np.array_equal(plan.colours, pixels[:, :, :learned])
    assert (plan.alpha is not None) == apart
    assert (plan.visible is not None) == (pixels.shape[2] in (2, 4))
    assert plan.refine == (options.start == "analysis")
    assert (plan.target is not None) == (options.target is not None)


def test_a_plan_is_frozen() -> None:
    plan = plan_for(Picture(_pixels("rgb")), Options())
    assert isinstance(plan, Plan)
    with pytest.raises(FrozenInstanceError):
        plan.refine = False  # type: ignore[misc]


@pytest.mark.parametrize("kind", ["grey", "rgb", "grey, disc", "rgb, disc"])
@pytest.mark.parametrize("alpha", ["lossless", "lossy"])
@pytest.mark.parametrize("model", ["grid", "coordinate"])
@pytest.mark.parametrize("network", [(None, None), (1, 1), (16, 512)])
def test_what_is_planned_can_be_written(
    kind: str, alpha: str, model: str, network: tuple[int | None, int | None]
) -> None:
    """So that a header that no reader would accept is not found out after the fit."""
    layers, features = network
    options = Options(model=model, alpha=alpha, hidden_layers=layers, hidden_features=features)
    pixels = _pixels(kind)
    plan = plan_for(Picture(pixels), options)
    apart = plan.alpha is not None
    header = format.Header(96, 64, 8, plan.architecture, plan.prior, apart)
    format.check(header, {})
    assert header.channels == pixels.shape[2]


@pytest.mark.parametrize(
    ("width", "height", "network"),
    [(768, 512, (10, 28)), (64, 64, (5, 12)), (512, 512, (10, 25)), (9000, 9000, (10, 64))],
)
def test_the_default_network_follows_the_picture(
    width: int, height: int, network: tuple[int, int]
) -> None:
    picture = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
    architecture = architecture_for(picture, Options(model="coordinate"))
    assert (architecture.hidden_layers, architecture.hidden_features) == network
    assert architecture.features == ()


def test_the_grid_model_takes_any_network_asked_for() -> None:
    picture = Picture(np.zeros((5, 6, 3), np.uint8))
    default = architecture_for(picture, Options())
    assert default.grids > 0
    asked = architecture_for(picture, Options(hidden_layers=3, hidden_features=9))
    assert asked == replace(default, hidden_layers=3, hidden_features=9)


def test_what_has_no_prior() -> None:
    for pixels, options in (
        (_pixels("rgb"), Options(start="zero")),
        (_pixels("rgb"), Options(hidden_features=16)),
        (_pixels("rgb, disc"), Options()),
        (_pixels("grey, disc"), Options()),
        (np.broadcast_to(np.uint8(9), (512, 768, 3)), Options(model="coordinate")),
    ):
        architecture = architecture_for(Picture(pixels), options)
        assert prior_for(architecture, options, quality=50) is None
