"""What tests of siren-bench's modules need: a photograph, rows, plans, codecs of few qualities."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siren_codec.bench.codecs import Codec, PillowCodec, by_name
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Row
from siren_codec.bench.run import Plan

__all__ = ["COORDINATE", "GRID", "TWO_JPEGS", "lines", "photo", "plan", "row", "rows_of"]

JPEG = by_name("jpeg")
assert isinstance(JPEG, PillowCodec)
TWO_JPEGS = replace(JPEG, qualities=(10, 90))
GRID, COORDINATE = by_name("grid"), by_name("coordinate")


def photo(width: int = 48, height: int = 40) -> Original:
    """A part of the astronaut."""
    data = pytest.importorskip("skimage.data")
    return Original("photo", np.ascontiguousarray(data.astronaut()[80:][:height, 200:][:, :width]))


def plan(
    *originals: Original,
    codecs: Sequence[Codec] = (GRID,),
    qualities: Sequence[int] = (50,),
    **more: Any,
) -> Plan:
    """What is to be measured, with these qualities of the grid model."""
    return Plan(originals=originals, codecs=codecs, qualities={"grid": qualities}, **more)


def lines(out: Path) -> list[Row]:
    """The rows of a folder."""
    text = (out / "results.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def row(image: str, codec: str, quality: float, bpp: float = 1, **more: Any) -> Row:
    """What curves need of a row."""
    found = {"image": image, "sha256": "0", "codec": codec, "settings": {"quality": quality}}
    about = {"version": "1", "device": "a CPU", "psnr": 30, "ssim": None, "ms_ssim": None}
    return {**found, **about, "bpp": bpp, **more}


def rows_of(
    image: str, codec: str, points: Sequence[tuple[float, float]], **more: Any
) -> list[Row]:
    """Rows of a curve of (bits per pixel, PSNR)."""
    return [
        row(image, codec, quality, bpp, psnr=psnr, **more)
        for quality, (bpp, psnr) in enumerate(points)
    ]
