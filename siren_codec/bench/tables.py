"""The report's tables: BD-rates, times, the bytes of our files, and what they amount to."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from siren_codec.bench import bd
from siren_codec.bench.published import Published
from siren_codec.bench.results import Row
from siren_codec.bench.series import Mean, Series, group, images_of, mean_curve, points
from siren_codec.picture import METADATA

__all__ = [
    "PARTS",
    "BdTable",
    "Cell",
    "Difference",
    "Found",
    "Standing",
    "against_each",
    "collect",
    "compare",
    "findings",
    "image_table",
    "mean_table",
    "median",
    "parts",
    "percent",
    "standings",
    "times",
]

Curve = list[tuple[float, float]]

PARTS = (
    "header",
    "weights",
    *(f"grid {level}" for level in range(10)),
    "other latents",
    "alpha",
    "metadata",
    "checksum",
)
"""What a file's bytes are for, in the order of the page."""

_FULL_TINT = 50.0
"""Percent at which a cell has its full colour, the same for more and for fewer bits."""


class Difference(NamedTuple):
    """How many percent more bits a curve takes than another, over a range of PSNR in dB."""

    percent: float
    low: float
    high: float


@dataclass(frozen=True)
class Cell:
    """A BD-rate in a table: its text, the PSNRs it covers, and how strongly it is coloured."""

    text: str
    detail: str = ""
    kind: str = ""
    """`less`, `more` or nothing."""
    strength: float = 0
    """0 to 1."""


@dataclass(frozen=True)
class BdTable:
    """BD-rates: a line of cells for each name, below the headings."""

    title: str
    headings: list[Series]
    lines: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Standing:
    """How a series of ours stands to another codec."""

    peer: Series
    mean: Difference
    fewer: int
    """Pictures on which ours takes fewer bits."""
    pictures: int
    """Pictures whose curves share a range of PSNR."""
    best: tuple[float, str]
    """Percent, and the picture."""
    worst: tuple[float, str]


@dataclass(frozen=True)
class Found:
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
    def jpeg(self) -> Series | None:
        """What times are shown against, if it was measured."""
        return next((series for series in self.peers if series.codec == "jpeg"), None)


def collect(rows: Sequence[Row]) -> Found:
    """Return the rows by series, and the curves."""
    grouped = group(rows)
    images = images_of(rows)
    means = {series: mean_curve(of_series, images) for series, of_series in grouped.items()}
    by_image: dict[str, dict[Series, Curve]] = {image: {} for image in images}
    for series, of_series in grouped.items():
        for image in images_of(of_series):
            by_image[image][series] = points(row for row in of_series if row["image"] == image)
    return Found(
        images,
        grouped,
        means,
        {series: points(mean) for series, mean in means.items()},
        by_image,
    )


def compare(*, reference: Iterable[tuple[float, float]], test: Curve) -> Difference | None:
    """Return the BD-rate of `test`; None where the curves share no range of PSNR.

    A point that another one of its curve beats in both rate and PSNR is left out.
    """
    percent, low, high = bd.delta(reference=bd.front(reference), test=bd.front(test))
    if percent is None or low is None or high is None:
        return None
    return Difference(percent, low, high)


def percent(value: float) -> str:
    """Return a signed percentage with a true minus."""
    return f"{value:+.1f}%".replace("-", "\N{MINUS SIGN}")


def standings(found: Found, ours: Series) -> list[Standing]:
    """Return how a series of ours stands to each other codec, least bits first."""
    stand = []
    for peer in found.peers:
        mean = compare(reference=found.curves[peer], test=found.curves[ours])
        each = sorted(
            (difference.percent, image)
            for image, curves in found.by_image.items()
            if peer in curves and ours in curves
            if (difference := compare(reference=curves[peer], test=curves[ours]))
        )
        if mean and each:
            fewer = sum(value < 0 for value, _ in each)
            stand.append(Standing(peer, mean, fewer, len(each), each[0], each[-1]))
    return sorted(stand, key=lambda standing: standing.mean.percent)


def findings(found: Found, ours: Series) -> str:
    """Return what the figures say of a series, wins and losses in one manner."""
    stand = standings(found, ours)
    said = [
        f"{words} {_listed([f'{x.peer.label} ({percent(x.mean.percent)})' for x in those])}"
        for words, those in (
            ("fewer bits than", [x for x in stand if x.mean.percent < 0]),
            ("more bits than", [x for x in stand if x.mean.percent >= 0]),
        )
        if those
    ]
    if said:
        rates = f"At equal PSNR {ours.label} takes {' and '.join(said)}."
    else:
        rates = f"No curve of another codec shares a range of PSNR with {ours.label}."
    seconds = median(found.rows[ours], "encode_s")
    times = f"It takes {_seconds(seconds)} to encode a picture"
    if found.peers:
        slowest = max(found.peers, key=lambda peer: median(found.rows[peer], "encode_s"))
        least = _seconds(median(found.rows[slowest], "encode_s"))
        times += f", where the slowest of the others, {slowest.label}, takes {least}"
    return f"{rates} {times}."


def _listed(names: Sequence[str]) -> str:
    """Return names as an English list."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _seconds(value: float) -> str:
    digits = 0 if value >= 20 else 1 if value >= 1 else 3
    return f"{value:.{digits}f} s"


def median(rows: Iterable[Row], name: str) -> float:
    """Return the median of a number that every row has."""
    return float(statistics.median(row[name] for row in rows))


def _cell(found: Difference | None) -> Cell:
    if found is None:
        return Cell("\N{EN DASH}", "no shared PSNR")
    return _tinted(found.percent, f"{found.low:.1f} to {found.high:.1f} dB")


def _tinted(value: float, detail: str) -> Cell:
    kind = "less" if value < 0 else "more"
    return Cell(percent(value), detail, kind, min(abs(value) / _FULL_TINT, 1))


def mean_table(found: Found, others: Iterable[Published]) -> BdTable:
    """Return the BD-rates of the mean curves: every codec, and published ones, against each."""
    lines = [
        (
            series.label,
            [
                Cell("")
                if peer == series
                else _cell(compare(reference=found.curves[peer], test=curve))
                for peer in found.peers
            ],
        )
        for series, curve in found.curves.items()
    ]
    for other in others:
        differences = [
            compare(reference=found.curves[peer], test=list(other.points)) for peer in found.peers
        ]
        lines.append((f"{other.name}, published", [_cell(each) for each in differences]))
    return BdTable("means over all pictures", found.peers, lines)


def image_table(found: Found, reference: Series) -> BdTable:
    """Return the BD-rates of every picture against one codec, their mean, and the mean curve's."""
    series = [other for other in found.rows if other != reference]

    def differences(curves: Mapping[Series, Curve]) -> list[Difference | None]:
        return [
            compare(reference=curves.get(reference, []), test=curves.get(other, []))
            for other in series
        ]

    by_image = {image: differences(found.by_image[image]) for image in found.images}
    lines = [(image, [_cell(each) for each in line]) for image, line in by_image.items()]
    means = [_mean_cell(column) for column in zip(*by_image.values(), strict=True)]
    lines.append(("mean of these", means))
    lines.append(("mean curve", [_cell(each) for each in differences(found.curves)]))
    return BdTable(reference.label, series, lines)


def _mean_cell(found: Sequence[Difference | None]) -> Cell:
    """Return the mean over all pictures; a dash if one has none."""
    known = [each.percent for each in found if each is not None]
    if not known or len(known) < len(found):
        return _cell(None)
    return _tinted(statistics.fmean(known), f"{len(known)} pictures")


def against_each(found: Found, reference: Series) -> dict[Series, tuple[float, float]]:
    """Return (median seconds to encode, percent more bits than `reference`) of each series."""
    places = {reference: (median(found.rows[reference], "encode_s"), 0.0)}
    for series, rows in found.rows.items():
        difference = compare(reference=found.curves[reference], test=found.curves[series])
        if series != reference and difference:
            places[series] = (median(rows, "encode_s"), difference.percent)
    return places


def times(found: Found) -> list[dict[str, Any]]:
    """Return medians of time, the most memory, and the rate against JPEG, of every series."""
    lines = []
    for series, rows in found.rows.items():
        difference = None
        if found.jpeg:
            difference = compare(reference=found.curves[found.jpeg], test=found.curves[series])
        lines.append(
            {
                "series": series,
                "encode_s": median(rows, "encode_s"),
                "decode_s": median(rows, "decode_s"),
                "peak_mib": _most(rows, "peak_mib"),
                "decode_peak_mib": _most(rows, "decode_peak_mib"),
                "timing": _listed(list(dict.fromkeys(row["timing"] for row in rows))),
                "against": Cell("") if series == found.jpeg else _cell(difference),
            }
        )
    return lines


def _most(rows: Iterable[Row], name: str) -> float | None:
    return max((float(row[name]) for row in rows if row[name] is not None), default=None)


def parts(row: Row) -> dict[str, int]:
    """Return the bytes of a file of ours by what they are for, without the parts that it lacks.

    A grid's bytes are what its symbols cost by their probabilities; `other latents` is what the
    layers of the latents hold beyond their sum.
    """
    sections: dict[str, Any] = row["sections"]
    found = dict.fromkeys(PARTS, 0)
    for grid in sections.get("grids", []):
        found[f"grid {grid['level']}"] += grid["bytes"]
    grids = sum(found.values())
    for name in ("header", "weights", "alpha", "checksum"):
        found[name] = sections.get(name, 0)
    layers = sum(count for name, count in sections.items() if name.startswith("layer_"))
    found["other latents"] = max(layers - grids, 0)
    found["metadata"] = sum(sections.get(name, 0) for name in METADATA)
    return {name: count for name, count in found.items() if count}
