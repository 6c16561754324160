"""docs/RESULTS.md, its curves, and the README's table, made from the records.

    bin/bench report [--check]

No figure of theirs is typed by hand. `--check` only tells whether anything would change.
"""

import re
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import cameraman, comparisons, gpu, kodak, memory, speed
from siren_codec import output
from siren_codec.bench import plots
from siren_codec.bench.published import PUBLISHED, applies, by_image
from siren_codec.bench.report import time_plot

__all__ = ["README", "RESULTS_PAGE", "TABLES", "main", "page", "rewritten"]

_ROOT = Path(__file__).parents[1]
README = _ROOT / "README.md"
RESULTS_PAGE = _ROOT / "docs" / "RESULTS.md"
CURVES = _ROOT / "docs" / "results"
"""Where the drawings go."""

_SECTIONS: tuple[tuple[str, Callable[[], str], str], ...] = (
    ("Kodak, beside other codecs", comparisons.kodak24, "kodak.svg"),
    ("Kodak, picture by picture", comparisons.pictures, ""),
    ("Kodak, by measures of the eye", comparisons.measures, ""),
    ("AVIF and JPEG XL at their best effort", comparisons.best, ""),
    ("What effort buys", comparisons.efforts, ""),
    ("How long things take", comparisons.times, "times.svg"),
    ("Held-out photographs", comparisons.held_out, ""),
    ("Between the pixels", comparisons.zoom, ""),
    ("Time by size", speed.section, ""),
    ("Memory", memory.section, ""),
    ("On a GPU", gpu.section, ""),
    ("The coordinate model", comparisons.coordinate, ""),
    ("Cameraman: sine, ReLU and tanh", cameraman.section, "cameraman.png"),
)
"""Headings, what stands below them, and the picture."""

TABLES: dict[str, Callable[[], str]] = {
    "kodak": comparisons.brief,
    "times": comparisons.brief_times,
}
"""What README.md may have between `<!-- table: NAME -->` and `<!-- end -->`."""

_MARKED = re.compile(r"(?s)(<!-- table: (\S+) -->\n).*?(<!-- end -->\n)")
_HEAD = """\
# Results

Made from the records in [benchmarks/results](../benchmarks/results) by `bin/bench report`; \
`bin/bench record KODAK` makes the records, KODAK being the folder of the \
[24 pictures](https://r0k.us/graphics/kodak/). Below each table stands the command of its own. \
Rates are lengths of real files; PSNR and SSIM are of the decoded 8-bit pixels. Percentages are \
bits at equal PSNR: -50% is half as many. A dash: not measured, or the curves do not overlap.
"""


def page() -> str:
    """Return docs/RESULTS.md."""
    links = (f"- [{heading}](#{_anchor(heading)})" for heading, _, _ in _SECTIONS)
    parts = [_HEAD, "\n".join(links) + "\n"]
    for heading, section, picture in _SECTIONS:
        text = section() or "Not measured yet: `bin/bench record KODAK` makes it.\n"
        drawn = f"![{heading}](results/{picture})\n\n" if picture else ""
        parts.append(f"## {heading}\n\n{drawn}{text}")
    return "\n".join(parts)


def _anchor(heading: str) -> str:
    """Return what GitHub calls a heading in links."""
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def rewritten(text: str) -> str:
    """Return a text with its marked tables made anew. Raises ClickException for other names."""
    for _, name, _ in _MARKED.findall(text):
        if name not in TABLES:
            raise click.ClickException(f"expected a table of {', '.join(TABLES)}, found {name}")
    return _MARKED.sub(lambda part: f"{part[1]}\n{TABLES[part[2]]()}\n{part[3]}", text)


def drawings() -> dict[str, str]:
    """Return the curves: SVG by file name."""
    found, whole = comparisons.of_complete()
    published = {one.name: one.points for one in PUBLISHED} if applies(whole.images) else {}
    curves = plots.rate_distortion("kodak", "PSNR, dB", found.curves, published, legend=True)
    drawn = {"kodak.svg": curves}
    if times := time_plot(found, "times"):
        drawn["times.svg"] = times
    for image in kodak.FOUR:
        of_image = {one: curve for one, curve in found.by_image[image].items() if curve}
        drawn[f"{image}.svg"] = plots.small_rate_distortion(
            image, image, of_image, list(found.rows), (0.03, 3, 22, 43), by_image()[image]
        )
    return {name: plots.standalone(svg) for name, svg in drawn.items()}


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; fail where a page would change.")
def main(check: bool) -> None:
    """Make docs/RESULTS.md, its curves and the README's tables anew from the records."""
    made = {RESULTS_PAGE: page(), README: rewritten(README.read_text(encoding="utf-8"))}
    made |= {CURVES / name: text for name, text in drawings().items()}
    for path, text in made.items():
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        if check and before != text:
            raise click.ClickException(
                f"{path.name}: expected what the records say, found other figures; bin/bench report"
            )
        if before != text:
            output.write(path, text.encode(), force=True)


if __name__ == "__main__":
    main()
