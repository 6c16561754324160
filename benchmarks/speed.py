"""How long things take: a step of the fit, its parts, and a decode by stage, of both models.

Then how that grows with the picture, of the grid model: see `benchmarks.scaling`.

Each figure is the median of several runs; beside it stands the fastest. `siren-decode` is timed as
a whole fresh process, its stages within this one; peak memory is the largest of a fresh process.
Grids are decoded from a real file: `--file`, or a quick encode, of a synthetic picture whose
spectrum and edges are about a photograph's, and for the growth of samples/astronaut.png. Timings on
a shared machine are noisy: compare the figures of one run.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from benchmarks import scaling
from benchmarks.commands import Numbers
from benchmarks.environment import RESULTS, describe
from benchmarks.steps import coordinate_step, grid_step
from benchmarks.timing import Actions, Row, all_timed
from siren_codec import image, stream
from siren_codec.bench import commands
from siren_codec.decoding import open_field
from siren_codec.encoding import encode
from siren_codec.field import Architecture
from siren_codec.fit import choose_device, sampler
from siren_codec.image import Picture
from siren_codec.options import DEVICES, MODELS
from siren_codec.stream import format, latents

__all__ = ["main"]


def parts(
    width: int, height: int, device: str, runs: int, data: bytes | None, steps: int, model: str
) -> list[Row]:
    """Time steps of the fit and decodes by part; `data` is the grid model's file, if there is."""
    rows: list[Row] = []
    if model != "grid":
        rows += decode_rows("10x28", coordinate_file(width, height), runs, device)
        for architecture in (Architecture(3, 10, 28), Architecture(3, 5, 30)):
            rows += coordinate_step(architecture, width, height, device, runs)
    if model != "coordinate":
        rows += grid_step(width, height, device, runs)
        if data is None:
            data = encode(synthetic_photo(width, height), steps=steps, device=device)
        field = open_field(data)
        name = f"grid {field.width}x{field.height}, {len(data)} bytes"
        rows += decode_rows(name, data, runs, device)
    return rows


def decode_rows(name: str, data: bytes, runs: int, device: str) -> list[Row]:
    """Time a decode of a file: as a fresh process, and stage by stage."""
    field = stream.read(data)
    rendered = np.atleast_3d(field.render())
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.siren"
        source.write_bytes(data)
        command = [*commands.DECODE, str(source), "-f"]

        def decode(*options: str) -> Callable[[], object]:
            return lambda: commands.run([*command, *options])

        stages: Actions = {
            "siren-decode, fresh process, PNG written": decode(),
            "siren-decode --scale 4, fresh process, PNG written": decode("--scale", "4"),
            "an interpreter that does nothing": lambda: subprocess.run(
                [sys.executable, "-c", "pass"], check=True
            ),
            "read": lambda: stream.read(data),
            **unpacking(data),
            "render": field.render,
            "write PNG": lambda: image.save_bytes(Picture(rendered), "PNG"),
            "render --scale 0.5": lambda: field.render(scale=0.5),
        }
        if device == "cuda":
            by_gpu = sampler(field, device)
            stages["render by torch, on the GPU"] = lambda: field.render(sampler=by_gpu)
        rows = all_timed(f"decode {name}", stages, runs)
        for options in ((), ("--scale", "4")):
            what = " ".join([f"decode {name}: siren-decode", *options])
            peak = commands.run([*command, *options]).peak_mib
            if peak is not None:
                rows.append({"what": f"{what}, peak memory", "mib": round(peak, 1)})
        return rows


def unpacking(data: bytes) -> Actions:
    """Return how the grids of a file are decoded, if it has any."""
    field = stream.read(data)
    if field.model == "coordinate":
        return {}
    _, sections = format.parse(data, stream.DEFAULT_LIMITS)
    section = sections[format.Section.LATENTS]
    shape = field.context, field.architecture, field.width, field.height
    return {f"of it, {len(section)} bytes of grids": lambda: latents.unpack(section, *shape)}


def synthetic_photo(width: int, height: int) -> npt.NDArray[np.uint8]:
    """Return a picture whose amplitudes fall as 1 / frequency, with edges of random shapes."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf

    def clouds(power: float) -> npt.NDArray[np.float64]:
        noise = np.fft.rfft2(rng.normal(size=(height, width))) / frequency**power
        found = np.fft.irfft2(noise, (height, width))
        return np.asarray(found / found.std())

    shapes = 1.5 * (clouds(1.8) > 0.3) - 1.0 * (clouds(1.8) > 0.8)
    light = shapes + 0.7 * clouds(1.1) + 0.1 * clouds(0.3)
    colours = [light + 0.3 * clouds(1.5) for _ in range(3)]
    return np.clip(np.rint(120 + 45 * np.stack(colours, axis=2)), 0, 255).astype(np.uint8)


def coordinate_file(width: int, height: int) -> bytes:
    """Return a 10 x 28 file; how well it is fitted does not matter to its decoding."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return encode(
        pixels, model="coordinate", hidden_layers=10, hidden_features=28, steps=2, device="cpu"
    )


def print_rows(rows: list[Row]) -> None:
    """Print tables of seconds and of memory."""
    print("| what | median s | least s |\n|---|---:|---:|")
    for row in rows:
        if "median" in row:
            print(f"| {row['what']} | {row['median']:.4f} | {row['least']:.4f} |")
    print("\n| what | MiB |\n|---|---:|")
    for row in rows:
        if "mib" in row:
            print(f"| {row['what']} | {row['mib']:.0f} |")


@click.command(context_settings={"show_default": True})
@click.option("--only", type=click.Choice(["parts", "scaling"]), help="Time one of both. [both]")
@click.option("--width", type=click.IntRange(1), default=768, help="Of the parts' picture.")
@click.option("--height", type=click.IntRange(1), default=512, help="Of the parts' picture.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--runs", type=click.IntRange(1), default=7)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True),
    help="A .siren file of the grid model to decode. [a quick encode]",
)
@click.option("--steps", type=click.IntRange(1), default=60, help="Of the quick encode.")
@click.option(
    "--model",
    type=click.Choice(["both", *MODELS]),
    default="both",
    help="Of the parts; scaling is the grid model's.",
)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "speed.jsonl")
@click.option(
    "--sizes",
    type=Numbers(8, 8192),
    default=",".join(map(str, scaling.SIZES)),
    metavar="N,N,...",
    help="Pixels of a side, for the scaling.",
)
@click.option(
    "--fit-sizes",
    type=Numbers(8, 8192),
    metavar="N,N,...",
    help=f"Of these, where a step of the fit is timed too. [up to {scaling.LARGEST_FIT}]",
)
@click.option(
    "--scaling-out",
    type=click.Path(path_type=Path),
    default=RESULTS / "speed-scaling.jsonl",
    help="Rows are appended; the .md and the .png beside it are of this run alone.",
)
def main(
    only: str | None,
    width: int,
    height: int,
    device: str,
    runs: int,
    path: Path | None,
    steps: int,
    model: str,
    out: Path,
    sizes: tuple[float, ...],
    fit_sizes: tuple[float, ...] | None,
    scaling_out: Path,
) -> None:
    """Time fit steps and decodes of a WIDTH x HEIGHT picture, and of squares of all SIZES.

    JSON lines are appended to OUT and to SCALING_OUT.
    """
    device = choose_device(device)
    if fit_sizes is None:
        fit_sizes = tuple(size for size in sizes if size <= scaling.LARGEST_FIT)
    elif not set(fit_sizes) <= set(sizes):
        raise click.UsageError("--fit-sizes: expected some of --sizes")
    data = None if path is None else path.read_bytes()
    if only != "scaling":
        rows = parts(width, height, device, runs, data, steps, model)
        print_rows(rows)
        environment = {"width": width, "height": height, **describe("speed", device)}
        with out.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({**row, **environment}) + "\n")
    if only != "parts":
        sides = [round(size) for size in sizes]
        page = scaling.run(
            stream.read(data or scaling.sample(sides, steps, device)),
            sizes=sides,
            fit_sizes=[round(size) for size in fit_sizes],
            runs=runs,
            device=device,
            out=scaling_out,
        )
        click.echo(page, nl=False)


if __name__ == "__main__":
    main()
