"""A command in a fresh process, and the most memory that it held.

python -m siren_codec.bench.peak_memory MODULE:FUNCTION ARGUMENTS

Where the variable PEAK names a file, the most memory that the process held is written to it, in
KiB: Linux's high-water mark, which begins anew with a program, unlike `ru_maxrss`, which begins
with what the parent held. Elsewhere nothing is written.
"""

import os
import sys
from contextlib import suppress
from pkgutil import resolve_name

__all__ = ["PEAK", "main", "peak_kib"]

PEAK = "SIREN_BENCH_PEAK"


def main() -> None:
    """Run the function that the first argument names, with the others as the command line."""
    command = resolve_name(sys.argv.pop(1))
    try:
        command()
    finally:
        path, held = os.environ.get(PEAK), peak_kib()
        if path and held is not None:
            with suppress(OSError), open(path, "w", encoding="ascii") as file:
                file.write(str(held))


def peak_kib() -> int | None:
    """Return the most memory that this process has held, in KiB; None where it is not Linux."""
    with (
        suppress(OSError),
        open("/proc/self/status", encoding="ascii", errors="replace") as file,
    ):
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return None


if __name__ == "__main__":
    main()
