"""What reading and rendering a file takes beyond the pixels that come out.

Each figure is the largest resident memory of a fresh process (Linux) that decodes a file of the
given size, less the array that it returns. The files are made here: the default network, and grids
of random integers that take more bits than a photograph's.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np

from benchmarks import markdown, store
from benchmarks.store import Task
from siren_codec import stream
from siren_codec.bench.results import Row
from siren_codec.errors import SirenError
from siren_codec.field import Field, Layer, PriorName
from siren_codec.options import DEFAULT_QUALITY
from siren_codec.stream import prior
from siren_codec.stream.latents import shapes

__all__ = ["MEGAPIXELS", "Held", "main", "measure", "section", "synthetic_file", "tasks"]

MEGAPIXELS = (1, 4, 24, 60)

_DECODE = """
import sys
import siren_codec
from siren_codec.bench.peak_memory import peak_kib
data = open(sys.argv[1], "rb").read()
pixels = siren_codec.decode(data, limits=siren_codec.Limits(pixels=1 << 32))
print(peak_kib() * 1024, pixels.nbytes)
"""


@dataclass(frozen=True)
class Held:
    """The bytes of memory that a decode held at most, and what of these it returned."""

    peak: int
    pixels: int

    @property
    def beyond(self) -> int:
        """The bytes beyond the pixels."""
        return self.peak - self.pixels


def measure(data: bytes) -> Held | None:
    """Return what a fresh process holds that decodes a file; None where it is not Linux."""
    if sys.platform != "linux":
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.siren"
        path.write_bytes(data)
        run = [sys.executable, "-c", _DECODE, str(path)]
        out = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    return Held(*map(int, out.split()))


def synthetic_file(width: int, height: int) -> bytes:
    """Return a `.siren` file of the default model with sparse grids."""
    name = PriorName(prior.DEFAULT_PRIORS["grid"], DEFAULT_QUALITY)
    architecture = prior.load(name.id).architecture_for(3)
    expected = prior.expected(name, 3)
    assert architecture is not None
    assert expected is not None
    tensors = [x.tensor for x in expected]
    layers = tuple(Layer(a, b) for a, b in zip(tensors[::2], tensors[1::2], strict=True))
    rng = np.random.default_rng(0)
    grids = tuple(
        (rng.integers(-6, 7, shape, np.int8) / 5).astype(np.int16)
        for shape in shapes(architecture, width, height)
    )
    depth = len(architecture.shapes)
    return stream.write(
        Field(
            *(width, height, 8, architecture, layers[:depth]),
            latents=grids,
            context=layers[depth:],
            prior=name,
        )
    )


def tasks(megapixels: Sequence[float] = MEGAPIXELS) -> Iterator[Task]:
    """Yield a measurement for each size."""
    for size in megapixels:
        facts = {"experiment": "memory", "settings": {"megapixels": size}}
        yield Task(facts, partial(_rows, facts, size))


def _rows(facts: Row, size: float) -> list[Row]:
    """Return the row of a size. Raises SirenError."""
    height = round((size * 1e6 * 2 / 3) ** 0.5)
    width = round(size * 1e6 / height)
    data = synthetic_file(width, height)
    held = measure(data)
    if held is None:
        raise SirenError("expected Linux, which tells a process's peak memory")
    figures = {
        "width": width,
        "height": height,
        "bpp": round(8 * len(data) / (width * height), 3),
        "beyond_mib": round(held.beyond / 2**20, 1),
        "pixels_mib": round(held.pixels / 2**20, 1),
    }
    return [{**facts, **figures, **store.about()}]


def section() -> str:
    """Return what the record says, as Markdown; nothing where there is none."""
    rows = sorted(store.rows_of("memory"), key=lambda row: row["settings"]["megapixels"])
    if not rows:
        return ""
    lines = [
        [
            f"{row['settings']['megapixels']:g} ({row['width']} x {row['height']})",
            f"{row['bpp']:.2f}",
            f"{row['beyond_mib']:.0f}",
            f"{row['pixels_mib']:.0f}",
        ]
        for row in rows
    ]
    headings = ["megapixels", "bpp", "MiB beyond the pixels", "MiB of pixels"]
    about = (__doc__ or "").partition("\n\n")[2]
    return f"{about}\n{markdown.table(headings, lines)}\n{markdown.origin('memory', rows)}"


@click.command()
@click.argument("megapixels", nargs=-1, type=float)
def main(megapixels: tuple[float, ...]) -> None:
    """Measure pictures of so many MEGAPIXELS, add them to the record, and print what it has."""
    store.make("memory", tasks(megapixels or MEGAPIXELS), click.echo)
    click.echo(section())


if __name__ == "__main__":
    main()
