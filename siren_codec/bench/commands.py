"""siren-encode and siren-decode as a user runs them: fresh processes, real files, wall clock."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image

from siren_codec.bench.environment import ROOT
from siren_codec.bench.peak_memory import PEAK
from siren_codec.bench.pictures import Pixels
from siren_codec.errors import SirenError

__all__ = ["Process", "decode", "encode", "run"]

ENCODE = (sys.executable, "-m", "siren_codec.bench.peak_memory", "siren_codec.cli:encode_main")
DECODE = (sys.executable, "-m", "siren_codec.bench.peak_memory", "siren_codec.cli:decode_main")


@dataclass(frozen=True)
class Process:
    """A process that has ended well."""

    output: str
    """What it wrote to its standard output."""
    seconds: float
    """On the clock, from its start to its end."""
    peak_mib: float | None
    """The most memory that it held; None where the system does not tell."""


def encode(
    source: Path,
    target: Path,
    options: Sequence[str],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[str, Any], Process]:
    """Run siren-encode; return the JSON that it ends with, and the process. Raises SirenError."""
    extra = ("--force", "--json", "--quiet")
    command = [*ENCODE, str(source.resolve()), str(target.resolve()), *options, *extra]
    done = run(command, environment)
    try:
        return dict(json.loads(done.output.splitlines()[-1])), done
    except (IndexError, TypeError, ValueError):
        raise SirenError(f"siren-encode: expected JSON, found {done.output[-200:]!r}") from None


def decode(source: Path, target: Path, options: Sequence[str] = ()) -> tuple[Pixels, Process]:
    """Run siren-decode to a PNG; return its pixels, and the process. Raises SirenError."""
    done = run([*DECODE, str(source.resolve()), str(target.resolve()), "--force", *options])
    with Image.open(target) as image:
        return np.asarray(image), done


def run(command: Sequence[str], environment: Mapping[str, str] = MappingProxyType({})) -> Process:
    """Run ENCODE or DECODE with its arguments, and variables beyond this process's own.

    Raises SirenError with the last line of its standard error.
    """
    with tempfile.TemporaryDirectory() as folder:
        peak = Path(folder) / "peak"
        variables = {**os.environ, PEAK: str(peak), **environment}
        began = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            raise SirenError(last[0])
        held = int(peak.read_text(encoding="ascii")) / 1024 if peak.exists() else None
    return Process(done.stdout, seconds, held)
