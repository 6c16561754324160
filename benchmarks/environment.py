"""Where, when and from what code a figure comes: what every record carries."""

import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from siren_codec.field.threads import available_cores

__all__ = ["RESULTS", "describe"]

RESULTS = Path(__file__).parent / "results"
"""Where results of record are kept."""


def describe(benchmark: str, device: str = "cpu") -> dict[str, str]:
    """Return command, date, commit, device and versions, for a record of `benchmark`."""
    import torch

    changed = _git("status", "--porcelain", "siren_codec", "benchmarks/*.py")
    if device == "cuda":
        name = torch.cuda.get_device_name()
    else:
        name = f"CPU {_cpu_name()}, {available_cores()} cores"
    return {
        "command": shlex.join(["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _git("rev-parse", "--short", "HEAD") + (" with changes" if changed else ""),
        "device": name,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }


def _git(*arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or ("" if found.returncode == 0 else "unknown")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
