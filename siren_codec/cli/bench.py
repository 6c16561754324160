"""siren-bench."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from siren_codec import extras
from siren_codec.bench.codecs import CODECS, Codec, Library, by_name
from siren_codec.cli import console, usage
from siren_codec.cli.usage import BATCH, FIT, MESSAGES, PICTURE, TARGET, option
from siren_codec.errors import SirenError
from siren_codec.limits import QUALITIES
from siren_codec.options import DEVICES, EFFORTS, Options

if TYPE_CHECKING:
    from siren_codec.bench.curves import Series
    from siren_codec.bench.results import Row
    from siren_codec.bench.run import Plan

__all__ = ["bench_command"]

_GRID = by_name("grid")
_NAMES = tuple(codec.name for codec in CODECS)
_DEFAULT = tuple(codec.name for codec in CODECS if codec.is_default)
_PACKAGES = dict.fromkeys(codec.package for codec in CODECS if isinstance(codec, Library))
_NOTES = (
    (
        "What is measured",
        "Every figure is of a real file, which is kept in DIR/files: its length, and PSNR over "
        "RGB, SSIM and MS-SSIM of the integer pixels that it decodes to. Our files are made and "
        "decoded by fresh processes of siren-encode and siren-decode, on the clock from start to "
        "end, with the most memory that they held. Without the start and its imports, encoding "
        "takes what siren-encode reports, and decoding is timed by a call within siren-bench. "
        "Libraries "
        f"({', '.join(_PACKAGES)}, as far as they are installed) work within the process. "
        "SSIMULACRA2 is measured too where the package ssimulacra2 is installed. With -j the times "
        "are those of fits that share the machine.",
    ),
    (
        "Results",
        "DIR/results.jsonl has a line of JSON for each file, added as it comes, and whatever "
        "stops a run, the same command goes on from there. A result is measured anew if the "
        "picture's pixels, the codec's version or settings, or the device are others, or its file "
        "is gone. The report shows what DIR has of the pictures that are named, of each codec "
        "what was measured with the version and on the device of its last result.",
    ),
    (
        "Pictures",
        "RGB of 8 bits, whatever Pillow reads. Without IMAGES: astronaut (512x512), chelsea "
        "(451x300) and coffee (600x400) of scikit-image, which come with it.",
    ),
)


class Choices(click.ParamType[tuple[str, ...]]):
    """Some of several words, with commas between them, each once."""

    name = "LIST"

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = choices

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, ...]:
        """Return the words."""
        words = tuple(dict.fromkeys(str(value).replace(",", " ").split()))
        if not words or not set(words) <= set(self.choices):
            expected = ", ".join(self.choices)
            self.fail(f"expected some of {expected}, found {value!r}", param, ctx)
        return words


class Numbers(click.ParamType[tuple[int, ...]]):
    """Integers within a range, with commas between them, each once."""

    name = "LIST"

    def __init__(self, within: range) -> None:
        self.within = within

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the numbers."""
        try:
            numbers = tuple(dict.fromkeys(map(int, str(value).replace(",", " ").split())))
        except ValueError:
            numbers = ()
        if not numbers or not set(numbers) <= set(self.within):
            expected = f"integers of {self.within[0]} to {self.within[-1]}"
            self.fail(f"expected {expected}, found {value!r}", param, ctx)
        return numbers


@usage.command(
    "siren-bench",
    usages=("[OPTIONS] [IMAGES]...",),
    examples=(
        ("siren-bench", "three photographs, in some minutes; writes siren-bench/report.html"),
        ("siren-bench --effort 1,4 a.png b.png", "pictures of yours, at two efforts"),
        ("siren-bench --crop 256 --effort 1", "the middle of each, quickly"),
        ("siren-bench --codecs grid,coordinate,jpeg", "both of our models"),
        ("siren-bench --codecs grid -q 80 --zoom 2,4", "what lies between the pixels"),
    ),
    notes=_NOTES,
    exit_codes="0 done, 1 failed, 2 wrong usage, 130 interrupted.",
)
@click.argument("images", metavar="[IMAGES]...", type=usage.FILE, nargs=-1)
@option(
    TARGET,
    "--codecs",
    type=Choices(_NAMES),
    default=",".join(_DEFAULT),
    show_default=True,
    metavar="LIST",
    help=f"What is compared. There are also {', '.join(x for x in _NAMES if x not in _DEFAULT)}.",
)
@option(
    TARGET,
    *("-q", "--qualities"),
    type=Numbers(QUALITIES),
    default=",".join(f"{quality:g}" for quality in _GRID.qualities),
    show_default=True,
    metavar="LIST",
    help="Qualities of the grid model's files. Other codecs have their own; the coordinate model "
    "takes four layer widths.",
)
@option(
    TARGET,
    *("-e", "--effort"),
    type=Numbers(EFFORTS),
    default=str(Options.effort),
    show_default=True,
    metavar="LIST",
    help="Effort of our fits; several may be given: 1,4.",
)
@option(
    TARGET,
    "--zoom",
    type=Numbers(range(1, 17)),
    default="1",
    show_default=True,
    metavar="LIST",
    help="Encode each picture N times smaller, decode it N times larger, and compare with the "
    "original; bicubic and Lanczos enlargement stand beside it. Other codecs are measured at 1 "
    "only.",
)
@option(
    PICTURE,
    "--crop",
    type=click.IntRange(min=1),
    metavar="N",
    help="Take the middle of each picture, at most N x N pixels.",
)
@usage.device(FIT, DEVICES, "Where to fit; auto is a GPU if there is one.")
@option(
    FIT,
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of steps, instead of the effort's.",
)
@option(
    BATCH,
    *("-o", "--out"),
    type=usage.FILE,
    default="siren-bench",
    show_default=True,
    metavar="DIR",
    help="Where results, files and the report go.",
)
@option(
    BATCH,
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Keep the results that DIR has, or measure everything again.",
)
@usage.jobs("Fit N pictures at a time: the cores are shared, and times with them.")
@option(MESSAGES, "--no-report", is_flag=True, help="Measure only.")
@option(MESSAGES, "--quiet", is_flag=True, help="Print nothing but errors and the table.")
@usage.the_version
def bench_command(
    images: tuple[str, ...],
    codecs: tuple[str, ...],
    qualities: tuple[int, ...],
    effort: tuple[int, ...],
    zoom: tuple[int, ...],
    crop: int | None,
    device: str,
    steps: int | None,
    out: str,
    resume: bool,
    jobs: int | None,
    no_report: bool,
    quiet: bool,
) -> int:
    """Compress IMAGES with this codec and with others, and write a report.

    Real files are made and decoded, and lengths, PSNR, SSIM, MS-SSIM, times and memory are kept.
    Without IMAGES three photographs are taken that come with scikit-image.
    """
    extras.need("bench", "comparing")
    from siren_codec.bench import pictures, run

    paths = [Path(image) for image in images]
    originals = pictures.load(paths) if paths else pictures.bundled()
    if crop is not None:
        originals = [pictures.middle(original, crop) for original in originals]
    plan = run.Plan(
        originals=originals,
        codecs=_present(codecs),
        qualities={_GRID.name: qualities},
        efforts=effort,
        zooms=zoom,
        device=_device(device, codecs),
        steps=steps,
        command=("siren-bench", *sys.argv[1:]),
    )
    rows, failures = _measured(plan, Path(out), count=jobs or 1, resume=resume, quiet=quiet)
    console.say(*_table(rows), error=False)
    if not no_report:
        from siren_codec.bench import report

        path = report.write(rows, Path(out), {one.name: one.pixels for one in originals})
        if not quiet:
            console.say(f"report: {path}", error=False)
    if failures:
        raise SirenError(f"{len(failures)} failed; the first: {failures[0]}")
    return 0


def _device(device: str, codecs: Sequence[str]) -> str:
    """Return cpu or cuda; torch is asked only if something is to be fitted."""
    if not any(by_name(name).is_ours for name in codecs):
        return "cpu"
    from siren_codec.fit import choose_device

    return choose_device(device)


def _present(names: Sequence[str]) -> list[Codec]:
    """Return the codecs that can be used here; say which ones cannot. Raises SirenError."""
    found = []
    for codec in map(by_name, names):
        if codec.missing:
            console.say(f"siren-bench: {codec.name} is left out: {codec.missing}", error=True)
        else:
            found.append(codec)
    if not found:
        raise SirenError(f"nothing was measured: {', '.join(names)} cannot be used here")
    return found


def _measured(
    plan: "Plan", out: Path, *, count: int, resume: bool, quiet: bool
) -> "tuple[list[Row], list[str]]":
    """Measure; return the rows of the plan's pictures, and what failed, which is also told.

    Raises SirenError where there are no rows.
    """
    from siren_codec.bench import run

    say = partial(console.say, error=True)
    failures = run.measure(plan, out, count=count, resume=resume, say=None if quiet else say)
    for failure in failures if quiet else ():
        say(failure)
    rows = run.rows_of(plan.originals, out)
    if not rows:
        why = failures[0] if failures else "codecs other than ours are measured at --zoom 1 only"
        raise SirenError(f"nothing was measured: {why}")
    return rows, failures


def _table(rows: "Sequence[Row]") -> list[str]:
    """Return a line for each curve: what it takes against the libraries', and its times."""
    from siren_codec.bench import tables
    from siren_codec.bench.curves import bd_rate, collect

    found = collect(rows)
    heads = "".join(f"{peer.codec:>10}" for peer in found.peers)
    names = {series: _short(series) for series in found.curves}
    width = max(map(len, ("against", *names.values()))) + 2
    lines = [
        "bits at equal PSNR (BD-rates of mean curves), and the median time of a file",
        f"{'against':{width}}{heads}   encode, s   decode, s",
    ]
    for series, curve in found.curves.items():
        cells = []
        for peer in found.peers:
            one = None if peer == series else bd_rate(reference=found.curves[peer], test=curve)
            cells.append(f"{'-' if one is None else f'{one.percent:+.1f}%':>10}")
        times = (tables.median(found.rows[series], name) for name in ("encode_s", "decode_s"))
        seconds = "  ".join(f"{value:10.3f}" for value in times)
        lines.append(f"{names[series]:{width}}{''.join(cells)} {seconds}")
    return lines + [
        f"{one.series.label}, {one.series.setting(one.quality)}, {one.scale} times larger: "
        + ", ".join(f"{way} {psnr:.2f} dB" for way, psnr in one.psnr.items())
        for one in tables.zooms(rows)
    ]


def _short(series: "Series") -> str:
    """Return what the table calls a series: grid e4, or grid e4 s200 with steps of its own."""
    effort = "" if series.effort is None else f" e{series.effort}"
    return f"{series.codec}{effort}" + ("" if series.steps is None else f" s{series.steps}")
