"""The report's tables: BD-rates, times, the bytes of our files, and what they amount to."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from siren_codec.bench.curves import Curve, Difference, Measured, Series, bd_rate, series_of
from siren_codec.bench.published import Published
from siren_codec.bench.results import Row
from siren_codec.picture import METADATA

__all__ = [
    "PARTS",
    "BdTable",
    "Cell",
    "Standing",
    "Zoom",
    "against_each",
    "findings",
    "image_table",
    "in_process",
    "listed",
    "mean_if_all",
    "mean_table",
    "median",
    "most",
    "parts",
    "percent",
    "standings",
    "times",
    "zooms",
]

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
    """Of the mean curves."""
    single: float
    """Percent: the mean of single pictures' BD-rates."""
    fewer: int
    """Pictures on which ours takes fewer bits."""
    pictures: int
    """Pictures whose curves share a range of PSNR."""
    best: tuple[float, str]
    """Percent, and the picture; the same as `worst` where there is one picture alone."""
    worst: tuple[float, str]


@dataclass(frozen=True)
class Zoom:
    """What a series reaches at a scale and a quality: means over the pictures that have it."""

    series: Series
    scale: int
    quality: float
    pictures: int
    bpp: float
    """Of the small pictures that are encoded."""
    psnr_small: float
    """dB of the small pictures themselves."""
    psnr: dict[str, float]
    """dB of the enlarged ones: `decoded` so large, and by Pillow's filters."""


def percent(value: float) -> str:
    """Return a signed percentage with a true minus."""
    return f"{value:+.1f}%".replace("-", "\N{MINUS SIGN}")


def standings(found: Measured, ours: Series) -> list[Standing]:
    """Return how a series of ours stands to each other codec, least bits first."""
    stand = []
    for peer in found.peers:
        mean = bd_rate(reference=found.curves[peer], test=found.curves[ours])
        each = sorted(
            (difference.percent, image)
            for image, curves in found.by_image.items()
            if peer in curves and ours in curves
            if (difference := bd_rate(reference=curves[peer], test=curves[ours]))
        )
        if mean and each:
            fewer = sum(value < 0 for value, _ in each)
            single = statistics.fmean(value for value, _ in each)
            stand.append(Standing(peer, mean, single, fewer, len(each), each[0], each[-1]))
    return sorted(stand, key=lambda standing: standing.mean.percent)


def findings(found: Measured, ours: Series) -> str:
    """Return what the figures say of a series, wins and losses in one manner."""
    stand = standings(found, ours)
    clauses = [
        f"{words} {listed([f'{x.peer.label} ({percent(x.mean.percent)})' for x in those])}"
        for words, those in (
            ("fewer bits than", [x for x in stand if x.mean.percent < 0]),
            ("more bits than", [x for x in stand if x.mean.percent >= 0]),
        )
        if those
    ]
    if clauses:
        rates = f"At equal PSNR {ours.label} takes {' and '.join(clauses)}."
    else:
        rates = f"No curve of another codec shares a range of PSNR with {ours.label}."
    times = f"It takes {_timed(found.rows[ours])} to encode a picture"
    if found.peers:
        slowest = max(found.peers, key=lambda peer: median(found.rows[peer], "encode_s"))
        least = _timed(found.rows[slowest])
        times += f", where the slowest of the others, {slowest.label}, takes {least}"
    return f"{rates} {times}."


def _timed(rows: Sequence[Row]) -> str:
    """Return the median seconds to encode a picture, and what they are of."""
    return f"{_seconds(median(rows, 'encode_s'))} ({rows[0]['timing']})"


def listed(names: Sequence[str]) -> str:
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


def mean_table(found: Measured, others: Iterable[Published]) -> BdTable:
    """Return the BD-rates of the mean curves: every codec, and published ones, against each."""
    lines = [
        (
            series.label,
            [
                Cell("")
                if peer == series
                else _cell(bd_rate(reference=found.curves[peer], test=curve))
                for peer in found.peers
            ],
        )
        for series, curve in found.curves.items()
    ]
    for other in others:
        differences = [
            bd_rate(reference=found.curves[peer], test=list(other.points)) for peer in found.peers
        ]
        lines.append((f"{other.name}, published", [_cell(each) for each in differences]))
    return BdTable("means over all pictures", found.peers, lines)


def image_table(found: Measured, reference: Series) -> BdTable:
    """Return the BD-rates of every picture against one codec, their mean, and the mean curve's."""
    series = [other for other in found.rows if other != reference]

    def differences(curves: Mapping[Series, Curve]) -> list[Difference | None]:
        return [
            bd_rate(reference=curves.get(reference, []), test=curves.get(other, []))
            for other in series
        ]

    by_image = {image: differences(found.by_image[image]) for image in found.images}
    lines = [(image, [_cell(each) for each in line]) for image, line in by_image.items()]
    means = [_mean_cell(column) for column in zip(*by_image.values(), strict=True)]
    lines.append(("mean of these", means))
    lines.append(("mean curve", [_cell(each) for each in differences(found.curves)]))
    return BdTable(reference.label, series, lines)


def mean_if_all(values: Sequence[float | None]) -> float | None:
    """Return the mean; None where there is no value, or one is None."""
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if len(known) == len(values) > 0 else None


def _mean_cell(found: Sequence[Difference | None]) -> Cell:
    """Return the mean over all pictures; a dash if one has none."""
    mean = mean_if_all([each and each.percent for each in found])
    return (
        _cell(None)
        if mean is None
        else _tinted(mean, f"{len(found)} picture{'s' * (len(found) > 1)}")
    )


def against_each(found: Measured, reference: Series) -> dict[Series, tuple[float, float]]:
    """Return (median seconds to encode, percent more bits than `reference`) of each series."""
    places = {reference: (median(found.rows[reference], "encode_s"), 0.0)}
    for series, rows in found.rows.items():
        difference = bd_rate(reference=found.curves[reference], test=found.curves[series])
        if series != reference and difference:
            places[series] = (median(rows, "encode_s"), difference.percent)
    return places


def times(found: Measured) -> list[dict[str, Any]]:
    """Return medians of time, the most memory, and the rate against the reference, by series."""
    lines = []
    reference = found.reference
    for series, rows in found.rows.items():
        difference = None
        if reference:
            difference = bd_rate(reference=found.curves[reference], test=found.curves[series])
        lines.append(
            {
                "series": series,
                "encode_s": median(rows, "encode_s"),
                "decode_s": median(rows, "decode_s"),
                "encode_in_process_s": in_process(rows, "encode"),
                "decode_in_process_s": in_process(rows, "decode"),
                "peak_mib": most(rows, "peak_mib"),
                "decode_peak_mib": most(rows, "decode_peak_mib"),
                "timing": listed(list(dict.fromkeys(row["timing"] for row in rows))),
                "against": Cell("") if series == reference else _cell(difference),
            }
        )
    return lines


def in_process(rows: Iterable[Row], which: str) -> float | None:
    """Return the median seconds to `encode` or `decode` within a process; None if not measured."""
    found = [
        row[f"{which}_s"] if row["timing"] == "in process" else row.get(f"{which}_in_process_s")
        for row in rows
    ]
    known = [value for value in found if value is not None]
    return float(statistics.median(known)) if known else None


def zooms(rows: Iterable[Row]) -> list[Zoom]:
    """Return what rows of zooms amount to, by series, scale and quality."""
    grouped: dict[tuple[Series, int, float], list[Row]] = {}
    for row in rows:
        if "enlarged" in row:
            settings = row["settings"]
            key = series_of(row), settings["zoom"], settings["quality"]
            grouped.setdefault(key, []).append(row)
    return [
        Zoom(
            *key,
            pictures=len(group),
            bpp=statistics.fmean(row["bpp"] for row in group),
            psnr_small=statistics.fmean(row["psnr"] for row in group),
            psnr={
                way: statistics.fmean(row["enlarged"][way]["psnr"] for row in group)
                for way in group[0]["enlarged"]
            },
        )
        for key, group in sorted(grouped.items(), key=lambda item: (item[0][0].order, item[0][1:]))
    ]


def most(rows: Iterable[Row], name: str) -> float | None:
    """Return the largest of a number that rows may lack; None where all do."""
    return max((float(row[name]) for row in rows if row.get(name) is not None), default=None)


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
