"""Records of siren-bench's kind: which pictures, codecs and settings the results need."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.store import Task
from siren_codec.bench import environment, pictures
from siren_codec.bench.codecs import CODECS, by_name
from siren_codec.bench.measurement import measured
from siren_codec.bench.pictures import Original
from siren_codec.bench.published import KODAK
from siren_codec.bench.results import Row
from siren_codec.errors import UsageError
from siren_codec.options import DEFAULT_QUALITY, Options

__all__ = ["FOUR", "MONTAGE", "QUALITIES", "RECORDS", "Comparison", "original"]

QUALITIES = (14, 24, 36, 50, 60)
"""Of the grid model's curves, by rising rate."""
FOUR = ("kodim05", "kodim13", "kodim15", "kodim23")
"""Two textured ones and two smooth ones, for what takes long."""
MONTAGE = "kodak-montage"
"""A picture of 12 megapixels: the 24, and six of them again, five by six, all lying on a side."""


@dataclass(frozen=True)
class Comparison:
    """A record of pictures."""

    name: str
    images: tuple[str, ...]
    runs: tuple[tuple[str, tuple[float, ...], dict[str, Any]], ...]
    """A codec, its qualities, and what its other settings are."""

    def tasks(self, folder: Path | None) -> Iterator[Task]:
        """Yield what the record needs; without the folder of the pictures none can be made."""
        for codec, qualities, more in self.runs:
            for quality in qualities:
                for image in self.images:
                    settings = {"quality": quality, **more}
                    facts = {"image": image, "codec": codec, "settings": settings}
                    yield Task(facts, partial(_measure, self.name, folder, image, codec, settings))


def _measure(
    record: str, folder: Path | None, image: str, name: str, settings: dict[str, Any]
) -> list[Row]:
    """Return the row of a picture; its file is not kept."""
    if folder is None:
        raise UsageError(f"expected the folder of the Kodak pictures, for {image}")
    origin = environment.origin(["bin/bench", "record", "KODAK", "--only", record])
    with tempfile.TemporaryDirectory() as kept:
        row = measured(original(folder, image), by_name(name), settings, Path(kept))
    return [{**row, **origin, "file": None}]


@cache
def original(folder: Path, image: str) -> Original:
    """Return one of the pictures, or the montage of them."""
    if image != MONTAGE:
        return pictures.load([folder / f"{image}.png"])[0]
    names = sorted(KODAK)
    found = [original(folder, name).pixels for name in (*names, *names[:6])]
    lying = [np.rot90(pixels) if len(pixels) > pixels.shape[1] else pixels for pixels in found]
    bands = [np.concatenate(lying[start : start + 5], axis=1) for start in range(0, 30, 5)]
    return Original(MONTAGE, np.ascontiguousarray(np.concatenate(bands)))


def _peers(*names: str) -> Iterator[tuple[str, tuple[float, ...], dict[str, Any]]]:
    """Yield the codecs of these names; without names those that siren-bench compares by itself."""
    for codec in CODECS:
        if codec.name in names or not (names or codec.is_ours or not codec.is_default):
            yield codec.name, codec.qualities, {}


def _grid(qualities: Sequence[float], **settings: int) -> tuple[str, tuple[float, ...], Any]:
    return "grid", tuple(qualities), {"effort": Options.effort, **settings}


RECORDS = (
    Comparison("kodak24", tuple(sorted(KODAK)), (*_peers(), _grid(QUALITIES))),
    Comparison("jpegli", tuple(sorted(KODAK)), tuple(_peers("jpegli"))),
    Comparison("best", FOUR, tuple(_peers("avif-best", "jxl-best"))),
    Comparison(
        "efforts",
        FOUR,
        (
            *(_grid(QUALITIES, effort=effort) for effort in (1, 2)),
            *(_grid((36,), effort=effort) for effort in (3, 5, 6, 7, 9)),
        ),
    ),
    Comparison("times", FOUR[:2], tuple(_grid((DEFAULT_QUALITY,), effort=e) for e in (1, 2, 4))),
    Comparison("zoom", FOUR, (_grid((80,), zoom=2), _grid((80,), zoom=4))),
    Comparison("coordinate", FOUR, (("coordinate", (28,), {"effort": Options.effort}),)),
    Comparison("large", (MONTAGE,), tuple(_grid((DEFAULT_QUALITY,), effort=e) for e in (1, 4))),
)
