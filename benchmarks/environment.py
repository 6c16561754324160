"""Where, when and from what code a figure comes: what every record here carries."""

import platform
import sys
from pathlib import Path

import numpy as np

from siren_codec.bench import environment

__all__ = ["RESULTS", "describe"]

RESULTS = Path(__file__).parent / "results"
"""Where results of record are kept."""


def describe(benchmark: str, device: str = "cpu") -> dict[str, str]:
    """Return command, date, commit, device and versions, for a record of `benchmark`."""
    import torch

    command = ["python", "-m", f"benchmarks.{benchmark}", *sys.argv[1:]]
    return {
        **environment.describe(command, device),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
