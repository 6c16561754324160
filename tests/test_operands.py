"""The commands' operands: a default OUT, several inputs with -o, hints for folders."""

import json
from pathlib import Path

import pytest
from conftest import Command, make_field
from PIL import Image
from tiny import TINY

import siren_codec
from siren_codec import encoding, stream

pytestmark = pytest.mark.usefixtures("fits_once")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures, two `.siren` files, a folder with one of each; and we are there."""
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (6, 4), (99, 0, 0)).save("a.png")
    Image.new("RGB", (6, 4), (0, 99, 0)).save("b.jpg")
    for number, name in enumerate(("x.siren", "y.siren")):
        Path(name).write_bytes(stream.write(make_field(number)))
    Path("folder").mkdir()
    Path("folder/c.png").write_bytes(Path("a.png").read_bytes())
    Path("folder/z.siren").write_bytes(Path("x.siren").read_bytes())
    return tmp_path


@pytest.fixture
def no_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "encode_picture", lambda *_, **__: pytest.fail("the fit began"))


def _names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.name[0] != ".")


def test_the_default_output_is_beside_the_input(run: Command, here: Path) -> None:
    result = run("encode", "folder/c.png", *TINY)
    assert (result.code, result.out[:9]) == (0, "c.siren: ")
    before = Path("folder/c.siren").read_bytes()
    result = run("encode", "folder/c.png", *TINY)
    assert result.code == 1
    assert result.err == ("siren-encode: folder/c.siren: exists already; --force overwrites it\n")
    assert Path("folder/c.siren").read_bytes() == before
    assert run("encode", "folder/c.png", "--force", *TINY).code == 0


@pytest.mark.usefixtures("no_fit")
def test_what_has_no_folder_has_no_default_output(run: Command, here: Path) -> None:
    with open("a.png", "rb") as file:
        result = run("encode", f"/dev/fd/{file.fileno()}")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "expected OUT too" in result.err


def test_several_into_a_folder(run: Command, here: Path) -> None:
    Image.new("L", (3, 3)).save("folder/a.jpg")
    result = run("encode", "a.png", "folder/a.jpg", "b.jpg", "-o", "new/out", *TINY)
    assert result.code == 0
    # One colour is better stored without loss, and that is said too.
    assert result.err.endswith("\nsiren-encode: 3 done\n")
    assert _names("new/out") == ["a.jpg.siren", "a.png.siren", "b.siren"]
    assert siren_codec.open("new/out/a.jpg.siren").width == 3
    before = Path("new/out/b.siren").read_bytes()
    assert run("encode", "b.jpg", "--out", "new/out", *TINY).err == (
        "siren-encode: 0 done, 1 done before\n"
    )
    Path("new/out/b.siren").write_text("mine")
    result = run("encode", "b.jpg", "-o", "new/out", *TINY)
    assert result.code == 1
    assert "b.siren: exists already, and is not a .siren file; --force overwrites it" in result.err
    assert run("encode", "b.jpg", "-o", "new/out", "--force", *TINY).code == 0
    assert Path("new/out/b.siren").read_bytes() == before


def test_several_files_decoded_into_a_folder(run: Command, here: Path) -> None:
    files = ["x.siren", "folder/z.siren", "y.siren"]
    result = run("decode", *files, "-o", "out", "-j", "2", "--scale", "2")
    assert (result.code, result.err) == (0, "siren-decode: 3 done\n")
    assert _names("out") == ["x.png", "y.png", "z.png"]
    assert run("decode", "x.siren", "-o", "out", "--format", "JPG").code == 0
    with Image.open("out/x.jpg") as picture:
        assert (picture.format, picture.size) == ("JPEG", (16, 12))
    # The name of a folder may be any that is there.
    Path("a.png").unlink()
    Path("a.png").mkdir()
    assert run("decode", "x.siren", "-o", "a.png").code == 0
    assert _names("a.png") == ["x.png"]


def test_one_that_fails_is_no_end(run: Command, here: Path) -> None:
    Path("b.jpg").write_text("no picture")
    result = run("encode", "gone.png", "a.png", "b.jpg", "-o", "out", "--json", *TINY)
    assert result.code == 1
    errors = {line["input"]: line.get("error") for line in result.lines}
    assert errors.pop("b.jpg")
    assert errors == {"gone.png": "No such file or directory", "a.png": None}
    assert _names("out") == ["a.siren"]
    assert "siren-encode: failed: gone.png: No such file or directory\n" in result.err


def test_a_folder_decoded_to_another_format(run: Command, here: Path) -> None:
    assert run("decode", "-r", "folder", "-o", "out", "--format", "webp").code == 0
    assert _names("out") == ["z.webp"]


@pytest.mark.usefixtures("no_fit")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("encode a.png b.jpg out", "expected IN and OUT, found 3 names; several take -o DIR"),
        ("encode a.png b.jpg", "b.jpg: expected a name of a .siren file, found .jpg; several "),
        ("encode folder", "folder: expected a file, found a folder; folders take -r DIR OUTDIR"),
        ("encode folder out", "folder: expected a file, found a folder; folders take -r DIR"),
        ("encode a.png folder -o out", "folder: expected a file, found a folder; folders take"),
        ("encode a.png -o out.siren", "-o out.siren: expected a folder; a single file takes IN"),
        ("encode a.png -o -", "-o -: expected a folder"),
        ("encode a.png - -o out", "-o: expected files, found -"),
        ("encode a.png folder/a.png -o out", "a.png: expected one input of this name for out"),
        ("encode a.png -o out --checkpoint x", "--checkpoint: expected IN OUT, found -r or -o"),
        ("encode a.png -j 2", "-j and --ray: expected several pictures (-r or -o)"),
        ("encode -r folder", "-r: expected DIR and OUTDIR, found 1 names"),
        ("encode -r folder out -o out", "-r: expected DIR and OUTDIR, found 3 names"),
        ("decode x.siren y.siren", "y.siren: expected a picture's name; several files take -o DIR"),
        ("decode x.siren y.siren z.png", "expected IN and OUT, found 3 names; several take -o"),
        ("decode folder", "folder: expected a file, found a folder; folders take -r DIR OUTDIR"),
        ("decode x.siren -o y.jpeg", "-o y.jpeg: expected a folder; a single file takes IN OUT"),
    ],
)
def test_words_that_name_nothing(run: Command, here: Path, words: str, message: str) -> None:
    before = sorted(here.rglob("*"))
    result = run(*words.split())
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"siren-{words.split()[0]}: {message}")
    assert result.err.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_an_output_that_is_a_folder(run: Command, here: Path) -> None:
    result = run("decode", "x.siren", "folder", "--format", "png")
    assert result.code == 1
    assert result.err == ("siren-decode: folder: expected a file, found a folder; -o takes one\n")


def test_info_of_several(run: Command, here: Path) -> None:
    result = run("info", "x.siren", "gone.siren", "a.png", "folder/z.siren")
    assert result.code == 1
    blocks = result.out.split("\n\n")
    assert [block.splitlines()[0].split() for block in blocks] == [
        ["input", "x.siren"],
        ["input", "folder/z.siren"],
    ]
    assert result.err.splitlines()[0] == "siren-info: gone.siren: No such file or directory"
    assert result.err.splitlines()[1].startswith("siren-info: a.png: expected a .siren file")
    assert "input" not in run("info", "x.siren").out
    assert run("info", "x.siren", "y.siren").code == 0


def test_info_of_several_as_json(run: Command, here: Path) -> None:
    result = run("info", "--json", "gone.siren", "x.siren")
    assert result.code == 1
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"input": "gone.siren", "error": "gone.siren: No such file or directory"},
        {"input": "x.siren", **siren_codec.info("x.siren")},
    ]
