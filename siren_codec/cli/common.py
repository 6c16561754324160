"""What siren-encode and siren-decode have in common: their options for files and messages."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import Any

import click

from siren_codec.cli import usage
from siren_codec.cli.usage import BATCH, MESSAGES, option

__all__ = ["MODE_AND_DATE", "CommonOptions", "common_options"]

MODE_AND_DATE = (
    "Mode and date",
    "OUT gets the mode of IN (without set-user-id and the like), its modification time and, where "
    "possible, its group. Until it has its mode, only its owner can read it. New folders get the "
    "mode of the folders that they mirror. With --no-preserve the umask and the clock decide.",
)
"""A note of both manuals."""


@dataclass(frozen=True, kw_only=True)
class CommonOptions:
    """The operands and options that both commands take."""

    operands: tuple[str, ...]
    out: str | None
    """The folder of -o."""
    recursive: bool
    jobs: int | None
    """Pictures at a time; None if -j was not given."""
    dry_run: bool
    force: bool
    no_preserve: bool
    verbose: bool
    quiet: bool
    as_json: bool

    @property
    def preserve(self) -> bool:
        """Whether outputs get the mode and the modification time of their sources."""
        return not self.no_preserve


_OUT = option(
    BATCH,
    *("-o", "--out"),
    type=usage.FILE,
    metavar="DIR",
    help="All operands are inputs; their outputs go into the folder DIR, by the rules of -r.",
)
_SAME_IN_BOTH = (
    option(
        BATCH,
        *("-n", "--dry-run"),
        is_flag=True,
        help="Say what would be done, and about how long it would take; write nothing.",
    ),
    option(
        BATCH,
        *("-f", "--force"),
        is_flag=True,
        help="Overwrite OUT if it exists; with -r and -o make all outputs again.",
    ),
    option(
        BATCH,
        "--no-preserve",
        is_flag=True,
        help="Do not copy IN's mode and modification time to OUT.",
    ),
    option(MESSAGES, *("-v", "--verbose"), is_flag=True, help="Print more on standard error."),
    usage.quiet,
    option(
        MESSAGES,
        "--json",
        "as_json",
        is_flag=True,
        help="Print a line of JSON for each picture; with -r and -o for failures too.",
    ),
    usage.the_version,
)


def common_options(
    *, recursive: str, jobs: str
) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Add the common options to a command: its first argument is then their `CommonOptions`.

    `recursive` and `jobs` are the helps of -r and -j.
    """
    options = (
        click.argument("operands", metavar="IN [OUT]", type=usage.FILE, nargs=-1, required=True),
        option(BATCH, *("-r", "--recursive"), is_flag=True, help=recursive),
        _OUT,
        usage.jobs(jobs),
        *_SAME_IN_BOTH,
    )

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        @wraps(function)
        def command(**given: Any) -> int:
            found = CommonOptions(
                **{each.name: given.pop(each.name) for each in fields(CommonOptions)}
            )
            return function(found, **given)

        for add in reversed(options):
            command = add(command)
        return command

    return decorate
