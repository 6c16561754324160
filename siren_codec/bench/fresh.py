"""What a fresh process of siren-encode or siren-decode runs: the command, and its peak memory.

python -m siren_codec.bench.fresh encode|decode ARGUMENTS

Where the variable PEAK names a file, the most memory that the process held is written to it, in
KiB: Linux's high-water mark, which begins anew with a program, unlike `ru_maxrss`, which begins
with what the parent held. Elsewhere nothing is written.
"""

import os
import sys
from contextlib import suppress

__all__ = ["PEAK", "main"]

PEAK = "SIREN_BENCH_PEAK"


def main() -> None:
    """Run the command that the first argument names."""
    from siren_codec import cli

    command = {"encode": cli.encode_main, "decode": cli.decode_main}[sys.argv.pop(1)]
    try:
        command()
    finally:
        if path := os.environ.get(PEAK):
            _note_peak(path)


def _note_peak(path: str) -> None:
    with suppress(OSError):
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            lines = [line for line in file if line.startswith("VmHWM:")]
        if lines:
            with open(path, "w", encoding="ascii") as file:
                file.write(lines[0].split()[1])


if __name__ == "__main__":
    main()
