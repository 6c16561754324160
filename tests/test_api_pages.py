"""docs/API.md: as its program writes it, and true."""

import doctest
from pathlib import Path
from types import ModuleType

import pytest
from conftest import script
from PIL import Image
from skimage import data

import siren_codec

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture(scope="module")
def program() -> ModuleType:
    return script("docs/api.py")


def test_the_page_is_up_to_date(program: ModuleType) -> None:
    """If not: python docs/api.py."""
    assert (DOCS / "API.md").read_text(encoding="utf-8") == program.page()


def test_every_public_name_is_on_it(program: ModuleType) -> None:
    names = [name for names in program.ROOMS.values() for name in names]
    assert sorted([*names, "__version__"]) == sorted(siren_codec.__all__)


def test_what_has_no_docstring_is_an_error(program: ModuleType) -> None:
    class Bare:
        pass

    with pytest.raises(ValueError, match="Bare: expected a docstring"):
        program._documented(program.pdoc.doc.Class("m", "Bare", Bare, ("m", "Bare")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the photograph that the examples are of."""
    home = tmp_path_factory.mktemp("examples")
    photo = Image.fromarray(data.astronaut()[40:104, 180:276])  # type: ignore[no-untyped-call]
    photo.save(home / "photo.png")
    siren_codec.encode_file(home / "photo.png", effort=1, steps=5, device="cpu")
    return home


@pytest.mark.usefixtures("few_visits")
def test_its_examples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = doctest.DocTestParser().get_doctest(
        (DOCS / "API.md").read_text(encoding="utf-8").replace("```", ""),
        {"siren_codec": siren_codec},
        "API.md",
        None,
        None,
    )
    assert len(found.examples) > 15
    report: list[str] = []
    doctest.DocTestRunner().run(found, out=report.append)
    assert report == []
