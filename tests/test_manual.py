"""The help, the manual's pages, the completion of the shell."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import click
import pytest
from conftest import script

from siren_codec import cli
from siren_codec.cli.bench import bench_command
from siren_codec.cli.decode import decode_command
from siren_codec.cli.encode import encode_command
from siren_codec.cli.info import info_command
from siren_codec.cli.usage import BATCH, FIT, MESSAGES, PICTURE, TARGET, Command
from siren_codec.cli.view import view_command

MANUAL = Path(__file__).parent.parent / "docs" / "man"
COMMANDS: dict[str, tuple[Command, Callable[[], NoReturn]]] = {
    "siren-encode": (encode_command, cli.encode_main),
    "siren-decode": (decode_command, cli.decode_main),
    "siren-info": (info_command, cli.info_main),
    "siren-view": (view_command, cli.view_main),
    "siren-bench": (bench_command, cli.bench_main),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_pages_are_up_to_date(name: str) -> None:
    """If not: python docs/man/build.py."""
    written = (MANUAL / f"{name}.1").read_text(encoding="utf-8")
    assert written == script("docs/man/build.py").page(COMMANDS[name][0])


@pytest.mark.skipif(shutil.which("groff") is None, reason="there is no groff here")
@pytest.mark.parametrize("name", COMMANDS)
def test_pages_are_good_roff(name: str) -> None:
    command = ["groff", "-man", "-ww", "-Tascii", str(MANUAL / f"{name}.1")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    # Bold is a letter written over itself.
    assert "EXIT STATUS" in re.sub(".\x08", "", done.stdout)


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("siren-encode", [TARGET, PICTURE, FIT, BATCH, MESSAGES]),
        ("siren-decode", [PICTURE, BATCH, MESSAGES]),
        ("siren-info", [PICTURE, MESSAGES]),
        ("siren-view", ["The page", PICTURE, MESSAGES]),
        ("siren-bench", [TARGET, PICTURE, FIT, BATCH, MESSAGES]),
    ],
)
def test_every_option_has_a_help_and_a_group(name: str, groups: list[str]) -> None:
    command = COMMANDS[name][0]
    found = command.groups(click.Context(command, **command.context_settings))
    assert list(found) == groups
    for records in found.values():
        assert all(what for _, what in records)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_right(name: str) -> None:
    """Each is parsed as the command's own arguments."""
    command = COMMANDS[name][0]
    for example, _ in command.examples:
        words = example.split("|")
        arguments = next(part for part in words if name in part).split()[1:]
        plain = [word for word in arguments if word[0] not in "<>"]
        command.make_context(name, plain)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], name: str, shell: str
) -> None:
    out = _complete(monkeypatch, capfd, name, f"{shell}_source")
    assert f"{name.replace('-', '_')}_completion" in out
    assert name in out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("siren-encode --mod", ["plain,--model"]),
        ("siren-encode --model ", ["plain,grid", "plain,coordinate"]),
        ("siren-encode --alpha lo", ["plain,lossless", "plain,lossy"]),
        ("siren-encode a.p", ["file,a.p"]),
        ("siren-encode --checkpoint x", ["file,x"]),
        ("siren-decode a.siren --show gr", ["plain,gradient"]),
        ("siren-info --js", ["plain,--json"]),
        ("siren-view --no-b", ["plain,--no-browser"]),
        ("siren-bench --no-rep", ["plain,--no-report"]),
    ],
)
def test_completions(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: str,
    expected: list[str],
) -> None:
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(words.count(" ")))
    found = _complete(monkeypatch, capfd, words.split()[0], "bash_complete")
    assert found.splitlines() == expected


def _complete(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    name: str,
    instruction: str,
) -> str:
    monkeypatch.setenv(f"_{name.replace('-', '_').upper()}_COMPLETE", instruction)
    monkeypatch.setattr(sys, "argv", [name])
    with pytest.raises(SystemExit) as stop:
        COMMANDS[name][1]()
    assert stop.value.code == 0
    return capfd.readouterr().out


def test_help_and_completion_import_nothing_heavy() -> None:
    code = """
import os, sys
from siren_codec import cli
os.environ.update(COMP_WORDS='siren-encode --', COMP_CWORD='1')
mains = {'encode': cli.encode_main, 'decode': cli.decode_main, 'view': cli.view_main,
         'bench': cli.bench_main}
for name, main in mains.items():
    for setting, argv in (('', ['--help']), ('bash_complete', [])):
        os.environ[f'_SIREN_{name.upper()}_COMPLETE'] = setting
        sys.argv = ['x', *argv]
        try:
            main()
        except SystemExit as stop:
            assert stop.code == 0
print({'torch', 'numba', 'numpy', 'PIL', 'tqdm', 'ray', 'multiprocessing'} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
