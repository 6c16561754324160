"""Plots as SVG that stands inside a page and takes its colours and its font from there.

matplotlib draws them. Every colour is a stand-in that becomes a CSS variable, so that one drawing
serves light and dark pages; the lines of a series carry its class, so that the page can hide them.
"""

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import pairwise
from typing import Any

from markupsafe import Markup

from siren_codec.bench.codecs import CODECS
from siren_codec.bench.curves import Curve, Series
from siren_codec.bench.tables import PARTS

__all__ = [
    "DASHES",
    "PART_VARIABLES",
    "decibels",
    "part_bars",
    "rate_distortion",
    "small_rate_distortion",
    "standalone",
    "swatch",
    "time_against_saving",
]

DASHES = ("-", (0, (4, 1.5)), (0, (2, 1.2)), (0, (1, 1)))
"""Line styles of our efforts, the most effort first."""

PART_VARIABLES = {
    **{part: f"--s-{part.replace(' ', '-')}" for part in PARTS},
    "other latents": "--s-grid-x",
    "checksum": "--s-header",
}
"""The colour of a part of a file."""

_VARIABLES = list(
    dict.fromkeys(
        [
            "--ink",
            "--quiet",
            "--line",
            "--paper",
            "--c-other",
            *(f"--c-{codec.name}" for codec in CODECS),
            *PART_VARIABLES.values(),
        ]
    )
)
_TEXT = 12
"""Size of all text, in the units of the drawing."""

_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
_SECONDS = (0.001, 0.01, 0.1, 1, 10, 100, 1000, 10000)


def decibels(similarity: float) -> float:
    """Return an SSIM or MS-SSIM as -10 log10(1 - s) dB, at most 60."""
    return min(-10 * math.log10(max(1 - similarity, 1e-6)), 60.0)


def _colour(variable: str) -> str:
    """Return the stand-in of a CSS variable: a colour that nothing else has."""
    return f"#fe{_VARIABLES.index(variable):02x}fe"


def _colour_of(series: Series) -> str:
    return _colour("--c-other" if series.about is None else f"--c-{series.codec}")


def _marker_of(series: Series) -> str:
    """Return a codec's marker: it is told by it too, not by its colour alone."""
    return "." if series.about is None else series.about.marker


def _figure(width: float, height: float) -> tuple[Any, Any]:
    """Return a figure of inches with axes that have their grid, and no frame but the base line."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=72)
    axis = figure.subplots()
    figure.patch.set_alpha(0)
    axis.patch.set_alpha(0)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)
    axis.spines["bottom"].set_color(_colour("--quiet"))
    axis.grid(color=_colour("--line"), linewidth=0.7)
    axis.set_axisbelow(True)
    axis.tick_params(which="both", length=0, labelsize=_TEXT, labelcolor=_colour("--quiet"), pad=5)
    return figure, axis


def _titles(axis: Any, *, x: str = "", y: str = "") -> None:
    """Name the axes: y above its axis, where it can be read without turning the head."""
    axis.set_xlabel(x, fontsize=_TEXT, color=_colour("--quiet"), labelpad=6)
    axis.set_title(y, fontsize=_TEXT, color=_colour("--quiet"), loc="left", x=0, pad=9)


def _svg(figure: Any, name: str, label: str) -> Markup:
    """Return the figure as an <svg> with a label for those who cannot see it, or hidden to them."""
    import matplotlib as mpl

    text = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata=nothing)
    _, _, body = text.getvalue().partition("<svg ")
    box = re.search(r'viewBox="[^"]*"', body)
    assert box, "matplotlib writes a viewBox"
    body = body[body.index(">") + 1 :]
    body = re.sub(r' id="series:([^"]*)"', r' class="series \1"', body)
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    # Names of clips and markers hold for the whole page.
    body = re.sub(r'id="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\1{name}-", body)
    for index, variable in enumerate(_VARIABLES):
        body = body.replace(f"#fe{index:02x}fe", f"var({variable})")
    role = f'role="img" aria-label="{Markup.escape(label)}"' if label else 'aria-hidden="true"'
    return Markup(f'<svg {box[0]} {role} class="plot">{body.strip()}')


def _log_ticks(axis: Any, name: str, ticks: Sequence[float], unit: str = "") -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    getattr(axis, f"set_{name}scale")("log")
    found = getattr(axis, f"{name}axis")
    found.set_major_locator(FixedLocator(list(ticks)))
    found.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}{unit}"))
    found.set_minor_locator(NullLocator())


def _dash(series: Series, efforts: Sequence[Series]) -> Any:
    """Return the line's style: solid for the most effort, and for all other codecs."""
    same = [other for other in efforts if other.codec == series.codec]
    return DASHES[min(same.index(series), len(DASHES) - 1)]


def _line(axis: Any, series: Series, curve: Curve, every: Sequence[Series], size: float) -> None:
    if not curve:
        return
    colour = _colour_of(series)
    for zorder, marker in ((2, "None"), (3, _marker_of(series))):
        (line,) = axis.plot(
            *zip(*curve, strict=True),
            linestyle=_dash(series, every) if marker == "None" else "None",
            marker=marker,
            color=colour,
            linewidth=size * (2.6 if series.is_ours else 1.6),
            markersize=size * (8 if series.is_ours else 7),
            markeredgecolor=_colour("--paper"),
            markeredgewidth=0.8 * size,
            zorder=zorder + (2 if series.is_ours else 0),
        )
        line.set_gid(f"series:s-{series.key}")


def swatch(series: Series, every: Sequence[Series]) -> Markup:
    """Return the line and the marker of a series, for a legend; the text beside it says which."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(0.5, 0.18), dpi=72)
    figure.patch.set_alpha(0)
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.axis("off")
    axis.set(xlim=(-1, 1), ylim=(-1, 1))
    colour, width = _colour_of(series), 2.6 if series.is_ours else 1.6
    axis.plot([-1, 1], [0, 0], linestyle=_dash(series, every), color=colour, linewidth=width)
    marker = _marker_of(series)
    axis.plot([0], [0], marker, color=colour, markersize=8, markeredgecolor=_colour("--paper"))
    return _svg(figure, f"swatch-{series.key}", "")


def _decibel_ticks(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))


def rate_distortion(
    name: str,
    measure: str,
    curves: Mapping[Series, Curve],
    published: Mapping[str, Curve] = {},
    *,
    legend: bool = False,
) -> Markup:
    """Return curves over a logarithmic rate; `published` ones are dashed, and numbered from 1.

    The `legend` is for a drawing that stands alone; a page has its own.
    """
    figure, axis = _figure(7.6, 5.4)
    every = list(curves)
    _published(axis, published.values())
    for series, curve in curves.items():
        _line(axis, series, curve, every, 1)
    _log_ticks(axis, "x", _TICKS)
    _decibel_ticks(axis)
    _titles(axis, x="bits per pixel, logarithmic", y=measure)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.92, bottom=0.125)
    if legend:
        figure.set_figwidth(10.4)
        figure.subplots_adjust(left=0.05, right=0.74)
        _legend(axis, every, published)
    names = ", ".join(series.label for series in curves)
    return _svg(figure, name, f"{measure} against bits per pixel: {names}; the tables have both")


def _published(axis: Any, curves: Iterable[Curve]) -> None:
    """Draw curves that were not measured here: dashed, with their numbers at their ends."""
    for number, curve in enumerate(curves, 1):
        axis.plot(
            *zip(*sorted(curve), strict=True),
            color=_colour("--quiet"),
            **_DASHED,
        )
        axis.annotate(
            str(number),
            max(curve),
            ha="center",
            va="center_baseline",
            fontsize=_TEXT - 2,
            color=_colour("--quiet"),
            zorder=6,
            bbox={
                "boxstyle": "circle,pad=0.18",
                "facecolor": _colour("--paper"),
                "edgecolor": _colour("--quiet"),
                "linewidth": 0.8,
            },
        )


_DASHED: dict[str, Any] = {"linestyle": (0, (4, 2.5)), "linewidth": 1, "zorder": 1}
"""Of what was not measured here."""


def _legend(axis: Any, every: Sequence[Series], published: Iterable[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [],
            [],
            color=_colour_of(series),
            marker=_marker_of(series),
            linestyle=_dash(series, every),
            markeredgecolor=_colour("--paper"),
            markersize=8,
            label=series.label,
        )
        for series in every
    ]
    for number, name in enumerate(published, 1):
        label = f"{number}  {name}, published"
        handles.append(
            Line2D([], [], color=_colour("--quiet"), linestyle=(0, (4, 2.5)), label=label)
        )
    axis.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=(1.01, 0.5),
        frameon=False,
        fontsize=_TEXT - 2,
        labelcolor=_colour("--ink"),
    )


def standalone(drawing: Markup) -> str:
    """Return a drawing as a file of its own, on white, with the colours of a light page."""
    css = (files("siren_codec.bench") / "templates" / "report.css").read_text(encoding="utf-8")
    light, _, _ = css.partition("@media")
    colours = dict(re.findall(r"(--[\w-]+): (#\w+)", light))
    colours |= {f"--c-{codec.name}": codec.colours[0] for codec in CODECS}
    text = re.sub(r"var\((--[\w-]+)\)", lambda found: colours[found[1]], drawing)
    box = re.search(r'viewBox="([^"]*)"', text)
    assert box, "matplotlib writes a viewBox"
    _, _, width, height = box[1].split()
    head = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
    back = f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
    text = text.replace(
        "<svg ", head + f'width="{width}" height="{height}" font-family="sans-serif" ', 1
    )
    start = text.index(">") + 1
    return f"{text[:start]}{back}{text[start:]}\n"


def small_rate_distortion(
    name: str,
    image: str,
    curves: Mapping[Series, Curve],
    every: Sequence[Series],
    limits: tuple[float, ...],
    published: Curve = (),
) -> Markup:
    """Return a picture's curves, of a size and with axes that all pictures share.

    `every` are the series of all pictures; `limits` are the least and the most bpp, and the least
    and the most PSNR. The `published` curve is dashed.
    """
    figure, axis = _figure(5, 3.7)
    if published:
        axis.plot(*zip(*published, strict=True), color=_colour("--quiet"), **_DASHED)
    for series, curve in curves.items():
        _line(axis, series, curve, every, 0.8)
    axis.set_xlim(limits[0] / 1.15, limits[1] * 1.15)
    _log_ticks(axis, "x", [tick for tick in _TICKS if limits[0] / 1.15 <= tick <= limits[1] * 1.15])
    axis.set_ylim(limits[2] - 1, limits[3] + 1)
    _decibel_ticks(axis)
    axis.tick_params(labelsize=_TEXT)
    figure.subplots_adjust(left=0.085, right=0.97, top=0.97, bottom=0.1)
    return _svg(figure, name, f"{image}: PSNR in dB against bits per pixel, logarithmic")


def time_against_saving(
    name: str, places: Mapping[Series, tuple[float, float]], anchor: str
) -> Markup:
    """Return where each series stands: (seconds to encode a picture, percent more bits)."""
    figure, axis = _figure(10.2, 5.2)
    dots = {series: (seconds, -percent) for series, (seconds, percent) in places.items()}
    axis.axhline(0, color=_colour("--quiet"), linewidth=1, zorder=1)
    links = []
    for codec in dict.fromkeys(series.codec for series in dots):
        same = [dot for series, dot in dots.items() if series.codec == codec]
        if len(same) > 1:
            axis.plot(*zip(*same, strict=True), color=_colour_of(Series(codec)), linewidth=1)
            links.append(same)
    for series, (seconds, saved) in dots.items():
        (dot,) = axis.plot(
            [seconds],
            [saved],
            marker=_marker_of(series),
            linestyle="None",
            color=_colour_of(series),
            markersize=11 if series.is_ours else 9,
            markeredgecolor=_colour("--paper"),
            zorder=3,
        )
        dot.set_gid(f"series:s-{series.key}")
    times = [seconds for seconds, _ in dots.values()]
    axis.set_xlim(min(times) / 4, max(times) * 4)
    axis.margins(y=0.18)
    _log_ticks(axis, "x", _SECONDS, " s")
    axis.yaxis.set_major_formatter(lambda value, _: _signed(value))
    _titles(
        axis,
        x="time to encode a picture, logarithmic",
        y=f"bits saved against {anchor} at equal PSNR",
    )
    figure.subplots_adjust(left=0.075, right=0.98, top=0.92, bottom=0.13)
    _name_dots(figure, axis, {series.label: dot for series, dot in dots.items()}, links)
    return _svg(figure, name, f"Encoding time against bits saved over {anchor}; the table has both")


def _signed(percent: float) -> str:
    return "0%" if percent == 0 else f"{percent:+.0f}%".replace("-", "\N{MINUS SIGN}")


def _name_dots(
    figure: Any, axis: Any, dots: Mapping[str, tuple[float, float]], links: Sequence[Curve]
) -> None:
    """Write each name beside its dot, where neither another name nor a dot nor a link is.

    Where every place is taken it stands at the last one.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    renderer = FigureCanvasAgg(figure).get_renderer()  # type: ignore[no-untyped-call]
    drawn = [*links, *([dot] for dot in dots.values())]
    taken = [box for curve in drawn for box in _boxes(axis, curve)]
    for name, dot in dots.items():
        for place in _BESIDE:
            text = axis.annotate(
                name,
                dot,
                xytext=place[:2],
                textcoords="offset points",
                ha=place[2],
                va=place[3],
                fontsize=_TEXT,
                color=_colour("--ink"),
            )
            box = text.get_window_extent(renderer)
            if place == _BESIDE[-1] or not box.count_overlaps(taken):
                break
            text.remove()
        taken.append(box)


def _boxes(axis: Any, curve: Curve) -> list[Any]:
    """Return boxes along a drawn curve, a few pixels wide, for names to keep clear of."""
    from matplotlib.transforms import Bbox

    spots = axis.transData.transform(curve)
    boxes = [Bbox.from_extents(x - 7, y - 7, x + 7, y + 7) for x, y in spots]
    for (a, b), (c, d) in pairwise(spots):
        for part in (0.2, 0.4, 0.6, 0.8):
            x, y = a + part * (c - a), b + part * (d - b)
            boxes.append(Bbox.from_extents(x - 3, y - 3, x + 3, y + 3))
    return boxes


_BESIDE = (
    (0, 9, "center", "bottom"),
    (0, -9, "center", "top"),
    (10, 0, "left", "center"),
    (-10, 0, "right", "center"),
    (0, 24, "center", "bottom"),
)
"""Where a dot's name may stand: offsets in points, and its alignment; the first is preferred."""


def part_bars(
    name: str, image: str, files: Sequence[tuple[str, Mapping[str, int]]], most: int
) -> Markup:
    """Return a bar for each of a picture's files, stacked by what its bytes are for.

    `files` have a name and the bytes of their parts; `most` is where the axis ends, in bytes.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axis = _figure(5, 0.4 + 0.3 * len(files))
    for place, (_, parts) in enumerate(files):
        left = 0
        for part, count in parts.items():
            axis.barh(
                place,
                count,
                left=left,
                height=0.7,
                color=_colour(PART_VARIABLES[part]),
                edgecolor=_colour("--paper"),
                linewidth=0.4,
            )
            left += count
    axis.set_yticks(range(len(files)), [label for label, _ in files])
    axis.invert_yaxis()
    axis.set_xlim(0, most)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axis.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g} kB" if value else "0")
    axis.tick_params(labelsize=_TEXT)
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.2, right=0.95, top=1 - 0.02 / height, bottom=0.32 / height)
    return _svg(figure, name, f"{image}: bytes by part of the file, for each quality")
