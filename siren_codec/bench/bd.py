"""BD-rates of every codec against every other, picture by picture and for the mean curves.

A codec's mean curve is the mean of bits per pixel and of PSNR over the pictures, quality by
quality, of the qualities that all pictures have. Points that another point of the same curve beats
in rate without being worse in PSNR are left out, for a curve must rise. The interpolation is
`metrics.bd_rate`'s: PCHIP on the logarithm of the rate.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from siren_codec import metrics
from siren_codec.bench.results import Row
from siren_codec.bench.series import by_quality, images_of, points
from siren_codec.errors import UsageError

__all__ = ["Curve", "Delta", "curves", "delta", "deltas", "front", "label"]

Curve = tuple[tuple[float, float], ...]
"""(bits per pixel, PSNR in dB), by rising rate and PSNR."""

_REFERENCE = "jpeg"


@dataclass(frozen=True)
class Delta:
    """What a codec takes more than another at the same PSNR."""

    image: str | None
    """None: of the mean curves."""
    reference: str
    test: str
    percent: float | None
    """None where the curves share no range of PSNR, or have fewer than two points."""
    low: float | None
    """dB, the least PSNR that both reach."""
    high: float | None
    """dB, the largest."""


def label(row: Row) -> str:
    """Return what a row's curve is called: the codec, and of ours the effort too."""
    effort = row["settings"].get("effort")
    return str(row["codec"]) if effort is None else f"{row['codec']} e{effort}"


def front(points: Iterable[tuple[float, float]]) -> Curve:
    """Return the points that no other beats, by rising rate."""
    kept: list[tuple[float, float]] = []
    for rate, psnr in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or psnr > kept[-1][1]:
            kept.append((rate, psnr))
    return tuple(kept)


def curves(rows: Sequence[Row]) -> dict[str | None, dict[str, Curve]]:
    """Return each picture's curves by label, and the mean ones, whose picture is None."""
    images = images_of(rows)
    labels = list(dict.fromkeys(label(row) for row in rows))
    found: dict[str | None, dict[str, Curve]] = {None: {}}
    for name in labels:
        ours = [row for row in rows if label(row) == name]
        found[None][name] = front(_mean(of_quality) for _, of_quality in by_quality(ours, images))
        for image in images:
            of_image = points(row for row in ours if row["image"] == image)
            if of_image:
                found.setdefault(image, {})[name] = front(of_image)
    return found


def _mean(rows: Sequence[Row]) -> tuple[float, float]:
    rate, psnr = (statistics.fmean(row[name] for row in rows) for name in ("bpp", "psnr"))
    return rate, psnr


def delta(*, reference: Curve, test: Curve) -> tuple[float | None, float | None, float | None]:
    """Return the BD-rate in percent and the PSNRs in dB that it covers; None where it has none."""
    try:
        percent = metrics.bd_rate(reference=reference, test=test)
    except UsageError:
        return None, None, None
    return percent, max(reference[0][1], test[0][1]), min(reference[-1][1], test[-1][1])


def deltas(rows: Sequence[Row]) -> list[Delta]:
    """Return all ordered pairs: the mean curves' first, and those against JPEG before others."""
    found = []
    for image, named in curves(rows).items():
        pairs = sorted(permutations(named, 2), key=lambda pair: pair[0] != _REFERENCE)
        for reference, test in pairs:
            numbers = delta(reference=named[reference], test=named[test])
            found.append(Delta(image, reference, test, *numbers))
    return found
