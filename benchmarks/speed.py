"""How long things take: a step of the fit, its parts, and a decode by stage, of both models.

Each figure is the median of several runs; beside it stands the fastest. `siren-decode` is timed as
a whole fresh process, its stages within this one; peak memory is the largest of a fresh process.
Grids are decoded from a real file: `--file`, or a quick encode of a synthetic picture, whose
spectrum and edges are about a photograph's. Timings on a shared machine are noisy: compare the
figures of one run.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
import torch

from benchmarks.environment import RESULTS, describe
from siren_codec import image, stream
from siren_codec.bench import commands
from siren_codec.codec import architecture_for, encode, open_field
from siren_codec.field import Architecture
from siren_codec.fit import choose_device, sampler, start
from siren_codec.fit.latents import Latents, Noise, Softener
from siren_codec.fit.lattice import Lattice, averaged
from siren_codec.fit.loss import Grids, Worker, worker
from siren_codec.fit.optimiser import SOAP, Adam
from siren_codec.fit.rate import quality_lambda
from siren_codec.image import Picture
from siren_codec.options import Options
from siren_codec.stream import format, latents

__all__ = ["main"]

Row = dict[str, Any]
Actions = dict[str, Callable[[], object]]


def timed(action: Callable[[], object], runs: int) -> dict[str, float]:
    """Return the median and the least of the seconds that an action takes, after one run more."""
    action()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return {"median": round(statistics.median(seconds), 4), "least": round(min(seconds), 4)}


def all_timed(name: str, actions: Actions, runs: int, device: str = "cpu") -> list[Row]:
    """Return a row for each action, named after `name`; on a GPU, with what it has queued."""

    def whole(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> None:
            action()
            if device == "cuda":
                torch.cuda.synchronize()

        return run

    return [
        {"what": f"{name}: {what}", **timed(whole(action), runs)}
        for what, action in actions.items()
    ]


def pixel_lattice(width: int, height: int, levels: int, device: str) -> Lattice:
    """Return the points of a picture of noise."""
    return averaged(torch.rand(3, height, width).to(device) * 2 - 1, 0, levels=levels)


def coordinate_step(
    architecture: Architecture, width: int, height: int, device: str, runs: int
) -> list[Row]:
    """Time a step of the fit over all points, and its parts."""
    network = start.siren(architecture, seed=0, device=device)
    points = pixel_lattice(width, height, 0, device)
    optimiser = SOAP(network.matrices)
    name = f"fit {architecture.hidden_layers}x{architecture.hidden_features}"
    with worker(device) as work:

        def step() -> None:
            work.backward(network, points)
            optimiser.step(1e-4)

        parts: Actions = {
            "step": step,
            "of it, loss and gradients": lambda: work.backward(network, points),
            "of it, SOAP": lambda: optimiser.step(1e-4),
            "loss alone": lambda: work.loss(network, points),
        }
        return all_timed(name, parts, runs, device)


def grid_step(width: int, height: int, device: str, runs: int) -> list[Row]:
    """Time a step of the grid model's fit on the picture itself, with all grids, and its parts."""
    picture = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
    architecture = architecture_for(picture, Options(quality=50))
    network = start.siren(architecture, seed=0, device=device)
    grids = Latents(architecture, width, height, device)
    rng = np.random.default_rng(0)
    grids.flat.copy_(torch.from_numpy(rng.laplace(0, 0.7, grids.flat.shape).astype(np.float32)))
    with worker(device) as work:
        points = pixel_lattice(width, height, len(architecture.features), device)
        parts = _GridStep(network, grids, points, work, device)
        name = f"fit grid {architecture.hidden_layers}x{architecture.hidden_features}"
        return all_timed(name, parts.actions(), runs, device)


class _GridStep:
    """One step of the grid model's fit, whole and in parts."""

    def __init__(
        self, network: Any, grids: Latents, points: Lattice, work: Worker, device: str
    ) -> None:
        self.network, self.points, self.work = network, points, work
        self.soften = Softener(grids, Noise(seed=0, device=device))
        self.soften(work.map, 0.2, 1.5, 0)
        gradient = torch.zeros_like(grids.flat)
        levels, gradients = grids.levels(self.soften.soft), grids.levels(gradient)
        price = 4 * quality_lambda(50) / (points.width * points.height)
        self.grids = Grids(levels, 0, price, gradients)
        self.siren = SOAP(network.matrices[: network.depth])
        self.context = Adam(network.matrices[network.depth :])
        parts = [part for _, part in grids.chunks()]
        self.of_latents = Adam([grids.flat[part] for part in parts])
        self.gradients = [gradient[part] for part in parts]

    def actions(self) -> Actions:
        """Return what to time."""
        network, points, grids, work = self.network, self.points, self.grids, self.work
        coarse = Grids(grids.levels, 1, grids.price, grids.gradients)
        unpriced = replace(grids, price=0.0)
        return {
            "step": self.step,
            "of it, soft rounding and noise": lambda: self.soften(work.map, 0.2, 1.5, 0),
            "of it, loss and gradients": lambda: work.backward(network, points, grids),
            "the same without rate": lambda: work.backward(network, points, unpriced),
            "the same with the weights' gradients alone": lambda: work.backward(
                network, points, replace(grids, gradients=None)
            ),
            "the same without level 0": lambda: work.backward(network, points, coarse),
            "of it, SOAP and the context network's Adam": self.step_networks,
            "of it, the grids' Adam": self.step_latents,
            "loss alone": lambda: work.loss(network, points, grids),
        }

    def step(self) -> None:
        """Take a step."""
        self.soften(self.work.map, 0.2, 1.5, 0)
        self.work.backward(self.network, self.points, self.grids)
        self.step_networks()
        self.step_latents()

    def step_networks(self) -> None:
        """Move the weights, hardly."""
        self.siren.step(1e-6)
        matrices = self.network.matrices[self.network.depth :]
        self.context.step([matrix.grad for matrix in matrices], [1e-6] * len(matrices))

    def step_latents(self) -> None:
        """Move the grids, hardly."""
        rates = [1e-6] * len(self.gradients)
        self.of_latents.step(self.gradients, rates, self.work.map)


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
@click.option("--width", type=click.IntRange(1), default=768)
@click.option("--height", type=click.IntRange(1), default=512)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--runs", type=click.IntRange(1), default=7)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, exists=True),
    help="A .siren file of the grid model to decode. [a quick encode]",
)
@click.option("--steps", type=click.IntRange(1), default=60, help="Of the quick encode.")
@click.option("--model", type=click.Choice(["both", "grid", "coordinate"]), default="both")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "speed.jsonl")
def main(
    width: int,
    height: int,
    device: str,
    runs: int,
    path: Path | None,
    steps: int,
    model: str,
    out: Path,
) -> None:
    """Time fit steps and decodes of a WIDTH x HEIGHT picture; append JSON lines to OUT."""
    device = choose_device(device)
    rows: list[Row] = []
    if model != "grid":
        rows += decode_rows("10x28", coordinate_file(width, height), runs, device)
        for architecture in (Architecture(3, 10, 28), Architecture(3, 5, 30)):
            rows += coordinate_step(architecture, width, height, device, runs)
    if model != "coordinate":
        rows += grid_step(width, height, device, runs)
        if path is None:
            data = encode(synthetic_photo(width, height), steps=steps, device=device)
        else:
            data = path.read_bytes()
        field = open_field(data)
        name = f"grid {field.width}x{field.height}, {len(data)} bytes"
        rows += decode_rows(name, data, runs, device)
    print_rows(rows)
    environment = {"width": width, "height": height, **describe("speed", device)}
    with out.open("a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**row, **environment}) + "\n")


if __name__ == "__main__":
    main()
