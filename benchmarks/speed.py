"""How long things take: a step of the fit, its parts, and a decode by stage.

Each figure is the median of several runs; beside it stands the fastest. `siren-decode` is timed as
a whole fresh process, its stages within this one. Timings on a shared machine are noisy: compare
the figures of one run.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from benchmarks.environment import RESULTS, describe
from siren_codec import image, stream
from siren_codec.codec import encode
from siren_codec.field import Architecture
from siren_codec.fit import choose_device, start
from siren_codec.fit.loss import Points, worker
from siren_codec.fit.model import coordinates
from siren_codec.fit.optimiser import SOAP
from siren_codec.image import Picture

__all__ = ["main"]

Row = dict[str, Any]


def timed(action: Callable[[], object], runs: int) -> dict[str, float]:
    """Return the median and the least of the seconds that an action takes, after one run more."""
    action()
    seconds = []
    for _ in range(runs):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return {"median": round(statistics.median(seconds), 4), "least": round(min(seconds), 4)}


def step_rows(architecture: Architecture, points: Points, device: str, runs: int) -> list[Row]:
    """Time a step of the fit over all points, and its parts."""
    network = start.siren(architecture, seed=0, device=device)
    optimiser = SOAP(network.layers)
    name = f"fit {architecture.hidden_layers}x{architecture.hidden_features}"
    with worker(device) as work:

        def step() -> None:
            work.backward(network, points)
            optimiser.step(1e-4)
            if device == "cuda":
                torch.cuda.synchronize()

        parts: dict[str, Callable[[], object]] = {
            "step": step,
            "of it, loss and gradients": lambda: work.backward(network, points),
            "of it, SOAP": lambda: optimiser.step(1e-4),
            "loss alone": lambda: work.error(network, points),
        }
        return [
            {"what": f"{name}: {part}", **timed(action, runs)} for part, action in parts.items()
        ]


def decode_rows(width: int, height: int, runs: int) -> list[Row]:
    """Time a decode of a 10 x 28 file: as a fresh process, and stage by stage."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    data = encode(pixels, hidden_layers=10, hidden_features=28, steps=2, device="cpu")
    field = stream.read(data)
    rendered = field.render()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "a.siren"
        source.write_bytes(data)
        main_ = "from siren_codec.cli import decode_main; decode_main()"
        command = [sys.executable, "-c", main_, str(source), "-f"]

        def decode(*options: str) -> Callable[[], object]:
            return lambda: subprocess.run([*command, *options], check=True)

        stages: dict[str, Callable[[], object]] = {
            "siren-decode, fresh process, PNG written": decode(),
            "siren-decode --scale 4, fresh process, PNG written": decode("--scale", "4"),
            "an interpreter that does nothing": lambda: subprocess.run(
                [sys.executable, "-c", "pass"], check=True
            ),
            "read": lambda: stream.read(data),
            "render": field.render,
            "write PNG": lambda: image.save_bytes(Picture(rendered), "PNG"),
            "render --scale 0.5": lambda: field.render(scale=0.5),
        }
        return [{"what": f"decode: {k}", **timed(v, runs)} for k, v in stages.items()]


@click.command(context_settings={"show_default": True})
@click.option("--width", type=click.IntRange(1), default=768)
@click.option("--height", type=click.IntRange(1), default=512)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto")
@click.option("--runs", type=click.IntRange(1), default=7)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "speed.jsonl")
def main(width: int, height: int, device: str, runs: int, out: Path) -> None:
    """Time fit steps and decodes of a WIDTH x HEIGHT picture; append JSON lines to OUT."""
    device = choose_device(device)
    environment = {"width": width, "height": height, **describe("speed", device)}
    rows = decode_rows(width, height, runs)
    target = torch.rand(3, width * height).to(device) * 2 - 1
    points = Points(coordinates(width, height, width, height, device), target)
    for hidden_layers, hidden_features in ((10, 28), (5, 30)):
        architecture = Architecture(3, hidden_layers, hidden_features)
        rows += step_rows(architecture, points, device, runs)
    print("| what | median s | least s |\n|---|---:|---:|")
    with out.open("a", encoding="utf-8") as file:
        for row in rows:
            print(f"| {row['what']} | {row['median']:.4f} | {row['least']:.4f} |")
            file.write(json.dumps({**row, **environment}) + "\n")


if __name__ == "__main__":
    main()
