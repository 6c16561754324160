"""How long things take: steps of the fit and decodes, of both models, and a whole encode.

Then how that grows with the picture, of the grid model: see `benchmarks.scaling`.

Each figure is the median of several runs; beside it stands the fastest. On a CPU steps and encodes
are timed by torch and by the compiled kernels in turn, and the ratio is that of the medians; in an
encode NUMBA_DISABLE_JIT makes the difference. `siren-encode` and `siren-decode` are timed as
whole fresh processes, the latter's stages within this one; peak memory is a fresh process's.
Grids are decoded from a real file: `--file`, or a quick encode, of a synthetic picture whose
spectrum and edges are about a photograph's, and for the growth of samples/astronaut.png. Timings on
a shared machine are noisy: compare the figures of one run.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt

from benchmarks import scaling, steps
from benchmarks.commands import Numbers
from benchmarks.environment import RESULTS, describe
from benchmarks.timing import Actions, Row, all_timed, in_turn
from siren_codec import stream
from siren_codec.bench import commands
from siren_codec.bench.environment import ROOT
from siren_codec.decoding import open_field
from siren_codec.encoding import encode_picture
from siren_codec.field import Architecture
from siren_codec.fit import architecture_for, choose_device, quality_lambda, sampler
from siren_codec.options import DEFAULT_QUALITY, DEVICES, EFFORTS, MODELS, Options
from siren_codec.picture import Picture, save_bytes
from siren_codec.stream import format, latents

__all__ = ["main"]


PARTS = ("steps", "encode", "decode", "scaling")
_SMALL = 64
"""Pixels of a side of the small picture whose steps are timed too."""


def step_rows(width: int, height: int, device: str, runs: int, model: str) -> list[Row]:
    """Time steps of the fit, by torch and by the kernels; on a GPU by torch alone."""
    grid = architecture_for(Picture(np.zeros((height, width, 3), np.uint8)), Options())
    cases = []
    if model != "coordinate":
        cases += [(grid, width, height), (grid, _SMALL, _SMALL)]
    if model != "grid":
        cases += [(Architecture(3, layers, n), width, height) for layers, n in ((10, 28), (5, 30))]
    rows: list[Row] = []
    for case in cases:
        if device == "cpu":
            rows += steps.compared(*case, runs)
        else:
            with steps.begun(*case, device) as actions:
                rows += all_timed(f"fit {steps.name(*case)}", actions, runs)
    return rows


def decoding_rows(
    width: int, height: int, device: str, runs: int, data: bytes | None, count: int, model: str
) -> list[Row]:
    """Time decodes by part; `data` is the grid model's file, if there is."""
    rows: list[Row] = []
    if model != "grid":
        rows += decode_rows("10x28", coordinate_file(width, height), runs, device)
    if model != "coordinate":
        if data is None:
            photo = Picture(synthetic_photo(width, height))
            data = encode_picture(photo, Options(steps=count, device=device)).data
        field = open_field(data)
        name = f"grid {field.width}x{field.height}, {len(data)} bytes"
        rows += decode_rows(name, data, runs, device)
    return rows


def encode_rows(picture: Path, options: Sequence[str], runs: int) -> list[Row]:
    """Time whole encodes of a picture with and without kernels; J is of the files."""
    objectives: dict[str, float] = {}

    def run(by: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "a.siren"
            facts, _ = commands.encode(picture, out, options, _ENVIRONMENTS[by])
        lambda_ = quality_lambda(DEFAULT_QUALITY)
        objectives[by] = 1000 * (10 ** (-facts["psnr"] / 10) + lambda_ * facts["bpp"])

    medians, least = in_turn({by: partial(run, by) for by in _ENVIRONMENTS}, runs)
    name = " ".join(["siren-encode", picture.name, *options])
    rows: list[Row] = [
        {"what": f"{name}: {by}", "median": medians[by], "least": least[by], "j": objectives[by]}
        for by in medians
    ]
    return [*rows, {"what": name, "ratio": round(medians["torch"] / medians["kernels"], 2)}]


_ENVIRONMENTS = {"torch": {"NUMBA_DISABLE_JIT": "1"}, "kernels": {}}


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
            "write PNG": lambda: save_bytes(Picture(rendered), "PNG"),
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
    layers = format.layers_of(sections)
    size = sum(map(len, layers))
    shape = field.context, field.architecture, field.width, field.height
    return {f"of it, {size} bytes of grids": lambda: latents.unpack(layers, *shape)}


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
    options = Options(
        model="coordinate", hidden_layers=10, hidden_features=28, steps=2, device="cpu"
    )
    return encode_picture(Picture(pixels), options).data


def print_rows(rows: list[Row]) -> None:
    """Print tables of seconds, of ratios and of memory."""
    print("| what | median s | least s |\n|---|---:|---:|")
    for row in rows:
        if "median" in row:
            j = f", J {row['j']:.4f}" if "j" in row else ""
            print(f"| {row['what']}{j} | {row['median']:.4f} | {row['least']:.4f} |")
    print("\n| torch / kernels | ratio |\n|---|---:|")
    for row in rows:
        if "ratio" in row:
            print(f"| {row['what']} | {row['ratio']:.2f} |")
    print("\n| what | MiB |\n|---|---:|")
    for row in rows:
        if "mib" in row:
            print(f"| {row['what']} | {row['mib']:.0f} |")


@click.command(context_settings={"show_default": True})
@click.option("--only", type=click.Choice(PARTS), multiple=True, help="Time only this. [all]")
@click.option("--width", type=click.IntRange(1), default=768, help="Of what is stepped, decoded.")
@click.option("--height", type=click.IntRange(1), default=512, help="The same.")
@click.option("--device", type=click.Choice(DEVICES), default="auto")
@click.option("--runs", type=click.IntRange(1), default=7)
@click.option(
    "--picture",
    type=click.Path(path_type=Path, exists=True),
    default=ROOT / "samples" / "astronaut.png",
    help="To encode, once more than --encode-runs.",
)
@click.option("--encode-runs", type=click.IntRange(1), default=1)
@click.option(
    "--effort",
    type=click.IntRange(EFFORTS[0], EFFORTS[-1]),
    default=Options().effort,
    help="Of encodes.",
)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True),
    help="A .siren file of the grid model to decode. [a quick encode]",
)
@click.option("--steps", "count", type=click.IntRange(1), default=60, help="Of the quick encode.")
@click.option(
    "--model",
    type=click.Choice(["both", *MODELS]),
    default="both",
    help="Of what is stepped and decoded; the rest is the grid model's.",
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
    only: tuple[str, ...],
    width: int,
    height: int,
    device: str,
    runs: int,
    picture: Path,
    encode_runs: int,
    effort: int,
    path: Path | None,
    count: int,
    model: str,
    out: Path,
    sizes: tuple[float, ...],
    fit_sizes: tuple[float, ...] | None,
    scaling_out: Path,
) -> None:
    """Time fit steps, encodes and decodes of WIDTH x HEIGHT pixels, and of squares of all SIZES.

    JSON lines are appended to OUT and to SCALING_OUT.
    """
    device = choose_device(device)
    if fit_sizes is None:
        fit_sizes = tuple(size for size in sizes if size <= scaling.LARGEST_FIT)
    elif not set(fit_sizes) <= set(sizes):
        raise click.UsageError("--fit-sizes: expected some of --sizes")
    data = None if path is None else path.read_bytes()
    wanted = only or PARTS
    rows: list[Row] = []
    if "steps" in wanted:
        rows += step_rows(width, height, device, runs, model)
    if "encode" in wanted and device == "cpu":
        rows += encode_rows(picture, ("--effort", str(effort)), encode_runs)
    if "decode" in wanted:
        rows += decoding_rows(width, height, device, runs, data, count, model)
    if rows:
        print_rows(rows)
        environment = {"width": width, "height": height, **describe("speed", device)}
        with out.open("a", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({**row, **environment}) + "\n")
    if "scaling" in wanted:
        sides = [round(size) for size in sizes]
        page = scaling.run(
            stream.read(data or scaling.sample(sides, count, device)),
            sizes=sides,
            fit_sizes=[round(size) for size in fit_sizes],
            runs=runs,
            device=device,
            out=scaling_out,
        )
        click.echo(page, nl=False)


if __name__ == "__main__":
    main()
