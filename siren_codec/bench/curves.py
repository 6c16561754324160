"""Rows -> the series of a codec as it was run, its curves, and what it takes against others.

A codec's mean curve is the mean of bits per pixel and of PSNR over the pictures, quality by
quality, of the qualities that all pictures have. Points that another point of the same curve beats
in rate without being worse in PSNR are left out of a BD-rate, for a curve must rise there. Its
interpolation is `metrics.bd_rate`'s: PCHIP on the logarithm of the rate.
"""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from siren_codec import metrics
from siren_codec.bench.codecs import CODECS, Codec
from siren_codec.bench.results import Row
from siren_codec.errors import UsageError

__all__ = [
    "Curve",
    "Difference",
    "Mean",
    "Measured",
    "Series",
    "bd_rate",
    "by_quality",
    "collect",
    "front",
    "images_of",
    "mean_curve",
    "points",
    "series_of",
    "setting",
]

Curve = Sequence[tuple[float, float]]
"""(bits per pixel, PSNR in dB)."""

_CODECS = {codec.name: codec for codec in CODECS}
_PLACES = {name: place for place, name in enumerate(_CODECS)}


@dataclass(frozen=True)
class Series:
    """A codec, and for ours the effort that it was run with, and steps that stood in for it."""

    codec: str
    effort: int | None = None
    steps: int | None = None

    @property
    def about(self) -> Codec | None:
        """The codec itself; None for a row of one that is no longer compared."""
        return _CODECS.get(self.codec)

    @property
    def key(self) -> str:
        """A name for CSS classes and ids."""
        parts = (("", self.effort), ("s", self.steps))
        return "-".join([self.codec, *(f"{kind}{value}" for kind, value in parts if value)])

    @property
    def label(self) -> str:
        """What the page calls it."""
        name = self.codec if self.about is None else self.about.label
        how = [f"effort {self.effort}"] if self.effort else []
        how += [f"{self.steps} step{'s' if self.steps > 1 else ''}"] if self.steps else []
        return f"{name} ({', '.join(how)})" if how else name

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's."""
        return self.about is not None and self.about.is_ours

    def setting(self, quality: float) -> str:
        """Return what a quality is called: quality 50, width 28."""
        name = "quality" if self.about is None else self.about.quality_name
        return f"{name} {quality:g}"

    @property
    def order(self) -> tuple[float | str, ...]:
        """Where it stands on the page: ours first, the most effort and the most steps before less.

        A fit that was left its effort's steps comes before one that was not.
        """
        place = _PLACES.get(self.codec, len(_PLACES))
        return place, self.codec, -(self.effort or 0), -(self.steps or math.inf)


class Difference(NamedTuple):
    """How many percent more bits a curve takes than another, over a range of PSNR in dB."""

    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Mean:
    """A series at one quality: means over the pictures, None where a row has no such figure."""

    quality: float
    bpp: float
    psnr: float
    ssim: float | None
    ms_ssim: float | None
    ssimulacra2: float | None


@dataclass(frozen=True)
class Measured:
    """The rows by series, and their curves of (bits per pixel, PSNR)."""

    images: list[str]
    rows: dict[Series, list[Row]]
    means: dict[Series, list[Mean]]
    curves: dict[Series, Curve]
    """Those of the means."""
    by_image: dict[str, dict[Series, Curve]]

    @property
    def peers(self) -> list[Series]:
        """The codecs of others."""
        return [series for series in self.rows if not series.is_ours]

    @property
    def ours(self) -> list[Series]:
        """The codecs of this project."""
        return [series for series in self.rows if series.is_ours]

    @property
    def reference(self) -> Series | None:
        """What times are shown against, if it was measured."""
        return next((one for one in self.rows if one.about and one.about.is_reference), None)


def collect(rows: Sequence[Row]) -> Measured:
    """Return the rows by series, and the curves; rows of a zoom, which have none, are left out."""
    rows = [row for row in rows if "zoom" not in row["settings"]]
    grouped = _grouped(rows)
    images = images_of(rows)
    means = {series: mean_curve(of_series, images) for series, of_series in grouped.items()}
    by_image: dict[str, dict[Series, Curve]] = {image: {} for image in images}
    for series, of_series in grouped.items():
        for image in images_of(of_series):
            by_image[image][series] = points(row for row in of_series if row["image"] == image)
    curves: dict[Series, Curve] = {series: points(mean) for series, mean in means.items()}
    return Measured(images, grouped, means, curves, by_image)


def _grouped(rows: Sequence[Row]) -> dict[Series, list[Row]]:
    """Return the rows by series, in the page's order; of a picture's quality the last one counts.

    Rows are sorted by picture, in the order in which pictures come, then by quality.
    """
    found: dict[Series, dict[tuple[str, float], Row]] = {}
    places = {image: place for place, image in enumerate(images_of(rows))}
    for row in rows:
        found.setdefault(series_of(row), {})[row["image"], row["settings"]["quality"]] = row
    return {
        series: sorted(
            found[series].values(),
            key=lambda row: (places[row["image"]], row["settings"]["quality"]),
        )
        for series in sorted(found, key=lambda series: series.order)
    }


def images_of(rows: Iterable[Row]) -> list[str]:
    """Return the names of the pictures, in the order in which they come."""
    return list(dict.fromkeys(row["image"] for row in rows))


def by_quality(rows: Iterable[Row], images: Sequence[str]) -> list[tuple[float, list[Row]]]:
    """Return every quality that all `images` have, rising, with their rows."""
    found: dict[float, dict[str, Row]] = {}
    for row in rows:
        found.setdefault(row["settings"]["quality"], {})[row["image"]] = row
    return [
        (quality, [of_images[image] for image in images])
        for quality, of_images in sorted(found.items())
        if set(images) <= set(of_images)
    ]


def mean_curve(rows: Iterable[Row], images: Sequence[str]) -> list[Mean]:
    """Return the means at every quality that all `images` have, by rising quality."""
    return [_mean(quality, found) for quality, found in by_quality(rows, images)]


def _mean(quality: float, rows: Sequence[Row]) -> Mean:
    def mean(name: str) -> float | None:
        known = [row[name] for row in rows if row.get(name) is not None]
        return statistics.fmean(known) if len(known) == len(rows) else None

    return Mean(
        quality,
        bpp=statistics.fmean(row["bpp"] for row in rows),
        psnr=statistics.fmean(row["psnr"] for row in rows),
        ssim=mean("ssim"),
        ms_ssim=mean("ms_ssim"),
        ssimulacra2=mean("ssimulacra2"),
    )


def points(rows: Iterable[Row] | Iterable[Mean]) -> Curve:
    """Return the (bits per pixel, PSNR) of rows or means, by rising rate."""
    return sorted(
        (row.bpp, row.psnr) if isinstance(row, Mean) else (row["bpp"], row["psnr"]) for row in rows
    )


def front(curve: Iterable[tuple[float, float]]) -> Curve:
    """Return the points that no other beats, by rising rate."""
    kept: list[tuple[float, float]] = []
    for rate, psnr in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not kept or psnr > kept[-1][1]:
            kept.append((rate, psnr))
    return tuple(kept)


def bd_rate(*, reference: Curve, test: Curve) -> Difference | None:
    """Return the BD-rate of `test`; None where the curves share no range of PSNR."""
    one, other = front(reference), front(test)
    try:
        percent = metrics.bd_rate(reference=one, test=other)
    except UsageError:
        return None
    return Difference(percent, max(one[0][1], other[0][1]), min(one[-1][1], other[-1][1]))


def series_of(row: Row) -> Series:
    """Return the series that a row belongs to."""
    settings = row["settings"]
    return Series(row["codec"], settings.get("effort"), settings.get("steps"))


def setting(row: Row) -> str:
    """Return what a row's quality is called: of the coordinate model it is the layers' width."""
    return series_of(row).setting(row["settings"]["quality"])
