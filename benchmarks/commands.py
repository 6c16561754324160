"""siren-encode and siren-decode as a user runs them: fresh processes, real files, wall clock.

Results are rows of a JSON file that is whole at any moment, so that a long benchmark can be stopped
and taken up again: what is in the file already is not measured a second time. A row is known by its
picture, its settings and its key, a digest of the codec's own files; so a change of the codec
measures all anew, and a change of the documentation nothing.
"""

import hashlib
import json
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from siren_codec import metrics, output
from siren_codec.bench import commands
from siren_codec.bench.environment import code_key
from siren_codec.bench.measure import MOST_PSNR, fidelity
from siren_codec.errors import SirenError
from siren_codec.picture import load
from siren_codec.stream import DEFAULT_LIMITS

__all__ = [
    "IDENTITY",
    "MOST_PSNR",
    "Numbers",
    "Original",
    "Row",
    "Settings",
    "chosen_device",
    "code_key",
    "decode",
    "encode",
    "fidelity",
    "matching",
    "measure",
    "measure_all",
    "origin",
    "originals",
    "read_rows",
    "table",
    "write_rows",
]

Row = dict[str, Any]
Pixels = npt.NDArray[np.uint8]

IDENTITY = ("image", "sha256", "quality", "effort", "model", "fit_on", "key")
"""What makes two rows the same measurement."""


@dataclass(frozen=True, eq=False)
class Original:
    """A picture to compress: uint8 (height, width, 3), or without the last axis if it is grey."""

    path: Path
    pixels: Pixels
    sha256: str
    """Of the file, its first 12 digits: a name alone does not tell one picture from another."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a picture is encoded with."""

    quality: float
    effort: int
    model: str
    fit_on: str
    """cpu or cuda."""


class Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers within bounds, with commas or spaces between them, such as 24,36,50; each once."""

    name = "numbers"

    def __init__(self, least: float, most: float) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[float, ...]:
        """Return the numbers of the text."""
        try:
            numbers = tuple(dict.fromkeys(map(float, str(value).replace(",", " ").split())))
        except ValueError:
            numbers = ()
        if not numbers or not all(self.least <= number <= self.most for number in numbers):
            self.fail(f"expected {self.least:g}..{self.most:g}, found {value!r}", param, ctx)
        return numbers


def originals(paths: Sequence[Path]) -> list[Original]:
    """Read pictures of 8 bits, grey or RGB, each name once."""
    found = []
    for path in paths:
        pixels = load(path, max_pixels=DEFAULT_LIMITS.pixels).pixels
        if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
            raise click.ClickException(f"{path}: expected grey or RGB of 8 bits")
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        found.append(Original(path.resolve(), _without_grey_axis(pixels), digest))
    names = [original.name for original in found]
    if len(set(names)) < len(names):
        raise click.ClickException("expected pictures of different names")
    return found


def _without_grey_axis(pixels: Pixels) -> Pixels:
    return pixels[:, :, 0] if pixels.shape[2] == 1 else pixels


def chosen_device(device: str) -> str:
    """Return what `auto` means to siren-encode, without importing any of it."""
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def encode(source: Path, target: Path, settings: Settings) -> tuple[Row, float]:
    """Run siren-encode; return the JSON that it ends with, and the seconds of the process."""
    options = ["-q", f"{settings.quality:g}", "-e", str(settings.effort), "--model", settings.model]
    try:
        said, done = commands.encode(source, target, [*options, "--device", settings.fit_on])
    except SirenError as error:
        raise click.ClickException(str(error)) from None
    return said, done.seconds


def decode(source: Path, target: Path, *options: str) -> tuple[Pixels, float]:
    """Run siren-decode; return the pixels of the PNG, and the seconds of the process."""
    try:
        pixels, done = commands.decode(source, target, options)
    except SirenError as error:
        raise click.ClickException(str(error)) from None
    return pixels, done.seconds


def measure(original: Original, settings: Settings, keep: Path | None = None) -> Row:
    """Encode and decode a picture, each in a fresh process, and return what became of it.

    The .siren file stays in the folder `keep`, if there is one.
    """
    with tempfile.TemporaryDirectory() as folder:
        name = f"{original.path.stem}-q{settings.quality:g}-e{settings.effort}-{settings.model}"
        file = (Path(folder) if keep is None else keep.resolve()) / f"{name}.siren"
        said, encode_seconds = encode(original.path, file, settings)
        decoded, decode_seconds = decode(file, Path(folder) / "decoded.png")
        length = file.stat().st_size
    height, width = original.pixels.shape[:2]
    row = {
        "image": original.name,
        "sha256": original.sha256,
        "width": width,
        "height": height,
        "quality": settings.quality,
        "effort": settings.effort,
        "model": settings.model,
        "fit_on": settings.fit_on,
        "bytes": length,
        "bpp": round(metrics.bpp(file_bytes=length, width=width, height=height), 5),
        **fidelity(original.pixels, decoded),
        "encode_s": round(encode_seconds, 2),
        "decode_s": round(decode_seconds, 3),
    }
    _compare(row, said)
    return row


def _compare(row: Row, said: Row) -> None:
    """Warn where siren-encode reported something else than the file turned out to be."""
    reported = said.get("psnr")
    psnr = MOST_PSNR if reported is None else min(reported, MOST_PSNR)
    if said.get("bytes") != row["bytes"] or not math.isclose(psnr, row["psnr"], abs_tol=1e-3):
        tqdm.write(
            f"warning: {row['image']}: siren-encode reported {said.get('bytes')} bytes and "
            f"{psnr:.4f} dB, found {row['bytes']} and {row['psnr']:.4f}",
            file=sys.stderr,
        )


def measure_all(
    jobs: Iterable[tuple[Original, Settings]],
    *,
    out: Path,
    key: str,
    about: Row,
    keep: Path | None = None,
    finish: Callable[[Row], Row] = dict,
    after: Callable[[list[Row]], object] = len,
) -> list[str]:
    """Measure what `out` does not have yet, row by row; return what failed, a line each.

    Every row is written as it comes, as `finish` returns it and with `about` beside it; `after`
    then gets all rows. A key that is the code's digest holds the code to it: a change ends the run.
    """
    guarded = key == code_key()
    rows = read_rows(out)
    done = {_identity(row) for row in rows}
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    failures = []
    for original, settings in tqdm(list(jobs), unit="file", leave=False):
        known = {**vars(settings), "image": original.name, "sha256": original.sha256, "key": key}
        if _identity(known) in done:
            continue
        if guarded and key != code_key():
            raise click.ClickException("siren_codec changed under the run; --resume KEY allows it")
        try:
            row = measure(original, settings, keep)
        except click.ClickException as error:
            failures.append(f"{original.name}, quality {settings.quality:g}: {error.message}")
            tqdm.write(failures[-1], file=sys.stderr)
            continue
        rows.append({**finish(row), "key": key, **about})
        write_rows(out, rows)
        after(rows)
    return failures


def _identity(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in IDENTITY)


def matching(rows: Iterable[Row], images: Sequence[Original], **fields: Any) -> list[Row]:
    """Return the rows of these pictures with these fields."""
    known = {(original.name, original.sha256) for original in images}
    return [
        row
        for row in rows
        if (row["image"], row["sha256"]) in known
        and all(row.get(name) == value for name, value in fields.items())
    ]


def read_rows(path: Path) -> list[Row]:
    """Return the rows of a JSON file; none if it does not exist."""
    if not path.exists():
        return []
    return list(json.loads(path.read_text(encoding="utf-8"))["results"])


def write_rows(path: Path, rows: Sequence[Row], about: Row | None = None) -> None:
    """Write rows, a line each: the file is always whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ",\n".join(f"  {json.dumps(row, allow_nan=False)}" for row in rows)
    head = "".join(f' "{name}": {json.dumps(value)},\n' for name, value in (about or {}).items())
    text = f'{{\n{head} "results": [\n{lines}\n ]\n}}\n'
    output.write(path, text.encode(), force=True)


def origin(rows: Sequence[Row]) -> str:
    """Return a line of Markdown that says where rows come from."""
    parts = (
        "; ".join(dict.fromkeys(str(row[name]) for row in rows))
        for name in ("command", "date", "commit", "device", "torch")
    )
    return "`{}`, {}, commit {}, {}, torch {}.".format(*parts)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; every column but the first is aligned to the right."""
    lines = [f"| {' | '.join(line)} |" for line in (headings, *rows)]
    lines.insert(1, f"|---|{'---:|' * (len(headings) - 1)}")
    return "\n".join(lines) + "\n"
