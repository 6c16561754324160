"""Every command of docs/RECIPES.md, on small pictures."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from PIL import Image

from siren_codec import cli
from siren_codec.picture import Picture, save_bytes

PAGE = (Path(__file__).parent.parent / "docs" / "RECIPES.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"## ([^\n]+)\n(?:(?!\n## ).)*?```(sh|python)\n(.*?)```", PAGE, re.DOTALL)
MAINS: dict[str, Callable[[], NoReturn]] = {
    "siren-encode": cli.encode_main,
    "siren-decode": cli.decode_main,
    "siren-info": cli.info_main,
    "siren-view": cli.view_main,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures that the page speaks of, and what it makes of them."""
    data = pytest.importorskip("skimage.data")
    here = tmp_path_factory.mktemp("recipes")
    small = data.astronaut()[:384].reshape(48, 8, 64, 8, 3).mean((1, 3))
    photo = Image.fromarray(np.rint(small).astype(np.uint8))
    photo.save(here / "photo.png")
    (here / "photos" / "trip").mkdir(parents=True)
    photo.resize((34, 32)).save(here / "photos" / "a.jpg")
    photo.resize((32, 34)).save(here / "photos" / "trip" / "b.png")
    deep = Picture((small[::2, ::2] * 257).astype(np.uint16))
    (here / "deep.png").write_bytes(save_bytes(deep, "PNG")[0])
    logo = photo.resize((32, 24)).convert("RGBA")
    logo.putalpha(Image.radial_gradient("L").resize((32, 24)).point(lambda v: 255 * (v < 128)))
    logo.save(here / "logo.png")
    return here


def test_the_page_has_the_recipes() -> None:
    assert len(BLOCKS) >= 9
    assert sum(kind == "python" for _, kind, _ in BLOCKS) == 2


@pytest.mark.usefixtures("few_visits")
@pytest.mark.parametrize("title", [title for title, _, _ in BLOCKS])
def test_recipe(title: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page: later recipes use the files of earlier ones."""
    monkeypatch.chdir(folder)
    if title != BLOCKS[0][0] and not Path("photo.siren").exists():
        for line in BLOCKS[0][2].splitlines():
            run(line, monkeypatch)
    (kind, text), *_ = [(kind, text) for found, kind, text in BLOCKS if found == title]
    if kind == "python":
        # A file: the processes that a recipe begins import it.
        Path("recipe.py").write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, "recipe.py"], check=True, stdout=subprocess.PIPE)
        PYTHON[title](done.stdout.decode())
        return
    for line in text.splitlines():
        run(line, monkeypatch)


def _poster(_: str) -> None:
    with Image.open("poster.png") as poster:
        assert poster.size == (320, 240)


def _regions(out: str) -> None:
    lines = out.splitlines()
    assert [Path(line.split()[0]).name for line in lines[:2]] == ["a.jpg", "b.png"]
    assert all(line.endswith("None") for line in lines[:2])
    assert lines[2:] == ["torch.Size([2, 3, 32, 32])"] * 2


PYTHON = {
    "Python and Pillow": _poster,
    "Many pictures from Python, and a torch data set": _regions,
}
"""What the recipes in Python are to leave, or to print."""


def run(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command; in this process if it is a plain one."""
    words = shlex.split(line)
    made = words[2] if words[0] != "siren-info" and not {"-r", "-o"} & set(words) else None
    if "|" in line:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        subprocess.run(line, shell=True, check=True, env={**os.environ, "PATH": path})
        made = line.rpartition(">")[2]
    else:
        monkeypatch.setattr(sys, "argv", [*words, *(["--force"] if made else [])])
        with pytest.raises(SystemExit) as stop:
            MAINS[words[0]]()
        assert not stop.value.code, line
    if made:
        assert Path(made).stat().st_size > 0
