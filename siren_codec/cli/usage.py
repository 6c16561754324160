"""How the commands explain themselves: options in groups, their types, the names of files."""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from siren_codec.cli.hints import Hints, hint
from siren_codec.cli.versions import of_command
from siren_codec.limits import DEFAULT_LIMITS

__all__ = [
    "BATCH",
    "FILE",
    "FIT",
    "MESSAGES",
    "PICTURE",
    "STREAMS",
    "TARGET",
    "Command",
    "Integers",
    "Size",
    "command",
    "device",
    "jobs",
    "max_pixels",
    "max_work",
    "option",
    "quiet",
    "the_version",
]

TARGET = "Target and quality"
PICTURE = "The picture"
FIT = "The fit"
BATCH = "Files, folders and machines"
MESSAGES = "Messages"
STREAMS = (
    "Standard output and error",
    "The exit code says whether the files were written. A message that cannot be written, or that "
    "nobody reads, is dropped. Characters of a name that a terminal cannot show are printed as "
    "escapes, such as \\n, \\xff or \\u65e5. If the result goes to standard output and is not read "
    "to its end, the exit code is 141, without a message. /dev/stdout and /dev/fd/N are the file "
    "that is open there, from its current position on; devices and pipes are written to directly.",
)
"""A note of the manual."""
_EXIT_CODES = "0 done, 1 failed, 2 wrong usage, 130 interrupted, 141 output not read."

_UNITS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}

F = TypeVar("F", bound=Callable[..., Any])


class Integers(click.ParamType[tuple[int, ...]]):
    """So many integers with a separator between them, such as 640x480."""

    def __init__(self, name: str, separator: str, count: int) -> None:
        self.name = name
        self.separator = separator
        self.count = count

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        """Return the integers."""
        parts = str(value).lower().split(self.separator)
        try:
            numbers = tuple(int(part) for part in parts)
        except ValueError:
            numbers = ()
        if len(numbers) != self.count:
            self.fail(f"expected {self.name}, found {value!r}", param, ctx)
        return numbers


class Size(click.ParamType[int]):
    """A number of bytes: 20000, 20KB (K is 1000), 19.5KiB (Ki is 1024), 1.5M."""

    name = "SIZE"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the bytes."""
        found = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*([kmgt]?)(i?)b?", str(value).strip().lower())
        if not found or (found[3] and not found[2]):
            self.fail(f"expected a size such as 20000, 20KB or 1.5MiB, found {value!r}", param, ctx)
        from fractions import Fraction

        size = int(Fraction(found[1]) * (1024 if found[3] else 1000) ** _UNITS[found[2]])
        if size < 1:
            self.fail(f"expected at least a byte, found {value!r}", param, ctx)
        return size


class _File(click.ParamType[str]):
    """The name of a file or folder, or -."""

    name = "FILE"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:  # noqa: ARG002
        """Return the name."""
        return str(value)

    def shell_complete(
        self,
        ctx: Any,  # noqa: ARG002
        param: Any,  # noqa: ARG002
        incomplete: str,
    ) -> list[CompletionItem]:
        """Leave it to the shell."""
        return [CompletionItem(incomplete, type="file")]


FILE = _File()


class _Option(click.Option):
    """An option that belongs to a group of the help."""

    def __init__(self, *args: Any, group: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.group = group

    def get_help_extra(self, ctx: click.Context) -> Any:
        """Return what the help adds: the default, but not the range, which the metavar gives."""
        extra = super().get_help_extra(ctx)
        extra.pop("range", None)
        return extra


class Command(click.Command):
    """A command whose help has several usages, options in groups, and examples at its end."""

    def __init__(
        self,
        *args: Any,
        usages: Sequence[str],
        examples: Sequence[tuple[str, str]],
        notes: Sequence[tuple[str, str]],
        exit_codes: str,
        hints: Hints,
        **attributes: Any,
    ) -> None:
        super().__init__(*args, **attributes)
        self.hints = hints
        self.notes = tuple(notes)
        """Headings and paragraphs that only the manual has."""
        self.exit_codes = exit_codes
        self.usages = tuple(usages)
        self.examples = tuple(examples)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse arguments; of an option of other commands say which one serves here."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            found = hint(self.hints, given)
            if found is None:
                raise
            name, instead = found
            raise click.NoSuchOption(
                name, f"No such option {name!r}: {instead}.", ctx=ctx
            ) from None

    def groups(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return each group's options, as they are written, with their help."""
        found: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if isinstance(parameter, click.Option) and record:
                found.setdefault(getattr(parameter, "group", MESSAGES), []).append(record)
        return found

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each usage."""
        for index, usage in enumerate(self.usages):
            formatter.write_usage(ctx.command_path, usage, "Usage: " if index == 0 else "       ")

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, group by group."""
        for group, records in self.groups(ctx).items():
            with formatter.section(group):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples and the exit codes."""
        with formatter.section("Examples"):
            formatter.write_dl([(example, why) for example, why in self.examples], col_max=50)
        formatter.write_paragraph()
        formatter.write_text(f"Exit codes: {self.exit_codes}")


def command(
    name: str,
    *,
    usages: Sequence[str],
    examples: Sequence[tuple[str, str]],
    notes: Sequence[tuple[str, str]] = (),
    exit_codes: str = _EXIT_CODES,
    hints: Hints | None = None,
) -> Callable[[Callable[..., Any]], Command]:
    """Make a command of a function."""
    return click.command(
        name,
        cls=Command,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 96},
        usages=usages,
        examples=examples,
        notes=notes,
        exit_codes=exit_codes,
        hints=hints or {},
    )


def option(group: str, *names: str, **attributes: Any) -> Callable[[F], F]:
    """Return `click.option` with the group that it belongs to."""
    return click.option(*names, cls=_Option, group=group, **attributes)


def the_version(function: F) -> F:
    """Add the version option, which also tells what the command works with."""

    def tell(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
        if asked and not ctx.resilient_parsing:
            click.echo("\n".join(of_command(ctx.command_path)))
            ctx.exit()

    return option(
        MESSAGES,
        *("-V", "--version"),
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=tell,
        help="Show the versions of this command and of the libraries that it uses, and exit.",
    )(function)


quiet = option(MESSAGES, "--quiet", is_flag=True, help="Print nothing but errors.")
max_pixels = option(
    PICTURE,
    "--max-pixels",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.pixels,
    show_default=True,
    metavar="N",
    help="Refuse a picture with more pixels than this.",
)
max_work = option(
    PICTURE,
    "--max-work",
    type=click.IntRange(min=1),
    default=DEFAULT_LIMITS.multiply_adds,
    show_default=True,
    metavar="N",
    help="Refuse a file that takes more multiply-adds than this to decode; siren-info prints how "
    "many it takes.",
)


def device(group: str, choices: Sequence[str], what: str) -> Callable[[F], F]:
    """Return the device option, by default the first choice, with a help of its own."""
    return option(
        group,
        "--device",
        type=click.Choice(choices),
        default=choices[0],
        show_default=True,
        help=what,
    )


def jobs(what: str) -> Callable[[F], F]:
    """Return the option of how many pictures at a time, with a help of its own."""
    return option(
        BATCH, "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help=f"{what}  [1]"
    )
