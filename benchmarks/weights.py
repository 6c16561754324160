"""What quantisation costs: bits per weight, and PSNR before and after, on COIN's 10 x 28 network.

COIN (arXiv 2103.03123) spends 16 bits on a weight and no byte on anything else. Here bits per
weight are those of the whole file, headers and all. The file's PSNR is that of the integer pixels
decoded from its bytes. The real weights' is that of their samples, clipped, twice: as they were
when they were quantised, and of another fit that spends all steps on real weights, those too that
the file had with rounded ones. JPEG is Pillow's, optimised and progressive, at the largest quality
that makes a file no larger than ours; where even quality 1 is larger, at that.
"""

import io
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image
from tqdm import tqdm

from benchmarks.environment import RESULTS, describe
from siren_codec import metrics
from siren_codec.encoding import encode_picture
from siren_codec.fit import choose_device, fit, plan_for
from siren_codec.options import EFFORTS, HIDDEN_FEATURES, HIDDEN_LAYERS, Options
from siren_codec.picture import Picture, load
from siren_codec.stream import DEFAULT_LIMITS
from siren_codec.summary import info

__all__ = ["main"]


def measure(path: Path, options: Options) -> dict[str, Any]:
    """Encode a picture and return what became of it."""
    picture = load(path, max_pixels=DEFAULT_LIMITS.pixels)
    began = time.perf_counter()
    encoded = encode_picture(picture, options)
    seconds = time.perf_counter() - began
    found = info(encoded.data)
    unrounded = _fit_real(picture, options)
    jpeg_bytes, jpeg_psnr = _jpeg(np.squeeze(picture.pixels), len(encoded.data))
    return {
        "image": path.name,
        "effort": options.effort,
        "network": f"{options.hidden_layers}x{options.hidden_features}",
        "weights": found["weights"],
        "bytes": found["bytes"],
        "bpp": round(found["bpp"], 4),
        "bits_per_weight": round(8 * found["bytes"] / found["weights"], 3),
        "coder": found["weight_coder"],
        "psnr_real": round(encoded.fit.real_psnr, 3),
        "psnr_real_all_steps": round(unrounded, 3),
        "psnr": round(encoded.psnr, 3),
        "seconds": round(seconds, 1),
        "jpeg_bytes": jpeg_bytes,
        "jpeg_psnr": round(jpeg_psnr, 3),
    }


def _fit_real(picture: Picture, options: Options) -> float:
    """Return the PSNR of real weights after as many steps as a file of this effort takes in all."""
    plan = plan_for(picture, options)
    stages = plan.schedule.stages + plan.schedule.rounded_stages
    stages = tuple(sorted(stages, key=lambda stage: -stage.level))
    schedule = replace(plan.schedule, stages=stages, rounded_stages=())
    return fit(plan.colours, architecture=plan.architecture, schedule=schedule).real_psnr


def _jpeg(pixels: npt.NDArray[Any], most: int) -> tuple[int, float]:
    """Return the length and the PSNR of the best JPEG of at most so many bytes."""
    for quality in range(95, 0, -1):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        length = file.tell()
        if length <= most:
            break
    with Image.open(file) as image:
        return length, metrics.psnr(reference=pixels, decoded=np.asarray(image))


@click.command(context_settings={"show_default": True})
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--effort", type=click.IntRange(EFFORTS[0], EFFORTS[-1]), default=Options.effort)
@click.option(
    "--hidden-layers", type=click.IntRange(HIDDEN_LAYERS[0], HIDDEN_LAYERS[-1]), default=10
)
@click.option(
    "--hidden-features", type=click.IntRange(HIDDEN_FEATURES[0], HIDDEN_FEATURES[-1]), default=28
)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "weights.jsonl")
def main(
    images: tuple[Path, ...], effort: int, hidden_layers: int, hidden_features: int, out: Path
) -> None:
    """Encode IMAGES, append a JSON line for each to OUT, and print a table."""
    options = Options(
        model="coordinate",
        effort=effort,
        hidden_layers=hidden_layers,
        hidden_features=hidden_features,
    )
    print("| image | bytes | bpp | bits/weight | real dB | all steps dB | file dB | s | JPEG |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---|")
    for path in tqdm(images, unit="image", leave=False):
        row = measure(path, options)
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**row, **describe("weights", choose_device("auto"))}) + "\n")
        tqdm.write(
            f"| {row['image']} | {row['bytes']} | {row['bpp']:.3f} | {row['bits_per_weight']:.2f} "
            f"| {row['psnr_real']:.2f} | {row['psnr_real_all_steps']:.2f} | {row['psnr']:.2f} "
            f"| {row['seconds']:.0f} | {row['jpeg_bytes']} bytes, {row['jpeg_psnr']:.2f} dB |"
        )


if __name__ == "__main__":
    main()
