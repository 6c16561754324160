"""What the first encode on a machine takes beyond the next ones: it compiles its kernels."""

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import markdown, store
from benchmarks.store import Task
from siren_codec.bench import commands
from siren_codec.bench.environment import ROOT
from siren_codec.bench.results import Row

__all__ = ["section", "sentence", "tasks"]

_NAME = "first-encode"
_IMAGE = "astronaut"


def tasks() -> Iterator[Task]:
    """Yield the measurement: two encodes of the sample, of which the first finds no kernels."""
    facts = {"experiment": _NAME, "image": _IMAGE, "settings": {"effort": 1}}
    yield Task(facts, partial(_rows, facts))


def _rows(facts: Row) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = ROOT / "samples" / f"{_IMAGE}.png", Path(folder) / "a.siren"
        seconds = [
            commands.encode(source, target, ("-e", "1"), {"NUMBA_CACHE_DIR": folder})[1].seconds
            for _ in range(2)
        ]
    about = store.about()
    return [{**facts, **about, "first_s": round(seconds[0], 2), "next_s": round(seconds[1], 2)}]


def sentence() -> str:
    """Return what the record says; nothing if there is none."""
    return "".join(
        f"The first encode on a machine compiles its kernels: `{row['image']}.png` at "
        f"`-e {row['settings']['effort']}` takes {markdown.seconds(row['first_s'])} s, the next "
        f"time {markdown.seconds(row['next_s'])}.\n"
        for row in store.rows_of(_NAME)
    )


def section() -> str:
    """Return the sentence, and where it comes from."""
    rows = store.rows_of(_NAME)
    return f"{sentence()}\n{markdown.origin(_NAME, rows)}" if rows else ""
