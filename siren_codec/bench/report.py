"""The report: OUT/report.html."""

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

from siren_codec import output
from siren_codec.bench.pictures import Pixels
from siren_codec.bench.results import Row

__all__ = ["write"]

_COLUMNS = ("image", "codec", "settings", "bytes", "bpp", "psnr", "ssim", "ms_ssim")


def write(rows: Sequence[Row], out: Path, originals: Mapping[str, Pixels]) -> Path:  # noqa: ARG001
    """Write OUT/report.html, a table of the rows, and return its path."""
    lines = [
        "".join(f"<td>{html.escape(str(row[name]))}</td>" for name in _COLUMNS) for row in rows
    ]
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    page = f"<!doctype html><title>siren-bench</title><table><tr>{head}</tr>\n{body}</table>\n"
    output.write(out / "report.html", page.encode(), force=True)
    return out / "report.html"
