"""`python -m tests.load_pictures FOLDER`: load every file of a folder as the encoder does.

A file is loaded, or refused with a SirenError of one line; any other exception and any warning is a
failure. What is loaded is compared, sample by sample, with what other libraries read; where they
differ both values are printed. Prints a line for each refusal, difference and failure and, at the
end, how many of each there are. `--differential` writes and reads pictures of every kind instead.
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

sys.path.insert(0, str(Path(__file__).parent))

import differential
import readers

__all__ = ["main", "try_to_load"]


def try_to_load(source: Path | bytes, max_pixels: int = DEFAULT_LIMITS.pixels) -> tuple[str, str]:
    """Load a picture file; return `loaded`, `refused` or `failed`, and its size or the error."""
    outcome, message, _ = _load(source, max_pixels)
    return outcome, message


def compare(source: Path) -> tuple[str, str]:
    """Load a picture file; the same, or `differing`, and where another reader finds what."""
    outcome, message, picture = _load(source, DEFAULT_LIMITS.pixels)
    if picture is None or picture.pixels.size > 1 << 28:
        return outcome, message
    found = readers.differences(source.read_bytes(), picture.pixels)
    if found:
        return "differing", f"{message}; {'; '.join(found)}; {', '.join(picture.notices)}"
    return outcome, message


def _load(source: Path | bytes, max_pixels: int) -> tuple[str, str, pictures.Picture | None]:
    picture = None
    # Recorded, and not raised: Pillow's would only look like a refusal.
    with warnings.catch_warnings(record=True) as warned:
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
    if warned:
        return "failed", f"{warned[0].category.__name__}: {warned[0].message}", None
    return outcome, message, picture


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code, 1 if there is a failure or a difference."""
    parser = argparse.ArgumentParser(
        "python -m tests.load_pictures", description="Load a folder's files."
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--differential", action="store_true", help="pictures of every kind")
    options = parser.parse_args(arguments)
    if options.differential:
        return _differential()
    if options.folder is None:
        parser.error("expected a folder or --differential")
    outcomes = Counter[str]()
    for path in sorted(options.folder.rglob("*")):
        if not path.is_file():
            continue
        outcome, message = compare(path)
        outcomes[outcome] += 1
        if outcome != "loaded":
            print(f"{outcome}: {path.relative_to(options.folder)}: {message}")
    names = ("loaded", "refused", "differing", "failed")
    print(", ".join(f"{outcomes[name]} {name}" for name in names))
    return 1 if outcomes["failed"] or outcomes["differing"] else 0


def _differential() -> int:
    """Print what is not read as it was written, and how many kinds of pictures there are."""
    count, wrong = 0, 0
    for case in differential.cases(full=True):
        count += 1
        message = differential.check(case)
        if message:
            wrong += 1
            print(f"differing: {case.name}: {message}")
    print(f"{count} kinds of pictures, {wrong} differing")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
