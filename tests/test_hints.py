"""Options of other commands: what is said of them."""

import re
from pathlib import Path

import click
import pytest
from conftest import Command

from siren_codec.cli import hints
from siren_codec.cli.decode import decode_command
from siren_codec.cli.encode import encode_command

COMMANDS = {"encode": (encode_command, hints.ENCODE), "decode": (decode_command, hints.DECODE)}


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        ("encode", ["--speed", "4"], "'--speed': use -e, --effort 1..9"),
        ("encode", ["--speed=4"], "'--speed': use -e, --effort 1..9"),
        ("encode", ["-m", "6"], "'-m': use -e, --effort 1..9"),
        ("encode", ["-d", "1.0"], "'-d': use -q, --quality 1..100"),
        # click would read -q uality, -v -e rbose and -r -e size.
        ("encode", ["-quality", "50"], "'-quality': use -q, --quality 1..100"),
        ("encode", ["-verbose"], "'-verbose': use --quiet"),
        ("encode", ["-resize", "50%"], "'-resize': a .siren file is decoded at any size"),
        ("decode", ["-resize", "50%"], "'-resize': use --scale S"),
        ("decode", ["-quality", "90"], "'-quality': PNG, TIFF and BMP are written without loss"),
    ],
)
def test_an_option_of_another_command_gets_a_hint(
    run: Command, tmp_path: Path, command: str, arguments: list[str], message: str
) -> None:
    result = run(command, tmp_path / "a", tmp_path / "b", *arguments)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"siren-{command}: No such option {message}")
    assert result.err.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "word", "message"),
    [
        ("encode", "--qualty", "Did you mean one of: '--quality'"),
        ("encode", "--target-sise", "'--target-size'"),
        ("decode", "--sacle", "'--scale'"),
    ],
)
def test_a_misspelt_option_gets_ours(run: Command, command: str, word: str, message: str) -> None:
    result = run(command, "a", "b", word)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1


def test_other_mistakes_are_told_as_they_are(run: Command) -> None:
    assert "Missing argument" in run("encode").err
    assert "expected IN and OUT" in run("encode", "a.png", "b", "--", "-m").err


@pytest.mark.parametrize("name", COMMANDS)
def test_hints_are_of_options_that_are_not_ours_and_name_some_that_are(name: str) -> None:
    command, table = COMMANDS[name]
    context = click.Context(command)
    ours = {option for one in command.get_params(context) for option in one.opts}
    words = [word for names in table for word in names]
    assert len(set(words)) == len(words)
    assert not ours & set(words)
    named = {option for text in table.values() for option in re.findall(r"--[a-z-]+", text)}
    every = {option for one, _ in COMMANDS.values() for each in one.params for option in each.opts}
    assert named <= every
