"""`siren_codec.encode_many` and `decode_many`."""

import functools
import multiprocessing
import operator
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path

from siren_codec import extras
from siren_codec.errors import UsageError
from siren_codec.framing import SHOWS, Crop, Show, Size, View
from siren_codec.keywords import named
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.many import workers as processes
from siren_codec.many.mirror import Mirror, Outcome
from siren_codec.many.plan import PICTURES, Job, Plan, sirens
from siren_codec.many.recipes import Decode, Encode, Results, one_by_one
from siren_codec.many.results import (
    DecodedFile,
    EncodedFile,
    R,
    of_failure,
    of_outcome,
    of_skipped,
)
from siren_codec.options import DECODERS, Alpha, Device, Model, Options, Start, check_choice

__all__ = ["Paths", "decode_many", "encode_many"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
"""A folder, or files."""


@named
def encode_many(
    paths: Paths,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    force: bool = False,
    preserve: bool = True,
    strip: bool = False,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    model: Model = "grid",
    quality: int | None = None,
    target_bpp: float | None = None,
    target_size: int | None = None,
    target_psnr: float | None = None,
    max_error: int | None = None,
    effort: int = 4,
    start: Start | None = None,
    alpha: Alpha = "auto",
    hidden_layers: int | None = None,
    hidden_features: int | None = None,
    steps: int | None = None,
    device: Device = "auto",
    memory: int | None = None,
    seed: int = 0,
) -> Generator[EncodedFile, None, None]:
    """Encode many pictures into a folder, and yield what became of each, as they are done.

    `paths` are picture files, whose outputs all go into `out`, or one folder, whose subfolders
    `out` then has too. a.png becomes a.siren, or a.png.siren where another picture of the folder
    would be a.siren too. Only what is missing or out of date is made: a record in each folder of
    outputs says what they were made from, and with which options. A file that it does not know is
    overwritten only with `force`. An output is whole or absent, and with `preserve` it gets the
    mode and the modification time of its picture.

    With `workers` above 1 as many processes share the cores, or get a GPU each; a script must then
    have its work under `if __name__ == "__main__":`. Closing the iterator, or dropping it, ends
    them. `strip` leaves out ICC profile, EXIF and XMP; `max_pixels` bounds the size of a picture;
    `memory` holds for each picture; all other options are those of `Options`.

    A picture that fails is a result with an `error`, not an exception. Raises UsageError for an
    option that is wrong, and SirenError where a folder is expected, before anything is done.

    >>> for each in siren_codec.encode_many(["photo.png"], "small", effort=1):
    ...     print(each.output.name, each.status, each.error)
    photo.siren made None
    """
    options = Options.among(locals())
    extras.need("encode", "encoding")
    count = _workers(workers)
    recipe = Encode(options, max_pixels, strip, quiet=True)
    mirror = Mirror(_sources(paths), Path(out), PICTURES, recipe, force, preserve)
    return _results(EncodedFile, mirror, count, mirror.plan())


@named
def decode_many(
    paths: Paths,
    out: str | os.PathLike[str],
    *,
    workers: int = 1,
    force: bool = False,
    preserve: bool = True,
    extension: str = "png",
    size: Size | None = None,
    scale: float | None = None,
    crop: Crop | None = None,
    show: Show = "colour",
    device: str = "cpu",
    partial: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Generator[DecodedFile, None, None]:
    """Decode many `.siren` files into a folder, and yield what became of each, as they are done.

    `paths`, `out`, `workers`, `force` and `preserve` are those of `encode_many`; the others are
    those of `decode`. `extension` says what kind of file is written (png, jpg, tiff, webp, bmp,
    avif or jxl), and `show` what it shows: the colours, their `gradient` or their `laplacian`. A
    picture that exists and is in no record may be an original: it is an error, unless `force`
    overwrites it.

    >>> [each.width for each in siren_codec.decode_many(["photo.siren"], "large", scale=4)]
    [384]
    """
    from siren_codec.picture import OUTPUT_FORMATS

    count = _workers(workers)
    extension = extension.lower().removeprefix(".")
    check_choice("extension", f".{extension}", [*OUTPUT_FORMATS])
    check_choice("show", show, SHOWS)
    check_choice("device", device, DECODERS)
    recipe = Decode(
        OUTPUT_FORMATS[f".{extension}"], View(size, scale, crop), show, device, limits, partial
    )
    mirror = Mirror(_sources(paths), Path(out), sirens(extension), recipe, force, preserve)
    return _results(DecodedFile, mirror, count, mirror.plan())


def _results(kind: type[R], mirror: Mirror, count: int, todo: Plan) -> Generator[R, None, None]:
    """Yield what is known of a plan already, and then what `count` processes make of its jobs."""
    for source, error in todo.failures.items():
        yield of_failure(kind, source, error)
    for found in todo.skipped:
        if found.kind:
            yield of_skipped(kind, found)
    for job in todo.done:
        yield of_outcome(kind, Outcome(job, "done"))
    for job, why in todo.kept.items():
        yield of_outcome(kind, Outcome(job, "kept", why))
    count = min(count, len(todo.jobs))
    by: Callable[[Iterator[Job]], Results] = functools.partial(one_by_one, recipe=mirror.recipe)
    if count > 1:
        by = functools.partial(processes.run, recipe=mirror.recipe, count=count)
    with closing(mirror.run(todo.jobs, by)) as outcomes:
        for outcome in outcomes:
            yield of_outcome(kind, outcome)


def _sources(paths: Paths) -> Path | tuple[Path, ...]:
    """Return the folder or the files. Raises UsageError."""
    if isinstance(paths, str | os.PathLike):
        path = Path(paths)
        return (path,) if path.is_file() else path
    try:
        return tuple(map(Path, paths))
    except TypeError:
        raise UsageError(f"paths: expected a folder or files, found {paths!r}") from None


def _workers(count: int) -> int:
    """Return how many processes there are to be. Raises UsageError."""
    try:
        number = operator.index(count)
    except TypeError:
        number = 0
    if number < 1:
        raise UsageError(f"workers: expected an integer from 1 on, found {count!r}")
    if number > 1 and multiprocessing.current_process().daemon:
        raise UsageError(
            f"workers: expected 1 in a process that may begin no others, found {count}; "
            f"{processes.GUARD}"
        )
    return number
