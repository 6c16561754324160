"""The operands of a command: one file and its output, several files and a folder, or folders."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from siren_codec import output
from siren_codec.errors import UsageError

__all__ = ["Operands", "default_output", "parse_operands"]


@dataclass(frozen=True)
class Operands:
    """What a command is to work on."""

    inputs: tuple[str, ...]
    output: str | None
    """None: beside the input."""
    is_tree: bool = False
    """Whether the one input is a folder, and the output too (-r)."""
    is_folder: bool = False
    """Whether the output is a folder (-r or -o)."""

    @property
    def sources(self) -> Path | tuple[Path, ...]:
        """The folder, or the files."""
        return Path(self.inputs[0]) if self.is_tree else tuple(map(Path, self.inputs))


def parse_operands(
    operands: Sequence[str], out: str | None, *, recursive: bool, extensions: Collection[str]
) -> Operands:
    """Return what the operands and -o name. Raises UsageError.

    `extensions` are those of the command's outputs: a name that has one is no folder's.
    """
    if out is not None:
        _check_out(out, extensions)
    if recursive:
        names = [*operands, out] if out is not None else [*operands]
        if len(names) != 2:
            raise UsageError(f"-r: expected DIR and OUTDIR, found {len(names)} names")
        if "-" in names:
            raise UsageError("-r: expected folders, found -")
        return Operands((names[0],), names[1], is_tree=True, is_folder=True)
    inputs = operands if out is not None else operands[:1]
    for name in inputs:
        if name == "-" and out is not None:
            raise UsageError("-o: expected files, found -")
        if Path(name).is_dir():
            raise UsageError(f"{name}: expected a file, found a folder; folders take -r DIR OUTDIR")
    if out is not None:
        return Operands(tuple(inputs), out, is_folder=True)
    if len(operands) > 2:
        raise UsageError(f"expected IN and OUT, found {len(operands)} names; several take -o DIR")
    return Operands(tuple(inputs), operands[1] if len(operands) == 2 else None)


def _check_out(out: str, extensions: Collection[str]) -> None:
    """Refuse what is no folder's name. Raises UsageError."""
    extension = Path(out).suffix.lower()
    if out == "-" or (extension in extensions and not Path(out).is_dir()):
        raise UsageError(f"-o {out}: expected a folder; a single file takes IN OUT")


def default_output(source: str, extension: str) -> str:
    """Return the name of an output that is not given: beside the input. Raises UsageError."""
    if source == "-":
        return "-"
    if not Path(source).name:
        raise UsageError(f"{source or 'IN'}: expected a file")
    if output.is_special(Path(source)):
        raise UsageError(f"{source}: expected OUT too: a pipe or device has no folder for it")
    return str(Path(source).with_suffix(f".{extension}"))
