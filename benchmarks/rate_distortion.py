"""How many bits a picture takes, and how well it comes back: beside JPEG, WebP and AVIF.

Every figure is of a real file: its length, the integer pixels that siren-decode wrote as a PNG, and
the wall clock of the whole processes, both fresh. JPEG (optimised, progressive), WebP (method 6)
and AVIF (4:4:4, speed 4) are Pillow's, of the same pictures. A codec's mean curve is the mean of
bpp and of PSNR over the pictures, quality by quality. "Against JPEG" is our rate less JPEG's at our
PSNR, in percent of JPEG's, which lies between its measured points by PCHIP on the logarithm of the
rate; a dash where its points do not reach our PSNR. BD-rates are against JPEG's qualities 10 to 90.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from benchmarks import commands
from benchmarks.anchors import JPEG_FOR_BD, measure_anchors
from benchmarks.commands import Numbers, Row, Settings
from benchmarks.environment import RESULTS, describe
from siren_codec import metrics
from siren_codec.bench import published
from siren_codec.errors import UsageError
from siren_codec.limits import QUALITIES
from siren_codec.options import DEFAULT_QUALITY, DEVICES, EFFORTS, Options

__all__ = [
    "Curve",
    "Mean",
    "Report",
    "against",
    "draw",
    "main",
    "markdown",
    "mean_curve",
    "order",
    "report",
]

Curve = list[tuple[float, float]]
_TARGETS = {"JPEG": -100 / 3, "WEBP": 0.0}
"""Percent against a codec that every picture is to stay below: a third less than JPEG."""

_OURS = "siren_codec"
_PUBLISHED: dict[str, Curve] = {one.name: list(one.points) for one in published.PUBLISHED}
_OTHERS = ("JPEG", "WEBP", "AVIF")


@dataclass(frozen=True)
class Mean:
    """What a codec does at one quality, over all pictures."""

    quality: float
    bpp: float
    psnr: float
    ssim: float | None
    encode_s: float
    """Median."""
    decode_s: float
    """Median."""


@dataclass(frozen=True)
class Report:
    """All that a run says: `ours` are its rows, the others what they are held against."""

    name: str
    images: tuple[str, ...]
    ours: list[Row]
    means: list[Mean]
    curves: dict[str, Curve]
    """Mean curves; published ones are among them if the pictures are all of Kodak."""
    by_image: dict[str, dict[str, Curve]]
    """The other codecs' curves, by picture."""


def mean_curve(rows: Iterable[Row], images: Sequence[str]) -> list[Mean]:
    """Return the means of every quality that all the pictures have, by rising quality."""
    by_quality: dict[float, dict[str, Row]] = {}
    for row in rows:
        by_quality.setdefault(row["quality"], {})[row["image"]] = row
    return [
        _mean(quality, [found[image] for image in images])
        for quality, found in sorted(by_quality.items())
        if set(images) <= set(found)
    ]


def _mean(quality: float, rows: list[Row]) -> Mean:
    values = {name: [row[name] for row in rows] for name in Mean.__annotations__}
    ssim = None if None in values["ssim"] else statistics.fmean(values["ssim"])
    return Mean(
        quality,
        bpp=statistics.fmean(values["bpp"]),
        psnr=statistics.fmean(values["psnr"]),
        ssim=ssim,
        encode_s=statistics.median(values["encode_s"]),
        decode_s=statistics.median(values["decode_s"]),
    )


def against(curve: Curve, *, bpp: float, psnr: float) -> float | None:
    """Return how many percent more bits we take than the codec at our PSNR; None out of range."""
    try:
        return 100 * (bpp / metrics.rate_at(points=curve, psnr=psnr) - 1)
    except UsageError:
        return None


def report(name: str, images: Sequence[str], ours: list[Row], anchors: list[Row]) -> Report:
    """Put our rows and the anchors' together."""
    means = mean_curve(ours, images)
    curves = {_OURS: [(mean.bpp, mean.psnr) for mean in means]}
    by_image: dict[str, dict[str, Curve]] = {image: {} for image in images}
    for codec in _OTHERS:
        rows = [row for row in anchors if row["codec"] == codec and row["image"] in by_image]
        if not rows:
            continue
        curves[codec] = [(mean.bpp, mean.psnr) for mean in mean_curve(rows, images)]
        for row in rows:
            points = by_image[row["image"]].setdefault(codec, [])
            points.append((row["bpp"], row["psnr"]))
    if published.applies(Path(image).stem for image in images):
        curves |= _PUBLISHED
    jpeg = [row for row in anchors if row["codec"] == "JPEG" and row["quality"] in JPEG_FOR_BD]
    curves[_JPEG_BD] = [(mean.bpp, mean.psnr) for mean in mean_curve(jpeg, images)]
    return Report(name, tuple(images), ours, means, curves, by_image)


_JPEG_BD = "JPEG, qualities 10 to 90"


def markdown(found: Report) -> str:
    """Return the report as a page of Markdown."""
    plural = "s" if len(found.images) > 1 else ""
    parts = [
        f"# Rate and distortion: {found.name}\n",
        (__doc__ or "").partition("\n\n")[2],
        commands.origin(found.ours) + "\n" if found.ours else "Nothing measured yet.\n",
        f"## Means over {len(found.images)} picture{plural}\n",
        _means_table(found),
        "## BD-rate against JPEG\n",
        _bd_table(found.curves),
        "## Each picture\n",
        _verdict(found),
        _image_table(found),
    ]
    return "\n".join(parts)


def _means_table(found: Report) -> str:
    headings = ["quality", "bpp", "PSNR, dB", "SSIM", *map(_against, _OTHERS)]
    rows = [
        [
            f"{mean.quality:g}",
            f"{mean.bpp:.3f}",
            f"{mean.psnr:.2f}",
            "-" if mean.ssim is None else f"{mean.ssim:.4f}",
            *(
                _percent(against(found.curves.get(codec, []), bpp=mean.bpp, psnr=mean.psnr))
                for codec in _OTHERS
            ),
            f"{mean.encode_s:.1f}",
            f"{mean.decode_s:.2f}",
        ]
        for mean in found.means
    ]
    return commands.table([*headings, "encode, median s", "decode, median s"], rows)


def _bd_table(curves: dict[str, Curve]) -> str:
    rows = []
    for codec, curve in curves.items():
        if codec in ("JPEG", _JPEG_BD):
            continue
        try:
            value = f"{metrics.bd_rate(reference=curves[_JPEG_BD], test=curve):+.1f}%"
        except UsageError:
            value = "-"
        points = " ".join(f"{rate:.3f}/{psnr:.2f}" for rate, psnr in curve)
        rows.append([_title(codec), value, points])
    return commands.table(["codec", "BD-rate", "bpp/dB"], rows)


def _image_table(found: Report) -> str:
    headings = ["picture", "quality", "bytes", "bpp", "PSNR, dB", "SSIM", "against JPEG"]
    headings += ["a third less", "against WebP", "less", "encode, s", "decode, s"]
    rows = []
    for row in sorted(found.ours, key=lambda row: (row["image"], row["quality"])):
        jpeg, webp = _savings(row, found)
        rows.append(
            [
                row["image"],
                f"{row['quality']:g}",
                f"{row['bytes']:,}",
                f"{row['bpp']:.3f}",
                f"{row['psnr']:.2f}",
                "-" if row["ssim"] is None else f"{row['ssim']:.4f}",
                _percent(jpeg),
                _yes(jpeg, "JPEG"),
                _percent(webp),
                _yes(webp, "WEBP"),
                f"{row['encode_s']:.1f}",
                f"{row['decode_s']:.2f}",
            ]
        )
    return commands.table(headings, rows)


def _verdict(found: Report) -> str:
    savings = [_savings(row, found) for row in found.ours]
    third = sum(_yes(jpeg, "JPEG") == "yes" for jpeg, _ in savings)
    less = sum(_yes(webp, "WEBP") == "yes" for _, webp in savings)
    return (
        f"Of {len(savings)} files, {third} take less than two thirds of JPEG's bits, "
        f"and {less} less than WebP's.\n"
    )


def _savings(row: Row, found: Report) -> tuple[float | None, float | None]:
    """Return our rate against JPEG's and against WebP's, of the picture itself."""
    curves = found.by_image[row["image"]]
    jpeg, webp = (
        against(curves.get(codec, []), bpp=row["bpp"], psnr=row["psnr"])
        for codec in ("JPEG", "WEBP")
    )
    return jpeg, webp


def _title(codec: str) -> str:
    return {"WEBP": "WebP"}.get(codec, codec)


def _against(codec: str) -> str:
    return f"against {_title(codec)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f}%"


def _yes(value: float | None, codec: str) -> str:
    """Return whether we stay below the target."""
    return "-" if value is None else "yes" if value < _TARGETS[codec] else "no"


def draw(found: Report, path: Path) -> None:
    """Draw the mean curves as a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    figure = Figure(figsize=(9, 6.5), dpi=110, layout="constrained")
    axis: Any = figure.subplots()
    for codec, curve in found.curves.items():
        if not curve or codec == _JPEG_BD:
            continue
        ours, published = codec == _OURS, codec in _PUBLISHED
        axis.plot(
            *zip(*sorted(curve), strict=True),
            "--s" if published else "-o",
            label=f"{_title(codec)} (published)" if published else _title(codec),
            linewidth=3 if ours else 1.5,
            markersize=7 if ours else 4,
            color="black" if ours else None,
            zorder=3 if ours else 2,
        )
    axis.set_xscale("log")
    axis.set_xticks([0.05, 0.1, 0.2, 0.5, 1, 2, 5])
    axis.xaxis.set_major_formatter(ScalarFormatter())
    axis.xaxis.set_minor_formatter(NullFormatter())
    title = f"{found.name}: means over {len(found.images)} picture(s)"
    axis.set(title=title, xlabel="bits per pixel", ylabel="PSNR, dB")
    axis.grid(alpha=0.3, which="both")
    axis.legend()
    figure.savefig(path)


def order(qualities: Iterable[float]) -> list[float]:
    """Return qualities by their distance from the default: what comes first says most."""
    return sorted(qualities, key=lambda quality: (abs(quality - DEFAULT_QUALITY), quality))


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--qualities",
    type=Numbers(QUALITIES[0], QUALITIES[-1]),
    default="24,36,50,60",
    metavar="Q,Q,...",
)
@click.option("--effort", type=click.IntRange(EFFORTS[0], EFFORTS[-1]), default=Options.effort)
@click.option("--model", default=Options.model)
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--name", default="rate_distortion", help="Of the results.")
@click.option("--out", type=click.Path(path_type=Path), help="[benchmarks/results/NAME.json]")
@click.option(
    "--anchors", type=click.Path(path_type=Path), default=RESULTS / "anchors.json", help="A cache."
)
@click.option(
    "--resume",
    "key",
    metavar="KEY",
    help="Take up the results of this key, though the code has changed. [a digest of the code]",
)
@click.option("--keep", type=click.Path(path_type=Path), help="Keep the .siren files here.")
@click.option("--summary", is_flag=True, help="Only report what OUT has, of its last key.")
def main(
    images: tuple[Path, ...],
    qualities: tuple[float, ...],
    effort: int,
    model: str,
    device: str,
    name: str,
    out: Path | None,
    anchors: Path,
    key: str | None,
    keep: Path | None,
    summary: bool,
) -> None:
    """Encode and decode IMAGES at every quality; write OUT, and .md and .png beside it.

    Qualities near 50 come first, with all pictures. What OUT has already is not measured again.
    """
    found = commands.originals(images)
    out = out or RESULTS / f"{name}.json"
    key = key or (_last_key(out) if summary else commands.code_key())
    fit_on = commands.chosen_device(device)
    about = describe("rate_distortion", "cpu" if summary else fit_on)
    others = measure_anchors(found, anchors, about)

    def write(rows: list[Row]) -> tuple[Report, str]:
        ours = commands.matching(rows, found, effort=effort, model=model, fit_on=fit_on, key=key)
        result = report(name, [original.name for original in found], ours, others)
        page = markdown(result)
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(page, encoding="utf-8")
        return result, page

    jobs = [
        (original, Settings(quality=quality, effort=effort, model=model, fit_on=fit_on))
        for quality in ([] if summary else order(qualities))
        for original in found
    ]
    failures = commands.measure_all(jobs, out=out, key=key, about=about, keep=keep, after=write)
    result, page = write(commands.read_rows(out))
    draw(result, out.with_suffix(".png"))
    click.echo(page, nl=False)
    if failures:
        raise click.ClickException(f"{len(failures)} failed; the first: {failures[0]}")


def _last_key(out: Path) -> str:
    rows = commands.read_rows(out)
    if not rows:
        raise click.ClickException(f"{out}: nothing measured yet")
    return str(rows[-1]["key"])


if __name__ == "__main__":
    main()
