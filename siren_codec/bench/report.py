"""The report of a benchmark: one HTML file that needs nothing else, made of rows and their files.

jinja2 fills the page, matplotlib draws it, and Pillow encodes what our files are compared with at
equal size. Every figure on the page is a row's, a mean or median of rows, or a BD-rate of curves.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from siren_codec import output
from siren_codec.bench import comparison, plots, tables
from siren_codec.bench.codecs import CODECS, Codec
from siren_codec.bench.comparison import Comparison
from siren_codec.bench.curves import Measured, collect, series_of, setting
from siren_codec.bench.pictures import Pixels
from siren_codec.bench.published import BY_IMAGE, PUBLISHED, Published, applies, by_image
from siren_codec.bench.results import Row
from siren_codec.errors import SirenError, UsageError

__all__ = ["time_plot", "write"]

_SHOWN_BPP = 0.4
"""Of our files the one nearest to this rate is shown beside the others: differences can be seen."""

_COLUMNS = (
    ("bytes", "bytes", "{:,}"),
    ("bpp", "bpp", "{:.4f}"),
    ("psnr", "PSNR, dB", "{:.3f}"),
    ("ssim", "SSIM", "{:.4f}"),
    ("ms_ssim", "MS-SSIM", "{:.4f}"),
    ("ssimulacra2", "SSIMULACRA2", "{:.2f}"),
    ("encode_s", "encode, s", "{:.4f}"),
    ("decode_s", "decode, s", "{:.4f}"),
    ("peak_mib", "encode, MiB", "{:,.0f}"),
    ("decode_peak_mib", "decode, MiB", "{:,.0f}"),
)
"""The numbers of the table of every result: a row's key, the heading and the format."""

_LEAST_SECONDS = 1e-4
"""A clock may say 0, which has no place on a logarithmic axis."""


def write(rows: Sequence[Row], out: Path, originals: Mapping[str, Pixels]) -> Path:
    """Write OUT/report.html and return its path.

    `rows` are results whose files are below `out`, `originals` the pictures by name, uint8
    (height, width, 3): one that lacks is left out of the comparison at equal size. Raises
    UsageError where there are no rows, and SirenError where the page cannot be written.
    """
    if not rows:
        raise UsageError("expected results to report, found none")
    found = collect(rows)
    others = PUBLISHED if applies(found.images) else ()
    parts = {
        **_head(rows, found),
        **_curves(found, others),
        **_bd_rates(found, others),
        **_times(found),
        **_bytes(found),
        **_pictures(found, out, originals),
        **_results(rows, found),
        "zooms": tables.zooms(rows),
    }
    page = _environment().get_template("report.html.j2").render(parts, sections=_sections(parts))
    path = out / "report.html"
    output.write(path, page.encode(), force=True)
    return path


_HEADINGS = {
    "summary": ("Summary", "findings"),
    "rd": ("Rate and distortion", "small_plots"),
    "bd": ("BD-rates", "bd_images"),
    "time": ("Time", "times"),
    "zoom": ("Zoom", "zooms"),
    "bytes": ("Bytes", "part_plots"),
    "pictures": ("Pictures", "comparisons", "missing"),
    "results": ("All results", "results"),
    "about": ("Versions", "versions"),
}
"""The page's sections by their ids: what its links call them, and of what one of them has any."""


def _sections(parts: Mapping[str, Any]) -> dict[str, str]:
    """Return the sections that there is something for: names by id."""
    return {
        section: name
        for section, (name, *needs) in _HEADINGS.items()
        if any(parts[need] for need in needs)
    }


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("siren_codec.bench"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = tables.percent
    environment.filters["series"] = series_of
    environment.filters["setting"] = setting
    return environment


def _head(rows: Sequence[Row], found: Measured) -> dict[str, Any]:
    """Return what the page says of the run: each value once, in the order of the rows."""

    def each(name: str) -> list[str]:
        return list(dict.fromkeys(str(row[name]) for row in rows))

    dates = sorted(each("date"))
    versions: dict[str, dict[str, None]] = {}
    for row in sorted(rows, key=lambda row: series_of(row).order):
        versions.setdefault(series_of(row).label, {})[str(row["version"])] = None
    return {
        "dates": dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        "commits": each("commit"),
        "devices": each("device"),
        "commands": each("command"),
        "images": each("image"),
        "sizes": list(dict.fromkeys(f"{row['width']} x {row['height']}" for row in rows)),
        "counts": {"picture": len(each("image")), "codec": len(each("codec")), "file": len(rows)},
        "versions": {label: list(those) for label, those in versions.items()},
        "codecs": CODECS,
        "legend": [(series, plots.swatch(series, list(found.rows))) for series in found.rows],
    }


def _about(found: Measured) -> list[Codec]:
    """Return the codecs that have curves."""
    names = {series.codec for series in found.rows}
    return [codec for codec in CODECS if codec.name in names]


def _curves(found: Measured, others: Sequence[Published]) -> dict[str, Any]:
    """Return the curves, of the means and of each picture."""
    return {
        "rate_plots": _rate_plots(found, others),
        "small_plots": _small_plots(found),
        "published": others,
        "dashed": BY_IMAGE if any(image in by_image() for image in found.images) else "",
    }


def _bd_rates(found: Measured, others: Sequence[Published]) -> dict[str, Any]:
    """Return the tables of BD-rates, and what they amount to for ours."""
    comparable = len(found.rows) > 1 or others
    return {
        "findings": [
            (series, tables.findings(found, series), tables.standings(found, series))
            for series in found.ours
        ],
        "notes": [codec.note for codec in _about(found) if codec.note],
        "bd_mean": tables.mean_table(found, others),
        "bd_images": [tables.image_table(found, peer) for peer in found.peers if comparable],
    }


def _times(found: Measured) -> dict[str, Any]:
    """Return the table of times and memory, and the plot."""
    return {
        "times": tables.times(found),
        "reference": "" if found.reference is None else found.reference.label,
        "time_plot": time_plot(found),
    }


def _bytes(found: Measured) -> dict[str, Any]:
    """Return what the bytes of our files are for."""
    return {
        "parts": [(part, plots.PART_VARIABLES[part]) for part in _parts_present(found)],
        "part_plots": _part_plots(found),
        "part_rows": [(row, tables.parts(row)) for row in _rows_with_sections(found)],
    }


def _pictures(found: Measured, out: Path, originals: Mapping[str, Pixels]) -> dict[str, Any]:
    """Return the pictures at equal size."""
    comparisons, missing = _comparisons(found, out, originals)
    return {
        "comparisons": comparisons,
        "missing": missing,
        "peers": tables.listed([peer.label for peer in comparison.PEERS]),
        "shown_bpp": _SHOWN_BPP,
        "scale": comparison.SCALE,
    }


def _results(rows: Sequence[Row], found: Measured) -> dict[str, Any]:
    """Return the table of every result."""
    return {
        "results": [row for of_series in found.rows.values() for row in of_series],
        "columns": [column for column in _COLUMNS if any(column[0] in row for row in rows)],
        "meanings": [codec for codec in _about(found) if codec.quality_meaning],
    }


def _rate_plots(found: Measured, others: Sequence[Published]) -> list[Markup]:
    """Return the plots of PSNR and of MS-SSIM, or of SSIM where pictures are too small for it."""
    published = {other.name: other.points for other in others}
    if not any(found.curves.values()):
        return []
    made = [plots.rate_distortion("psnr", "PSNR, dB", found.curves, published)]
    for name, title in (("ms_ssim", "MS-SSIM"), ("ssim", "SSIM")):
        similar = {
            series: [
                (mean.bpp, plots.decibels(value))
                for mean in means
                if (value := getattr(mean, name)) is not None
            ]
            for series, means in found.means.items()
        }
        if any(similar.values()):
            measure = f"{title} as \N{MINUS SIGN}10 log10(1 \N{MINUS SIGN} {title}), dB"
            made.append(plots.rate_distortion(name, measure, similar))
            break
    return made


def _small_plots(found: Measured) -> list[tuple[str, Markup]]:
    """Return each picture's plot, all on the same axes."""
    every = [
        point for curves in found.by_image.values() for curve in curves.values() for point in curve
    ]
    if not every:
        return []
    rates, psnrs = zip(*every, strict=True)
    limits = (min(rates), max(rates), min(psnrs), max(psnrs))
    series = list(found.rows)
    made = []
    for index, image in enumerate(found.images):
        curves = found.by_image[image]
        other = by_image().get(image, ())
        svg = plots.small_rate_distortion(f"rd{index}", image, curves, series, limits, other)
        made.append((image, svg))
    return made


def time_plot(found: Measured, name: str = "time") -> Markup | None:
    """Return encode time against bits saved over the reference; None without anything beside it."""
    if found.reference is None:
        return None
    places = {
        series: (max(seconds, _LEAST_SECONDS), percent)
        for series, (seconds, percent) in tables.against_each(found, found.reference).items()
    }
    if len(places) < 2:
        return None
    return plots.time_against_saving(name, places, found.reference.label)


def _rows_with_sections(found: Measured) -> list[Row]:
    return [row for series in found.ours for row in found.rows[series] if row.get("sections")]


def _parts_present(found: Measured) -> list[str]:
    present = {part for row in _rows_with_sections(found) for part in tables.parts(row)}
    return [part for part in tables.PARTS if part in present]


def _part_plots(found: Measured) -> list[tuple[str, list[tuple[str, Markup]]]]:
    """Return the bars of each of our series, picture by picture, all on one scale."""
    most = max((row["bytes"] for row in _rows_with_sections(found)), default=0)
    made = []
    for series in found.ours:
        rows = [row for row in found.rows[series] if row.get("sections")]
        bars = []
        for index, image in enumerate(found.images):
            files = [(setting(row), tables.parts(row)) for row in rows if row["image"] == image]
            if files:
                name = f"parts-{series.key}-{index}"
                bars.append((image, plots.part_bars(name, image, files, most)))
        if bars:
            made.append((series.label, bars))
    return made


def _comparisons(
    found: Measured, out: Path, originals: Mapping[str, Pixels]
) -> tuple[list[Comparison], list[str]]:
    """Return the comparison of each picture, and why a picture has none, a line each."""
    chosen, missing = [], []
    for image in found.images:
        row = _shown_row(found, image)
        if row is None:
            missing.append(f"{image}: no file of ours.")
        elif image not in originals:
            missing.append(f"{image}: the original is not at hand.")
        else:
            chosen.append(row)
    side = comparison.side_for(len(chosen))
    made = []
    for row in chosen:
        image = row["image"]
        rows = [other for peer in found.peers for other in found.rows[peer]]
        measured = [other for other in rows if other["image"] == image]
        try:
            made.append(comparison.compare(row, out, originals[image], side, measured))
        except SirenError as error:
            missing.append(f"{image}: {error}.")
    return made, missing


def _shown_row(found: Measured, image: str) -> Row | None:
    """Return the row of a picture that is shown: of our first series that has the picture."""
    for series in found.ours:
        rows = [row for row in found.rows[series] if row["image"] == image]
        if rows:
            return min(rows, key=lambda row: abs(float(row["bpp"]) - _SHOWN_BPP))
    return None
