"""What effort buys: seconds, bits and PSNR of siren-encode, one effort after the other.

Files and times are those of fresh processes, as in rate_distortion. One figure weighs bits against
errors: J = 1000 (MSE + lambda bpp), with the MSE of samples in 0..1 and the lambda of the quality,
1e-3 2^((50 - quality) / 8); it is what the encoder minimises, and less is better. Figures are means
over the pictures, seconds medians.
"""

import statistics
from pathlib import Path

import click

from benchmarks import commands
from benchmarks.commands import Numbers, Row, Settings
from benchmarks.environment import RESULTS, describe
from siren_codec.fit.rate import quality_lambda
from siren_codec.limits import QUALITIES
from siren_codec.options import DEFAULT_QUALITY, DEVICES, EFFORTS, Options

__all__ = ["cost", "main", "markdown", "quality_lambda", "with_cost"]


def cost(*, psnr: float, bpp: float, quality: float) -> float:
    """Return J of a file."""
    return float(1000 * (10 ** (-psnr / 10) + quality_lambda(quality) * bpp))


def markdown(rows: list[Row], images: int) -> str:
    """Return a line for every quality and effort that all pictures have."""
    groups: dict[tuple[float, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["quality"], row["effort"]), []).append(row)
    lines = [
        [f"{quality:g}", str(effort), *_figures(group)]
        for (quality, effort), group in sorted(groups.items())
        if len(group) == images
    ]
    headings = ["quality", "effort", "encode, s", "longest, s", "decode, s", "bpp", "PSNR, dB", "J"]
    plural = "s" if images > 1 else ""
    return "\n".join(
        [
            f"# Efforts: means over {images} picture{plural}\n",
            (__doc__ or "").partition("\n\n")[2],
            commands.origin(rows) + "\n" if rows else "Nothing measured yet.\n",
            commands.table(headings, lines),
        ]
    )


def _figures(group: list[Row]) -> list[str]:
    seconds = [row["encode_s"] for row in group]
    return [
        f"{statistics.median(seconds):.1f}",
        f"{max(seconds):.1f}",
        f"{statistics.median(row['decode_s'] for row in group):.2f}",
        f"{statistics.fmean(row['bpp'] for row in group):.4f}",
        f"{statistics.fmean(row['psnr'] for row in group):.2f}",
        f"{statistics.fmean(row['j'] for row in group):.4f}",
    ]


def with_cost(row: Row) -> Row:
    """Return a row of `commands.measure` with its J."""
    j = cost(psnr=row["psnr"], bpp=row["bpp"], quality=row["quality"])
    return {**row, "j": round(j, 6)}


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--efforts", type=Numbers(EFFORTS[0], EFFORTS[-1]), default="1,2,3,4,5,6", metavar="E,E,..."
)
@click.option(
    "--qualities",
    type=Numbers(QUALITIES[0], QUALITIES[-1]),
    default=str(DEFAULT_QUALITY),
    metavar="Q,Q,...",
)
@click.option("--model", default=Options.model)
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "efforts.json")
@click.option(
    "--resume",
    "key",
    metavar="KEY",
    help="Take up the results of this key, though the code has changed. [a digest of the code]",
)
def main(
    images: tuple[Path, ...],
    efforts: tuple[float, ...],
    qualities: tuple[float, ...],
    model: str,
    device: str,
    out: Path,
    key: str | None,
) -> None:
    """Encode and decode IMAGES at every effort; write OUT, and .md beside it.

    Small efforts come first, with all pictures. What OUT has already is not measured again.
    """
    found = commands.originals(images)
    key = key or commands.code_key()
    fit_on = commands.chosen_device(device)

    def write(rows: list[Row]) -> str:
        ours = commands.matching(rows, found, model=model, fit_on=fit_on, key=key)
        page = markdown(ours, len(found))
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".md").write_text(page, encoding="utf-8")
        return page

    jobs = [
        (original, Settings(quality=quality, effort=int(effort), model=model, fit_on=fit_on))
        for effort in sorted(efforts)
        for quality in qualities
        for original in found
    ]
    failures = commands.measure_all(
        jobs, out=out, key=key, about=describe("efforts", fit_on), finish=with_cost, after=write
    )
    click.echo(write(commands.read_rows(out)), nl=False)
    if failures:
        raise click.ClickException(f"{len(failures)} failed; the first: {failures[0]}")


if __name__ == "__main__":
    main()
