"""Folders: which files of a tree are taken, where they go, and what is done already."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from siren_codec.errors import SirenError

__all__ = ["PICTURES", "SIRENS", "Job", "Kind", "Plan", "plan"]

_UNREADABLE = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
"""What Pillow can name, but not read by itself."""
_BY_CONTENT = ("AVIF", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
"""What is known by its first bytes, whatever its name is; other formats could be anything."""


@dataclass(frozen=True)
class Kind:
    """The files that a command takes from a tree, and what it makes of them."""

    takes: Callable[[Path], bool]
    suffix: str
    is_whole: Callable[[Path], bool]
    replaces: bool
    """Whether an older or broken output may be overwritten: only if it can be no original."""


@dataclass(frozen=True)
class Job:
    """One file to make of another."""

    source: Path
    target: Path


@dataclass
class Plan:
    """What is to be done with a tree."""

    jobs: list[Job] = field(default_factory=list)
    done: int = 0
    """Outputs that are whole and not older than their inputs."""
    passed_over: int = 0
    """Entries that are hidden, no pictures, or links to folders."""
    failures: dict[Path, str] = field(default_factory=dict)


def plan(source: Path, target: Path, kind: Kind, *, force: bool) -> Plan:
    """Return what is to be done to mirror a tree; `force` does again what is done.

    Links to folders are not followed, and a target inside the source is left out. Raises
    SirenError if there is no such folder.
    """
    if not source.is_dir():
        raise SirenError(f"{source}: expected a folder")
    if target.exists() and not target.is_dir():
        raise SirenError(f"{target}: expected a folder")
    found = Plan()
    for folder, names in _walk(source, target, found):
        into = target / folder.relative_to(source)
        taken = [name for name in names if kind.takes(folder / name)]
        found.passed_over += len(names) - len(taken)
        for name, becomes in zip(taken, _names(taken, kind.suffix), strict=True):
            job = Job(folder / name, into / becomes)
            if not force and _is_done(job, kind):
                found.done += 1
            else:
                found.jobs.append(job)
    return found


def _walk(source: Path, target: Path, found: Plan) -> Iterator[tuple[Path, list[str]]]:
    """Yield each folder and its files, sorted, without what is hidden."""

    def fail(error: OSError) -> None:
        found.failures[Path(error.filename)] = error.strerror or str(error)

    out = os.path.realpath(target)
    for folder, folders, names in os.walk(source, onerror=fail):
        kept = []
        for name in sorted(folders):
            path = os.path.join(folder, name)
            if name.startswith(".") or os.path.islink(path):
                found.passed_over += 1
            elif os.path.realpath(path) != out:
                kept.append(name)
        folders[:] = kept
        seen = [name for name in sorted(names) if not name.startswith(".")]
        found.passed_over += len(names) - len(seen)
        yield Path(folder), seen


def _names(names: Sequence[str], suffix: str) -> list[str]:
    """Return what files of one folder become: a.png is a.siren.

    Where two would become the same (upper and lower case count as the same, as they do on some
    disks), each keeps its whole name: a.png.siren and a.jpg.siren.
    """
    becomes = {name: Path(name).stem + suffix for name in names}
    while True:
        seen: dict[str, list[str]] = {}
        for name, new in becomes.items():
            seen.setdefault(new.casefold(), []).append(name)
        clashes = [name for group in seen.values() if len(group) > 1 for name in group]
        if all(becomes[name] == name + suffix for name in clashes):
            return list(becomes.values())
        becomes |= {name: name + suffix for name in clashes}


def _is_done(job: Job, kind: Kind) -> bool:
    try:
        if job.target.stat().st_mtime_ns < job.source.stat().st_mtime_ns:
            return False
        return job.target.is_file() and kind.is_whole(job.target)
    except OSError:
        return False


def _is_picture(path: Path) -> bool:
    """Tell a picture by an extension that Pillow knows, or else by the content."""
    from PIL import Image

    # A link to nothing is taken, so that it is among the failures; pipes must not be opened.
    if not path.is_file() and not (path.is_symlink() and not path.exists()):
        return False
    extension = path.suffix.lower()
    if extension == ".siren":
        return False
    format_ = Image.registered_extensions().get(extension)
    if format_ in Image.OPEN and format_ not in _UNREADABLE:
        return True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(path, formats=_BY_CONTENT).close()
    except Image.DecompressionBombError:
        return True
    except Exception:
        # Pillow raises nearly anything for what is no picture.
        return False
    return True


def _is_siren(path: Path) -> bool:
    regular = path.is_file() or (path.is_symlink() and not path.exists())
    return path.suffix.lower() == ".siren" and regular


def _is_whole_siren(path: Path) -> bool:
    from siren_codec.decoding import read_limited
    from siren_codec.limits import UNBOUNDED
    from siren_codec.stream import format

    try:
        with open(path, "rb") as file:
            format.parse(read_limited(file), UNBOUNDED)
    except SirenError:
        return False
    return True


def _is_whole_png(path: Path) -> bool:
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=["PNG"]) as image:
                image.verify()
    except Image.DecompressionBombError:
        return True
    except Exception:
        return False
    return True


PICTURES = Kind(_is_picture, ".siren", _is_whole_siren, replaces=True)
"""What siren-encode takes from a folder."""
SIRENS = Kind(_is_siren, ".png", _is_whole_png, replaces=False)
"""What siren-decode takes from a folder."""
