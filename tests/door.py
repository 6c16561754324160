"""`python -m tests.door FOLDER`: load every file of a folder as the encoder does.

A file is loaded, or refused with a SirenError of one line; any other exception and any warning is a
failure. Prints a line for each refusal and failure and, at the end, how many of each there are.
"""

import argparse
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from siren_codec import picture as pictures
from siren_codec.errors import SirenError
from siren_codec.limits import DEFAULT_LIMITS

__all__ = ["knock", "main"]


def knock(source: Path | bytes, max_pixels: int = DEFAULT_LIMITS.pixels) -> tuple[str, str]:
    """Load a picture file; return `loaded`, `refused` or `failed`, and what was said of it."""
    # Recorded, and not raised: Pillow's would only look like a refusal.
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            picture = pictures.load(source, max_pixels=max_pixels)
        except SirenError as error:
            outcome, message = "refused", str(error)
            if len(message.splitlines()) != 1:
                outcome = "failed"
        except Exception as error:
            outcome, message = "failed", f"{type(error).__name__}: {error}"
        else:
            height, width, channels = picture.pixels.shape
            bits = 8 * picture.pixels.itemsize
            outcome, message = "loaded", f"{width}x{height}, {channels} channels of {bits} bits"
    if said:
        return "failed", f"{said[0].category.__name__}: {said[0].message}"
    return outcome, message


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code, 1 if there is a failure."""
    parser = argparse.ArgumentParser("python -m tests.door", description="Load a folder's files.")
    parser.add_argument("folder", type=Path)
    outcomes = Counter[str]()
    for path in sorted(parser.parse_args(arguments).folder.iterdir()):
        if not path.is_file():
            continue
        outcome, message = knock(path)
        outcomes[outcome] += 1
        if outcome != "loaded":
            print(f"{outcome}: {path.name}: {message}")
    print(", ".join(f"{outcomes[name]} {name}" for name in ("loaded", "refused", "failed")))
    return 1 if outcomes["failed"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
