"""What Python users are told of each file."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from siren_codec.many.mirror import Outcome
from siren_codec.many.plan import Skipped
from siren_codec.many.verdicts import FORCE

__all__ = ["DecodedFile", "EncodedFile", "of_failure", "of_outcome", "of_skipped"]


@dataclass(frozen=True, kw_only=True)
class _File:
    input: Path
    """The picture, or the `.siren` file."""
    output: Path | None = None
    """None if the work could not begin: the error then says why."""
    status: Literal["made", "done", "kept", "skipped", "failed"]
    """`done`: the output was made before, from this very input with these options; `kept`: no
    record says what the output was made from, so it was left; `skipped`: a kind of picture that
    cannot be read.
    """
    error: str | None = None
    """One line, if it failed."""
    why: str | None = None
    """Why it was kept, skipped, or made again."""
    notices: tuple[str, ...] = ()
    """What was converted or dropped on the way."""
    width: int | None = None
    """Pixels of the picture that was read, or decoded; None, as below, if nothing was made."""
    height: int | None = None
    """The same."""
    bytes: int | None = None
    """Of the output."""
    seconds: float | None = None
    """That the work took."""


@dataclass(frozen=True, kw_only=True)
class EncodedFile(_File):
    """What became of one picture of `encode_many`; the figures are of what was made now."""

    psnr: float | None = None
    """dB over the samples of the decoded pixels, without alpha."""
    max_error: int | None = None
    """The largest difference of a sample that can be seen, in the picture's levels."""
    alpha_psnr: float | None = None
    """The same of the alpha channel, if there is one; infinite if it is stored without loss."""
    bpp: float | None = None
    """Bits per pixel of the whole file."""
    missed: str | None = None
    """What a target asked for and what was reached, if that is not the same."""


@dataclass(frozen=True, kw_only=True)
class DecodedFile(_File):
    """What became of one file of `decode_many`; the figures are of what was made now."""


R = TypeVar("R", EncodedFile, DecodedFile)


def of_outcome(kind: type[R], outcome: Outcome) -> R:
    """Return what is told of a job's outcome."""
    known: dict[str, Any] = {}
    if outcome.product is not None:
        names = {each.name for each in fields(kind)}
        known = {name: fact for name, fact in outcome.product.facts.items() if name in names}
    failed = outcome.status == "failed"
    return kind(
        input=outcome.job.source,
        output=outcome.job.target,
        status=outcome.status,
        error=_in_python(outcome.why) if failed else None,
        why=None if failed else outcome.why or None,
        notices=outcome.notices,
        **known,
    )


def of_failure(kind: type[R], source: Path, error: str) -> R:
    """Return what is told of an input of which nothing can be made."""
    return kind(input=source, status="failed", error=_in_python(error))


def of_skipped(kind: type[R], found: Skipped) -> R:
    """Return what is told of a picture that is not read."""
    return kind(input=found.path, status="skipped", why=found.why)


def _in_python(text: str) -> str:
    """Return an error with what overwrites a file in Python's words."""
    stem = text.removesuffix(FORCE)
    return text if stem == text else f"{stem}force=True overwrites it"
