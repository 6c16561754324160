"""Write the completion scripts that a package installs, as click makes them.

python packaging/completions.py

`tests/test_packaging.py` fails while a script is not what this would write.
"""

import tomllib
from pathlib import Path

import click
from click.shell_completion import ShellComplete, get_completion_class

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).parent / "completions"
NAMES = {"bash": "{0}", "fish": "{0}.fish", "zsh": "_{0}"}
"""What each shell wants the script of a command to be called."""


def scripts() -> dict[Path, str]:
    """Return the text of each script, by its path."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {
        HERE / shell / pattern.format(command): _source(shell, command)
        for shell, pattern in NAMES.items()
        for command in project["scripts"]
    }


def _source(shell: str, command: str) -> str:
    found = get_completion_class(shell)
    assert found is not None
    variable = f"_{command.replace('-', '_').upper()}_COMPLETE"
    # Not bash's own `source`, which runs bash to see how old it is.
    return ShellComplete.source(found(click.Command(command), {}, command, variable)) + "\n"


if __name__ == "__main__":
    for path, text in scripts().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
