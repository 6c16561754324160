"""Which files are taken, what their outputs are called, and what is to be done with them."""

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from siren_codec import output
from siren_codec.errors import SirenError, UsageError
from siren_codec.many import records
from siren_codec.many.verdicts import Job, Judge, State, Verdict, of_picture, of_siren, stamps

if TYPE_CHECKING:
    from siren_codec.picture.foreign import Foreign

__all__ = [
    "PICTURES",
    "Job",
    "Kind",
    "Plan",
    "Skipped",
    "output_names",
    "plan_files",
    "plan_tree",
    "sirens",
]

_NOT_READ = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF"}
"""What Pillow can name, but not read by itself."""
_BY_CONTENT = ("GIF", "JPEG", "WEBP")
"""What is known by its first bytes, whatever its name is; other formats could be anything."""


@dataclass(frozen=True)
class Skipped:
    """A file or folder that is not taken, and why."""

    path: Path
    why: str
    kind: "Foreign | None" = None
    """What kind of picture it is, if that is why."""


@dataclass(frozen=True)
class Kind:
    """The files that a command takes from a tree, and what it makes of them."""

    skips: Callable[[Path], Skipped | None]
    """Why a file is not taken; None if it is."""
    suffix: str
    unknown: Callable[[Job], Verdict]
    """The verdict of an output that is in no record."""


@dataclass
class Plan:
    """What is to be done with a tree, or with some files."""

    jobs: list[Job] = field(default_factory=list)
    done: list[Job] = field(default_factory=list)
    """Outputs that are of these very inputs, with these options."""
    kept: dict[Job, str] = field(default_factory=dict)
    """What is not made again, though its output may not be of it, and why."""
    skipped: list[Skipped] = field(default_factory=list)
    failures: dict[Path, str] = field(default_factory=dict)
    """Inputs, and folders, of which nothing can be made."""

    def judge(self, job: Job, judge: Judge) -> None:
        """Put a job where its verdict says."""
        job = replace(job, stamps=stamps(job))
        verdict = judge.verdict(job)
        if verdict.state is State.MAKE:
            self.jobs.append(replace(job, why=verdict.why))
        elif verdict.state is State.DONE:
            self.done.append(job)
        elif verdict.state is State.KEPT:
            self.kept[job] = verdict.why
        else:
            self.failures[job.source] = f"{job.target}: {verdict.why}"


def plan_tree(source: Path, target: Path, kind: Kind, judge: Judge) -> Plan:
    """Return what is to be done to mirror a tree.

    Links to folders are not followed, and a target inside the source is left out. Raises
    SirenError if there is no such folder.
    """
    if not source.is_dir():
        raise SirenError(f"{source}: expected a folder")
    _check_target(target)
    found = Plan()
    for folder, folders, names in _walk(source, target, found):
        into = target / folder.relative_to(source)
        taken = []
        for name in names:
            reason = kind.skips(folder / name)
            if reason is None:
                taken.append(name)
            else:
                found.skipped.append(reason)
        for name, becomes in zip(taken, output_names(taken, kind.suffix, folders), strict=True):
            found.judge(Job(folder / name, into / becomes), judge)
    return found


def plan_files(sources: Sequence[Path], target: Path, kind: Kind, judge: Judge) -> Plan:
    """Return what is to be done to put the outputs of some files into one folder.

    A source that is no file, or not there, is a failure. Raises SirenError if the target is no
    folder, and UsageError where two sources have one name: their outputs would have one, too.
    """
    _check_target(target)
    for name, count in Counter(source.name for source in sources).items():
        if count > 1:
            raise UsageError(f"{name}: expected one input of this name for {target}, found {count}")
    found = Plan()
    names = output_names([source.name for source in sources], kind.suffix)
    for source, name in zip(sources, names, strict=True):
        if source.is_dir():
            found.failures[source] = "expected a file, found a folder"
        elif output.is_special(source):
            found.failures[source] = "expected a file, found a pipe or a device"
        else:
            found.judge(Job(source, target / name), judge)
    return found


def output_names(names: Sequence[str], suffix: str, folders: Sequence[str] = ()) -> list[str]:
    """Return what files of one folder become: a.png is a.siren.

    Where two would become the same, or what a folder beside them is called, each keeps its whole
    name: a.png.siren and a.jpg.siren. Upper and lower case count as the same, and so do letters
    with an accent and letters and accents: on some disks they are.
    """
    becomes = {name: Path(name).stem + suffix for name in names}
    reserved = {_alike(folder) for folder in folders}
    while True:
        seen: dict[str, list[str]] = {}
        for name, new in becomes.items():
            seen.setdefault(_alike(new), []).append(name)
        clashes = [
            name
            for new, group in seen.items()
            for name in group
            if len(group) > 1 or new in reserved
        ]
        if all(becomes[name] == name + suffix for name in clashes):
            return list(becomes.values())
        becomes |= {name: name + suffix for name in clashes}


def _check_target(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise SirenError(f"{target}: expected a folder")


def _walk(source: Path, target: Path, found: Plan) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the folders and files in it, sorted, without what is hidden."""

    def fail(error: OSError) -> None:
        found.failures[Path(error.filename)] = error.strerror or str(error)

    def skip(folder: str, name: str, why: str) -> None:
        if name != records.NAME:
            found.skipped.append(Skipped(Path(folder, name), why))

    out = os.path.realpath(target)
    for folder, folders, names in os.walk(source, onerror=fail):
        kept = []
        for name in sorted(folders):
            path = os.path.join(folder, name)
            if name.startswith("."):
                skip(folder, name, "hidden")
            elif os.path.islink(path):
                skip(folder, name, "a link to a folder")
            elif os.path.realpath(path) != out:
                kept.append(name)
        folders[:] = kept
        for name in sorted(names):
            if name.startswith("."):
                skip(folder, name, "hidden")
        yield Path(folder), kept, [name for name in sorted(names) if not name.startswith(".")]


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _no_picture(path: Path) -> Skipped | None:
    """Tell a picture by an extension that Pillow knows, or else by the content."""
    from PIL import Image

    from siren_codec.picture import foreign
    from siren_codec.picture.read import recognises
    from siren_codec.picture.settings import collected_warnings

    if not _is_ordinary(path):
        return Skipped(path, "not an ordinary file")
    extension = path.suffix.lower()
    if extension == ".siren":
        return Skipped(path, "a .siren file")
    format_ = Image.registered_extensions().get(extension)
    if format_ in Image.OPEN and format_ not in _NOT_READ:
        return None
    kind = foreign.kind_of_file(path)
    if kind and kind.by_name:
        return _not_readable(path, kind)
    try:
        if recognises(path):
            return None
        with collected_warnings():
            Image.open(path, formats=_BY_CONTENT).close()
    except Image.DecompressionBombError:
        return None
    except Exception as error:
        # Pillow raises nearly anything for what is no picture.
        if isinstance(error, OSError) and error.errno is not None:
            return Skipped(path, f"cannot be read: {error.strerror}")
        return _not_readable(path, kind)
    return None


def _not_readable(path: Path, kind: "Foreign | None") -> Skipped | None:
    """Say why a file is not taken; None if Pillow reads it with what can be imported."""
    if kind is None:
        return Skipped(path, "not a picture")
    from siren_codec.picture import foreign

    if foreign.is_readable(kind):
        return None
    return Skipped(path, f"{kind.name} picture, {kind.advice}", kind)


def _no_siren(path: Path) -> Skipped | None:
    if not _is_ordinary(path):
        return Skipped(path, "not an ordinary file")
    return None if path.suffix.lower() == ".siren" else Skipped(path, "not a .siren file")


def _is_ordinary(path: Path) -> bool:
    """Tell what can be opened; a link to nothing is taken, so that it is among the failures."""
    return path.is_file() or (path.is_symlink() and not path.exists())


PICTURES = Kind(_no_picture, ".siren", of_siren)
"""What siren-encode takes from a folder."""


def sirens(extension: str = "png") -> Kind:
    """Return what siren-decode takes from a folder, to make pictures with this extension of it."""
    return Kind(_no_siren, f".{extension}", of_picture)
