"""docs/DESIGN.md shows the tree as it is."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "siren_codec"


def _layout() -> set[Path]:
    """Return the files of the package that the page's drawing names."""
    text = (ROOT / "docs/DESIGN.md").read_text()
    drawing = text[text.index("    siren_codec/\n") : text.index("    web/")]
    found, folders = set[Path](), [ROOT]
    for line in drawing.splitlines():
        words = line.strip()
        depth = (len(line) - len(words)) // 2 - 1
        # What is on the left of two blanks are names, with commas between them.
        names = re.split(r"\s{2,}", words)[0].split(", ")
        if names[0].endswith("/"):
            folders[depth:] = [folders[depth - 1] / names[0]]
        found |= {folders[depth - 1] / name for name in names if name.endswith(".py")}
    return found


def test_every_module_is_in_the_layout_and_nothing_else() -> None:
    modules = {path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py"}
    named = {path for path in _layout() if path.name != "__init__.py"}
    assert sorted(map(str, named - modules)) == []
    assert sorted(map(str, modules - named)) == []
