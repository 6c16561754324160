"""The results of one codec at one effort, and its curves."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from siren_codec.bench.results import Row
from siren_codec.options import MODELS

__all__ = [
    "CODECS",
    "Mean",
    "Series",
    "by_quality",
    "group",
    "images_of",
    "mean_curve",
    "points",
    "series_of",
    "setting",
]

CODECS = {
    "grid": "SIREN + grids",
    "coordinate": "SIREN alone",
    "jpeg": "JPEG",
    "webp": "WebP",
    "avif": "AVIF",
    "jpeg2000": "JPEG 2000",
    "jxl": "JPEG XL",
}
"""What a codec is called on the page, in the order of the page."""

_MEANS = ("bpp", "psnr", "ssim", "ms_ssim")


@dataclass(frozen=True)
class Series:
    """A codec, and for ours the effort that it was run with."""

    codec: str
    effort: int | None = None

    @property
    def key(self) -> str:
        """A name for CSS classes and ids."""
        return self.codec if self.effort is None else f"{self.codec}-{self.effort}"

    @property
    def label(self) -> str:
        """What the page calls it."""
        name = CODECS.get(self.codec, self.codec)
        return name if self.effort is None else f"{name} (effort {self.effort})"

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's."""
        return self.codec in MODELS

    @property
    def order(self) -> tuple[int, str, int]:
        """Where it stands on the page: ours first, the most effort before less."""
        known = list(CODECS)
        place = known.index(self.codec) if self.codec in known else len(known)
        return place, self.codec, -(self.effort or 0)


@dataclass(frozen=True)
class Mean:
    """A series at one quality: means over the pictures, None where a row has no such figure."""

    quality: float
    bpp: float
    psnr: float
    ssim: float | None
    ms_ssim: float | None


def group(rows: Iterable[Row]) -> dict[Series, list[Row]]:
    """Return the rows by series, in the page's order; of a picture's quality the last one counts.

    Rows are sorted by picture, in the order in which pictures come, then by quality.
    """
    found: dict[Series, dict[tuple[str, float], Row]] = {}
    rows = list(rows)
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


def mean_curve(rows: Sequence[Row], images: Sequence[str]) -> list[Mean]:
    """Return the means at every quality that all `images` have, by rising quality."""
    return [_mean(quality, found) for quality, found in by_quality(rows, images)]


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


def _mean(quality: float, rows: Sequence[Row]) -> Mean:
    bpp, psnr, ssim, ms_ssim = ([row[name] for row in rows] for name in _MEANS)
    return Mean(
        quality,
        bpp=statistics.fmean(bpp),
        psnr=statistics.fmean(psnr),
        ssim=None if None in ssim else statistics.fmean(ssim),
        ms_ssim=None if None in ms_ssim else statistics.fmean(ms_ssim),
    )


def points(rows: Iterable[Row] | Iterable[Mean]) -> list[tuple[float, float]]:
    """Return the (bits per pixel, PSNR) of rows or means, by rising rate."""
    return sorted(
        (row.bpp, row.psnr) if isinstance(row, Mean) else (row["bpp"], row["psnr"]) for row in rows
    )


def series_of(row: Row) -> Series:
    """Return the series that a row belongs to."""
    return Series(row["codec"], row["settings"].get("effort"))


def setting(row: Row) -> str:
    """Return what a row's quality is called: of the coordinate model it is the layers' width."""
    name = "width" if row["codec"] == "coordinate" else "quality"
    return f"{name} {row['settings']['quality']:g}"
