"""The README's tables, made from the records in benchmarks/results.

`python -m benchmarks.tables` rewrites what stands in README.md between `<!-- table: NAME -->` and
`<!-- end -->`; with `--check` it only tells whether that would change anything. So no figure of
these tables is typed by hand.
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from benchmarks import commands, rate_distortion
from benchmarks.commands import Row
from benchmarks.environment import RESULTS
from siren_codec import metrics
from siren_codec.bench import bd
from siren_codec.bench.results import Results, latest
from siren_codec.options import Options

__all__ = ["README", "TABLES", "main", "rewritten"]

README = Path(__file__).parents[1] / "README.md"

_MARKED = re.compile(r"(?s)(<!-- table: (\S+) -->\n).*?(<!-- end -->\n)")
_JPEG = "JPEG, qualities 10 to 90"
RECORD = RESULTS / "kodak7-cpu.jsonl"
"""`siren-bench` over Kodak 03 05 08 13 15 19 23, as it wrote it."""
PEER_NAMES = ("jpeg", "jxl", "jpeg2000", "webp", "avif")
_TITLES = {
    "jpeg": "JPEG (optimised, progressive)",
    "jxl": "JPEG XL",
    "jpeg2000": "JPEG 2000",
    "webp": "WebP (method 6)",
    "avif": "AVIF (4:4:4, speed 4)",
}
_LEAST_QUALITY = 14
"""Below what JPEG reaches well; the BD-rate is given without it too."""


def rewritten(text: str, tables: Mapping[str, Callable[[], str]]) -> str:
    """Return a text with its marked parts made anew. Raises ClickException for other names."""
    found = [name for _, name, _ in _MARKED.findall(text)]
    if sorted(found) != sorted(tables):
        expected = ", ".join(sorted(tables))
        raise click.ClickException(
            f"expected the tables {expected}, found {', '.join(sorted(found))}"
        )
    return _MARKED.sub(lambda part: f"{part[1]}\n{tables[part[2]]()}\n{part[3]}", text)


def _table(headings: Sequence[str], alignment: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a table; `alignment` has an l or an r for each column."""
    rule = "|".join("---:" if side == "r" else "---" for side in alignment)
    lines = [f"| {' | '.join(headings)} |", f"|{rule}|"]
    for cells in rows:
        # An empty cell is a single space.
        lines.append("|" + "|".join(f" {cell} " if cell else " " for cell in cells) + "|")
    return "\n".join(lines) + "\n"


def _quality() -> str:
    found = _kodak7()
    means = found.means
    rows = []
    for mean in means:
        name = f"{mean.quality:g}" + (" (default)" if mean.quality == Options().quality else "")
        savings = [
            rate_distortion.against(found.curves[codec], bpp=mean.bpp, psnr=mean.psnr)
            for codec in ("JPEG", "WEBP", "AVIF")
        ]
        percents = ["-" if value is None else f"{value:+.1f}%" for value in savings]
        rows.append([name, f"{mean.bpp:.3f}", f"{mean.psnr:.2f} dB", *percents])
    ours = [(mean.bpp, mean.psnr) for mean in means]
    fewer = [(mean.bpp, mean.psnr) for mean in means if mean.quality != _LEAST_QUALITY]
    whole, without, webp, avif = (
        f"{metrics.bd_rate(reference=found.curves[_JPEG], test=curve):+.1f}%"
        for curve in (ours, fewer, found.curves["WEBP"], found.curves["AVIF"])
    )
    jpeg = f"**{whole}**; {without} without `-q {_LEAST_QUALITY}`"
    rows.append(["**BD-rate**", "", "", jpeg, f"(WebP's: {webp})", f"(AVIF's: {avif})"])
    headings = ["`-q`", "bpp", "PSNR", "rate against JPEG", "against WebP", "against AVIF"]
    return _table(headings, "rrrrrr", rows)


def _kodak7() -> rate_distortion.Report:
    """Return the report of siren-bench's record over seven Kodak pictures."""
    rows = _record()
    ours = [_as_row(row, "siren_codec") for row in rows if row["codec"] == "grid"]
    others = [
        _as_row(row, row["codec"].upper())
        for row in rows
        if row["codec"] in ("jpeg", "webp", "avif")
    ]
    images = sorted({row["image"] for row in ours})
    return rate_distortion.report("Kodak 03 05 08 13 15 19 23", images, ours, others)


def _record() -> list[Row]:
    return [dict(row) for row in latest(Results(RECORD).rows)]


def _as_row(row: Mapping[str, Any], codec: str) -> Row:
    return {**row, "codec": codec, "quality": row["settings"]["quality"]}


def _peers() -> str:
    """Return our BD-rates against every codec, of the mean curves and of single pictures."""
    found = [delta for delta in bd.deltas(_record()) if delta.test == "grid e4"]
    rows = []
    for name in PEER_NAMES:
        ours = [delta for delta in found if delta.reference == name and delta.percent is not None]
        mean = next(delta for delta in ours if delta.image is None)
        by_image = sorted((x.percent or 0.0, x.image or "") for x in ours if x.image)
        best, worst = by_image[0], by_image[-1]
        rows.append(
            [
                _TITLES[name],
                f"{mean.percent:+.1f}%",
                f"{statistics.fmean(percent for percent, _ in by_image):+.1f}%",
                f"{mean.low:.1f} to {mean.high:.1f} dB",
                f"{best[0]:+.1f}% ({best[1]})",
                f"{worst[0]:+.1f}% ({worst[1]})",
            ]
        )
    headings = [
        "BD-rate against",
        "mean curve",
        "mean of the pictures",
        "over",
        "best picture",
        "worst picture",
    ]
    return _table(headings, "lrrrrr", rows)


def _efforts() -> str:
    by_effort: dict[int, list[Row]] = {}
    records = commands.read_rows(RESULTS / "efforts.json")
    last = {(row["effort"], row["quality"], row["image"]): row for row in records}
    for (effort, quality, _), row in last.items():
        if quality == Options().quality:
            by_effort.setdefault(effort, []).append(row)
    rows = []
    for effort, group in sorted(by_effort.items()):
        bpp, psnr, j = (
            statistics.fmean(row[name] for row in group) for name in ("bpp", "psnr", "j")
        )
        rows.append(
            [
                f"{effort}" + (" (default)" if effort == Options().effort else ""),
                f"{statistics.median(row['encode_s'] for row in group):.1f}",
                f"{bpp:.3f}",
                f"{psnr:.2f} dB",
                f"{j:.3f}",
            ]
        )
    return _table(["`-e`", "s", "bpp", "PSNR", "J"], "rrrrr", rows)


def _coordinate() -> str:
    last = {row["image"]: row for row in _lines(RESULTS / "weights.jsonl")}
    rows = [
        [
            image.removeprefix("kodim").removesuffix(".png"),
            f"{row['bytes']:,}",
            f"{row['bpp']:.3f}",
            f"{row['bits_per_weight']:.2f}",
            f"{row['psnr_real']:.2f} / {row['psnr_real_all_steps']:.2f} dB",
            f"**{row['psnr']:.2f} dB**",
            f"{row['jpeg_psnr']:.2f} dB, {row['jpeg_bytes']:,} bytes",
        ]
        for image, row in sorted(last.items())
    ]
    headings = ["Kodak", "bytes", "bpp", "bits/weight", "real, then / all steps", "the file"]
    return _table([*headings, "JPEG"], "lrrrrrr", rows)


def _times() -> str:
    records = {row["what"]: row for row in _lines(RESULTS / "speed.jsonl")}
    grid = next(what for what in reversed(records) if what.startswith("decode grid "))
    grid = grid.partition(":")[0]
    names = (grid, "decode 10x28")
    size = records[f"{grid}: read"]
    length = int(grid.split()[-2])
    bpp = metrics.bpp(file_bytes=length, width=size["width"], height=size["height"])

    def seconds(what: str, digits: int = 2) -> str:
        return f"{records[what]['median']:.{digits}f} s"

    def both(what: str, digits: int = 2) -> list[str]:
        return [seconds(f"{name}: {what}", digits) for name in names]

    unpacking = next(what for what in records if what.startswith(f"{grid}: of it, "))
    large, coordinate = both("siren-decode --scale 4, fresh process, PNG written", 1)
    memory = records[f"{grid}: siren-decode --scale 4, peak memory"]["mib"]
    larger = f"{4 * size['width']} x {4 * size['height']}"
    whole = "siren-decode, fresh process, PNG written"
    rows = [
        ["`siren-decode`, fresh process, PNG written", *both(whole)],
        ["of it, range decoding of the grids", seconds(unpacking), "-"],
        ["of it, rendering", *both("render")],
        [
            f"`siren-decode --scale 4` ({larger}), fresh process, PNG written",
            f"{large}, {memory:.0f} MB",
            coordinate,
        ],
        [
            "a step of the fit over all pixels, by the kernels (by torch)",
            *(
                f"{seconds(f'{step}: step, kernels')} ({seconds(f'{step}: step, torch')})"
                for step in ("fit grid 2x32, 768x512", "fit coordinate 10x28, 768x512")
            ),
        ],
    ]
    headings = [f"{size['width']} x {size['height']}", f"`grid`, {bpp:.2f} bpp"]
    return _table([*headings, "`coordinate`, 10 x 28"], "lrr", rows)


def _cameraman() -> str:
    record = json.loads((RESULTS / "cameraman.json").read_text(encoding="utf-8"))
    rows = []
    for best in record["best"]:
        name = best["activation"]
        values = [best["psnr"][of] for of in ("image", "gradient_exact", "laplacian_exact")]
        rows.append(
            ["a constant" if name == "constant" else name, *(f"{value:.2f}" for value in values)]
        )
    return _table(["PSNR, dB", "image", "gradient", "Laplacian"], "lrrr", rows)


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


TABLES: dict[str, Callable[[], str]] = {
    "quality": _quality,
    "peers": _peers,
    "efforts": _efforts,
    "coordinate": _coordinate,
    "times": _times,
    "cameraman": _cameraman,
}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail where README.md would change.")
def main(check: bool) -> None:
    """Make the tables of README.md, and its curve, anew from benchmarks/results."""
    before = README.read_text(encoding="utf-8")
    after = rewritten(before, TABLES)
    if check and after != before:
        raise click.ClickException(
            "README.md: expected the tables of benchmarks/results, found others; "
            "python -m benchmarks.tables"
        )
    if not check:
        if after != before:
            README.write_text(after, encoding="utf-8")
        rate_distortion.draw(_kodak7(), RECORD.with_suffix(".png"))


if __name__ == "__main__":
    main()
