"""Plots as SVG for a page that has many of them."""

import re

import pytest
from markupsafe import Markup

from siren_codec.bench import plots
from siren_codec.bench.curves import Series

JPEG, ONE, FOUR = Series("jpeg"), Series("grid", 1), Series("grid", 4)
CURVES = {series: [(0.2, 30.0 + place), (1, 35)] for place, series in enumerate((JPEG, ONE, FOUR))}


def test_similarity_in_decibels() -> None:
    assert plots.decibels(0.99) == pytest.approx(20)
    assert plots.decibels(1) == 60


@pytest.mark.parametrize(
    "drawing",
    [
        plots.rate_distortion(
            "mine", "PSNR", CURVES, {"another": [(0.5, 33), (1, 36)]}, legend=True
        ),
        plots.small_rate_distortion("mine", "a", CURVES, list(CURVES), (0.1, 1, 29, 36)),
        plots.time_against_saving("mine", {JPEG: (0.1, 0), ONE: (9, -40), FOUR: (70, -50)}, "JPEG"),
        plots.part_bars("mine", "a", [("quality 50", {"header": 40, "weights": 900})], 1000),
    ],
    ids=["curves", "small curves", "times", "bytes"],
)
def test_ids_begin_with_the_name_given(drawing: Markup) -> None:
    """For they hold for the whole page."""
    ids = re.findall(r' id="([^"]*)"', drawing)
    used = re.findall(r'(?:href="#|url\(#)([^")]*)', drawing)
    assert set(used) <= set(ids)
    assert ids
    assert all(name.startswith("mine-") for name in ids)
