"""Series, their curves and BD-rates; curves from papers."""

import bjontegaard
import numpy as np
import pytest
from benches import row, rows_of

from siren_codec import metrics
from siren_codec.bench import curves, published
from siren_codec.bench.curves import Series

POINTS = [(0.268, 26.67), (0.458, 29.14), (0.615, 30.49), (0.865, 32.17), (1.315, 34.52)]

BETTER = [(0.112, 27.01), (0.246, 29.9), (0.491, 32.7), (0.875, 35.42)]


@pytest.mark.parametrize("test", [BETTER, POINTS[1:], [(2 * rate, psnr) for rate, psnr in BETTER]])
def test_bd_rates_are_those_of_the_bjontegaard_package(test: list[tuple[float, float]]) -> None:
    ours = metrics.bd_rate(reference=POINTS, test=test)
    arrays = [np.array(values) for curve in (POINTS, test) for values in zip(*curve, strict=True)]
    options = {"require_matching_points": False, "min_overlap": 0}
    pchip = bjontegaard.bd_rate(*arrays, method="pchip", **options)
    assert ours == pytest.approx(pchip, abs=1e-6)
    akima = bjontegaard.bd_rate(*arrays, method="akima", **options)
    assert ours == pytest.approx(akima, abs=1.5)


def test_bd_rates_by_picture_and_of_the_means() -> None:
    rows = [
        found
        for image, factor in (("a", 1), ("b", 3))
        for found in (
            *rows_of(image, "jpeg", [(factor * rate, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "webp", [(factor * rate / 2, psnr) for rate, psnr in POINTS]),
            *rows_of(image, "avif", [(0.5, 50), (0.6, 51)]),
        )
    ]
    found = curves.collect(rows)
    assert found.curves[Series("jpeg")][0] == pytest.approx((2 * 0.268, 26.67))
    for of_codecs in (found.curves, *found.by_image.values()):
        jpeg, webp, avif = (of_codecs[Series(name)] for name in ("jpeg", "webp", "avif"))
        difference = curves.bd_rate(reference=jpeg, test=webp)
        assert difference is not None
        assert difference == pytest.approx((-50, 26.67, 34.52))
        back = curves.bd_rate(reference=webp, test=jpeg)
        assert back is not None
        assert back.percent == pytest.approx(100)
        assert curves.bd_rate(reference=jpeg, test=avif) is None


def test_a_mean_curve_has_the_qualities_that_all_pictures_have() -> None:
    rows = [*rows_of("a", "jpeg", POINTS), *rows_of("b", "jpeg", POINTS[:3])]
    found = curves.collect(rows)
    np.testing.assert_allclose(found.curves[Series("jpeg")], POINTS[:3])
    assert len(found.by_image["a"][Series("jpeg")]) == 5
    assert curves.bd_rate(reference=(), test=((1, 30),)) is None


def test_efforts_have_curves_of_their_own() -> None:
    rows = [
        row("a", "grid", 50, effort, settings={"quality": 50, "effort": effort})
        for effort in (1, 4)
    ]
    found = curves.collect(rows)
    # The most effort comes first.
    assert list(found.by_image["a"]) == [Series("grid", 4), Series("grid", 1)]
    assert found.by_image["a"][Series("grid", 4)] == [(4, 30)]


def test_fits_of_few_steps_are_not_those_of_the_effort() -> None:
    rows = [
        row("a", "grid", 50, bpp, settings={"quality": 50, "effort": 4, **steps})
        for bpp, steps in enumerate(({"steps": 2}, {}, {"steps": 300}, {"steps": 1}), 1)
    ]
    found = curves.collect(rows)
    assert list(found.rows) == [Series("grid", 4, steps) for steps in (None, 300, 2, 1)]
    assert [series.label for series in found.rows] == [
        "siren_codec (effort 4)",
        "siren_codec (effort 4, 300 steps)",
        "siren_codec (effort 4, 2 steps)",
        "siren_codec (effort 4, 1 step)",
    ]
    assert [series.key for series in found.rows] == [
        "grid-4",
        "grid-4-s300",
        "grid-4-s2",
        "grid-4-s1",
    ]


def test_points_that_others_beat_are_left_out() -> None:
    points = [(3.0, 33.0), (1.0, 30.0), (2.0, 30.0), (1.0, 29.0), (4.0, 32.0)]
    assert curves.front(points) == ((1, 30), (3, 33))


def test_published_curves() -> None:
    assert {one.name for one in published.PUBLISHED} > {"COIN", "C3", "RECOMBINER"}
    for one in published.PUBLISHED:
        assert curves.front(one.points) == one.points
        assert len(one.points) >= 3
        assert one.source
    kodak = [f"kodim{number:02}" for number in range(1, 25)]
    assert published.applies(kodak)
    assert not published.applies(kodak[1:])
    assert not published.applies([*kodak, "astronaut"])
