"""Where, when and from what code a figure comes: what every record carries."""

import hashlib
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from siren_codec.field.threads import available_cores

__all__ = ["ROOT", "code_key", "describe", "device_name", "origin"]

ROOT = Path(__file__).parents[2]
"""Of the checkout, or where the package is installed."""


def describe(command: Sequence[str], device: str = "cpu") -> dict[str, str]:
    """Return command, date, commit and device of a measurement."""
    return {**origin(command), "device": device_name(device)}


def origin(command: Sequence[str]) -> dict[str, str]:
    """Return command, date and commit of a measurement."""
    return {
        "command": shlex.join(command),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": _commit(),
    }


def device_name(device: str) -> str:
    """Return what `cpu` or `cuda` is on this machine."""
    if device == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    return f"CPU {_cpu_name()}, {available_cores()} cores"


def code_key() -> str:
    """Return a digest of the code that decides what a file holds: the fit, the model, the format.

    Rows of the same key come from the same codec, whatever became of commands and pictures.
    """
    digest = hashlib.sha256()
    package = ROOT / "siren_codec"
    for name in _DECIDING:
        path = package / name
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.suffix in (".py", ".npz", ".c", ".h"):
                digest.update(f"{file.relative_to(package)}\n".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


_DECIDING = ("effort.py", "encoding.py", "field", "fit", "options.py", "stream")


def _commit() -> str:
    """Return the checkout's commit; `unknown` if installed elsewhere, or git does not tell."""
    if not (ROOT / ".git").exists():
        return "unknown"
    commit = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "siren_codec", "benchmarks/*.py")
    if commit is None or changed is None:
        return "unknown"
    return f"{commit} with changes" if changed else commit


def _git(*arguments: str) -> str | None:
    """Return what git says; None where it is not installed, or fails."""
    try:
        found = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return found.stdout.strip() if found.returncode == 0 else None


def _cpu_name() -> str:
    """Return the processor's name, and what tells apart those of one name, a cloud's above all."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    facts: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        facts.setdefault(name.strip(), value.strip())
    numbers = [f"{name} {facts[key]}" for name, key in _CPU_NUMBERS.items() if key in facts]
    return facts.get("model name", platform.processor()) + (
        f" ({', '.join(numbers)})" if numbers else ""
    )


_CPU_NUMBERS = {"family": "cpu family", "model": "model"}
"""What they are called here, and by Linux."""
