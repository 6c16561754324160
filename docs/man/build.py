"""Write the manual's pages from the commands' own help.

python docs/man/build.py

`tests/test_manual.py` fails while a page is not what this would write.
"""

import inspect
import textwrap
from pathlib import Path

import click

from siren_codec import __version__
from siren_codec.cli.bench import bench_command
from siren_codec.cli.decode import decode_command
from siren_codec.cli.encode import encode_command
from siren_codec.cli.info import info_command
from siren_codec.cli.usage import Command
from siren_codec.cli.view import view_command

HERE = Path(__file__).parent
COMMANDS = (encode_command, decode_command, info_command, view_command, bench_command)
_COMPLETION = """\
bash: eval "$({variable}=bash_source {name})" in ~/.bashrc; zsh: the same with zsh_source in \
~/.zshrc; fish: {variable}=fish_source {name} | source in ~/.config/fish/config.fish."""


def page(command: Command) -> str:
    """Return a command's page, in roff."""
    name = command.name
    assert name is not None
    others = ", ".join(rf"\fB{_plain(c.name or '')}\fR(1)" for c in COMMANDS if c is not command)
    return "\n".join(
        [
            '.\\" Made by docs/man/build.py from the help of the command.',
            f'.TH {name.upper()} 1 "" "siren_codec {__version__}" "siren_codec"',
            ".SH NAME",
            f"{_plain(name)} \\- {_summary(command)}",
            ".SH SYNOPSIS",
            *_joined([rf"\fB{_plain(name)}\fR {_plain(usage)}" for usage in command.usages]),
            ".SH DESCRIPTION",
            *_paragraphs(inspect.cleandoc(command.help or "")),
            ".SH OPTIONS",
            *_options(command),
            *(
                line
                for heading, text in command.notes
                for line in (f".SH {heading.upper()}", *_paragraphs(text))
            ),
            ".SH EXAMPLES",
            *(
                line
                for example, why in command.examples
                for line in (".TP", rf"\fB{_plain(example)}\fR", _plain(why))
            ),
            ".SH EXIT STATUS",
            _plain(command.exit_codes),
            ".SH SHELL COMPLETION",
            *_paragraphs(
                _COMPLETION.format(
                    name=name, variable=f"_{name.replace('-', '_').upper()}_COMPLETE"
                )
            ),
            ".SH SEE ALSO",
            others,
            "",
        ]
    )


def _summary(command: Command) -> str:
    first = inspect.cleandoc(command.help or "").split("\n\n")[0]
    return _plain(first[0].lower() + " ".join(first[1:].split()).rstrip("."))


def _options(command: Command) -> list[str]:
    lines = []
    for group, records in command.groups(
        click.Context(command, **command.context_settings)
    ).items():
        lines.append(f".SS {group}")
        for names, what in records:
            lines += [".TP", rf"\fB{_plain(names)}\fR", *_wrapped(what)]
    return lines


def _paragraphs(text: str) -> list[str]:
    return [line for part in text.split("\n\n") for line in (".PP", *_wrapped(part))]


def _wrapped(text: str) -> list[str]:
    """Return lines that roff fills again, so that a change of a word shows as one."""
    found = textwrap.wrap(
        " ".join(text.split()), 96, break_long_words=False, break_on_hyphens=False
    )
    return [_plain(line) for line in found]


def _joined(lines: list[str]) -> list[str]:
    return [line for index, text in enumerate(lines) for line in ([".br"] * (index > 0) + [text])]


def _plain(text: str) -> str:
    """Return a text that roff prints as it is."""
    text = text.replace("\\", r"\e").replace("-", r"\-").replace("~", r"\(ti").replace("^", r"\(ha")
    return rf"\&{text}" if text.startswith((".", "'")) else text


if __name__ == "__main__":
    for each in COMMANDS:
        (HERE / f"{each.name}.1").write_text(page(each), encoding="utf-8")
