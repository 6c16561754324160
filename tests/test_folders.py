"""Folders called again: what is done, made again, left or refused; what is skipped; records."""

import importlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import Command, Ran
from PIL import Image
from tiny import TINY, draw

import siren_codec
from siren_codec import encoding, output
from siren_codec.cli import files
from siren_codec.encoding import Encoded
from siren_codec.fit import Checkpoint
from siren_codec.many import plan, records, verdicts
from siren_codec.many.plan import PICTURES
from siren_codec.many.records import Entry, Record, digest
from siren_codec.options import Options
from siren_codec.picture import foreign

pytestmark = pytest.mark.usefixtures("fits_once")


@pytest.fixture
def ends(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with the picture a.png, and the name of its mirror."""
    source = tmp_path / "in"
    source.mkdir()
    draw(source / "a.png")
    return source, tmp_path / "out"


@pytest.fixture
def encode(run: Command, ends: tuple[Path, Path]) -> Command:
    """Mirror the one folder in the other."""
    return lambda *options: run("encode", "-r", *ends, *options, *TINY)


def _made(result: Ran) -> list[str]:
    """The names that a command says it has made."""
    return [line.split(": ")[0] for line in result.out.splitlines()]


def _end(result: Ran) -> str:
    return result.err.splitlines()[-1].removeprefix("siren-encode: ").removeprefix("siren-decode: ")


# What is done


def test_another_picture_behind_the_name(encode: Command, ends: tuple[Path, Path]) -> None:
    """It is older than the output, and the name of the output is the same."""
    source, out = ends
    assert _made(encode()) == ["a.siren"]
    before = (out / "a.siren").read_bytes()
    (source / "a.png").unlink()
    draw(source / "a.jpg", 200)
    os.utime(source / "a.jpg", (1e9, 1e9))
    result = encode()
    assert _made(result) == ["a.siren"]
    assert "1 made again: the old one was made from another file\n" in result.err
    assert (out / "a.siren").read_bytes() != before
    assert _end(encode()) == "0 done, 1 done before"


def test_a_picture_of_the_same_size_and_date(encode: Command, ends: tuple[Path, Path]) -> None:
    picture = ends[0] / "a.png"
    os.utime(picture, (1e9, 1e9))
    encode()
    size = picture.stat().st_size
    draw(picture, 98)
    os.utime(picture, (1e9, 1e9))
    assert picture.stat().st_size == size
    assert _made(encode()) == ["a.siren"]


def test_dates_say_nothing_of_what_is_known(encode: Command, ends: tuple[Path, Path]) -> None:
    encode()
    for date in (4e9, 1e9):
        os.utime(ends[0] / "a.png", (date, date))
        os.utime(ends[1] / "a.siren", (2e9, 2e9))
        assert _end(encode()) == "0 done, 1 done before"
    # Nor does a name.
    (ends[0] / "a.png").rename(ends[0] / "a.xyz")
    assert _end(encode()) == "0 done, 1 done before"


def test_other_options(encode: Command) -> None:
    encode("-q", "50")
    assert _end(encode()) == "0 done, 1 done before"
    assert _end(encode("--memory", "1GB", "--max-pixels", "999", "-j", "1")).startswith("0 done")
    result = encode("-q", "90", "--strip", "--json")
    why = "was made with quality 50 (now 90), strip off (now on)"
    assert result.lines[0]["again"] == why
    assert f"1 made again: the old one {why}\n" in result.err
    result = encode("-v")
    assert "out/a.siren: the old one was made with quality 90 (now 50), strip on (now" in result.err
    assert "again" not in encode("--force", "--json").lines[0]


def test_a_picture_is_hashed_once_for_its_verdicts(
    encode: Command, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it is planned; what it is made again from is hashed with its content."""
    encode("-q", "50")
    hashed: list[Path] = []

    def counting(source: Path) -> str:
        hashed.append(source)
        return digest(source)

    monkeypatch.setattr(verdicts, "digest", counting)
    assert _made(encode("-q", "90")) == ["a.siren"]
    assert hashed.count(ends[0] / "a.png") == 1
    # The output is looked at once more before it is overwritten.
    assert hashed.count(ends[1] / "a.siren") == 2


def test_a_record_without_options_that_came_later(
    encode: Command, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode("--seed", "3")
    path = ends[1] / records.NAME
    known = json.loads(path.read_text())
    del known["settings"]["strip"]
    path.write_text(json.dumps(known) + "\n")
    assert _end(encode("--seed", "3")) == "0 done, 1 done before"
    assert _made(encode("--seed", "3", "--strip")) == ["a.siren"]


def test_a_decode_writes_anew_what_it_wrote(
    run: Command, encode: Command, ends: tuple[Path, Path], tmp_path: Path
) -> None:
    encode()
    back = tmp_path / "back"
    assert _made(run("decode", "-r", ends[1], back)) == ["a.png"]
    assert _end(run("decode", "-r", ends[1], back)) == "0 done, 1 done before"
    result = run("decode", "-r", ends[1], back, "--scale", "2")
    assert "the old one was made with scale none (now 2.0)\n" in result.err
    with Image.open(back / "a.png") as picture:
        assert picture.size == (12, 8)
    draw(ends[0] / "a.png", 5)
    encode()
    assert _made(run("decode", "-r", ends[1], back, "--scale", "2")) == ["a.png"]
    # Whatever a user has changed is the user's.
    draw(back / "a.png", 7)
    before = (back / "a.png").read_bytes()
    for options in ([], ["--scale", "2"]):
        result = run("decode", "-r", ends[1], back, *options)
        assert result.code == 1
        assert "a.png: exists already, and may be an original; --force overwrites it" in result.err
    assert (back / "a.png").read_bytes() == before


# What nobody knows


def test_a_file_that_is_in_no_record_is_kept(encode: Command, ends: tuple[Path, Path]) -> None:
    encode()
    own = (ends[1] / "a.siren").read_bytes()
    encode("-q", "90", "--seed", "5")
    (ends[1] / "a.siren").write_bytes(own[:-1] + own[-1:])
    (ends[1] / records.NAME).unlink()
    result = encode("--json", "-v")
    assert result.code == 0
    assert _end(result) == "0 done, 1 kept (-v says why, --force makes them again)"
    why = "no record says what it was made from"
    ends_ = {"input": str(ends[0] / "a.png"), "output": str(ends[1] / "a.siren")}
    assert result.lines == [{**ends_, "kept": why}]
    assert f"kept: {ends[1] / 'a.siren'}: {why}\n" in result.err
    assert (ends[1] / "a.siren").read_bytes() == own
    # By its date it cannot be right.
    os.utime(ends[1] / "a.siren", (1e9, 1e9))
    result = encode()
    assert result.code == 1
    assert "a.siren: exists already, older than its picture; --force overwrites it" in result.err
    assert (ends[1] / "a.siren").read_bytes() == own
    assert _made(encode("--force")) == ["a.siren"]
    assert _end(encode()) == "0 done, 1 done before"


@pytest.mark.parametrize("content", [b"my notes on sirens", b"\x89PNG\r\n\x1a\n", bytes(20)])
def test_what_is_no_siren_file_is_not_overwritten(
    encode: Command, ends: tuple[Path, Path], content: bytes
) -> None:
    ends[1].mkdir()
    (ends[1] / "a.siren").write_bytes(content)
    result = encode()
    assert result.code == 1
    assert "exists already, and is not a .siren file; --force overwrites it" in result.err
    assert (ends[1] / "a.siren").read_bytes() == content
    assert encode("--force").code == 0


def test_a_link_to_a_picture_is_not_overwritten(encode: Command, ends: tuple[Path, Path]) -> None:
    before = (ends[0] / "a.png").read_bytes()
    ends[1].mkdir()
    (ends[1] / "a.siren").symlink_to(ends[0] / "a.png")
    for options in ([], ["--force"]):
        result = encode(*options)
        assert result.code == 1
        assert "a.siren: is the input itself" in result.err
        assert (ends[0] / "a.png").read_bytes() == before


@pytest.mark.parametrize("left", [b"", b"\x89SR", None])
def test_a_broken_file_is_made_again(
    encode: Command, ends: tuple[Path, Path], left: bytes | None
) -> None:
    encode()
    path = ends[1] / "a.siren"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if left is None else left)
    result = encode()
    assert "1 made again: the old one is broken\n" in result.err
    assert path.read_bytes() == whole


def test_a_file_of_a_later_version_is_not_broken(encode: Command, ends: tuple[Path, Path]) -> None:
    encode()
    path = ends[1] / "a.siren"
    later = path.read_bytes()[:4] + b"\x02and what we do not know"
    path.write_bytes(later)
    assert _end(encode()).startswith("0 done, 1 kept")
    assert path.read_bytes() == later


def test_two_trees_have_no_one_mirror(
    run: Command, encode: Command, ends: tuple[Path, Path], tmp_path: Path
) -> None:
    """Each call would else undo the work of the one before."""
    encode()
    before = (ends[1] / "a.siren").read_bytes()
    (tmp_path / "other").mkdir()
    draw(tmp_path / "other" / "a.png", 200)
    (tmp_path / "link").symlink_to("out")
    for out in (ends[1], tmp_path / "link"):
        result = run("encode", "-r", tmp_path / "other", out, *TINY)
        assert result.code == 1
        assert f"was made from {ends[0] / 'a.png'}, which is still there; --force" in result.err
        assert (ends[1] / "a.siren").read_bytes() == before
    # A tree that was moved is the same one.
    ends[0].rename(tmp_path / "moved")
    assert _end(run("encode", "-r", tmp_path / "moved", ends[1], *TINY)) == "0 done, 1 done before"
    draw(tmp_path / "moved" / "a.png", 7)
    assert _made(run("encode", "-r", tmp_path / "moved", ends[1], *TINY)) == ["a.siren"]


def test_names_that_change_hands_in_a_folder(encode: Command, ends: tuple[Path, Path]) -> None:
    source, out = ends
    assert _made(encode()) == ["a.siren"]
    Image.new("L", (3, 3)).save(source / "a", format="PNG")
    assert sorted(_made(encode())) == ["a.png.siren", "a.siren"]
    assert siren_codec.open(out / "a.siren").width == 3
    (source / "a").unlink()
    assert _made(encode()) == ["a.siren"]
    assert siren_codec.open(out / "a.siren").width == 6


@pytest.mark.parametrize("in_place", [True, False])
def test_a_picture_that_was_decoded_is_not_encoded_over_its_source(
    run: Command, encode: Command, ends: tuple[Path, Path], tmp_path: Path, in_place: bool
) -> None:
    """It is worse than the file that it was decoded from, and so would be what is made of it."""
    source, out = ends
    if in_place:
        out = source
    run("encode", "-r", source, out, *TINY)
    before = (out / "a.siren").read_bytes()
    (source / "a.png").unlink()
    back = out if in_place else tmp_path / "back"
    assert run("decode", "-r", out, back).code == 0
    result = run("encode", "-r", back, out, "-v", *TINY)
    assert (result.code, (out / "a.siren").read_bytes()) == (0, before)
    assert f"kept: {out / 'a.siren'}: its picture was decoded from it\n" in result.err
    draw(back / "a.png", 8)
    assert _made(run("encode", "-r", back, out, *TINY)) == ["a.siren"]


# What happens meanwhile

Alter = Callable[[Callable[[], object]], None]


@pytest.fixture
def during(monkeypatch: pytest.MonkeyPatch) -> Alter:
    """Let something happen while a picture is encoded."""
    real = encoding.encode_picture

    def alter(event: Callable[[], object]) -> None:
        def encode_picture(picture: Any, options: Options, **watch: Any) -> Encoded:
            encoded = real(picture, options, **watch)
            event()
            return encoded

        monkeypatch.setattr(encoding, "encode_picture", encode_picture)

    return alter


def test_another_process_makes_the_same(
    encode: Command, ends: tuple[Path, Path], during: Alter, tmp_path: Path
) -> None:
    encode()
    ends[1].rename(tmp_path / "theirs")
    during(lambda: shutil.copytree(tmp_path / "theirs", ends[1], dirs_exist_ok=True))
    result = encode()
    assert (result.code, _end(result)) == (0, "0 done, 1 done before")


def test_what_a_user_writes_meanwhile_stays(
    encode: Command, ends: tuple[Path, Path], during: Alter
) -> None:
    during(lambda: (ends[1] / "a.siren").write_text("mine"))
    result = encode()
    assert result.code == 1
    assert "exists already" in result.err
    assert (ends[1] / "a.siren").read_text() == "mine"


def test_a_picture_that_goes_meanwhile(
    encode: Command, ends: tuple[Path, Path], during: Alter
) -> None:
    """What was made of it is written all the same, over what was made of another."""
    encode()
    before = (ends[1] / "a.siren").read_bytes()
    draw(ends[0] / "a.png", 200)
    during((ends[0] / "a.png").unlink)
    result = encode()
    assert (result.code, _made(result)) == (0, ["a.siren"])
    assert (ends[1] / "a.siren").read_bytes() != before


def test_a_picture_that_changes_while_it_is_read(
    encode: Command, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from siren_codec import picture as pictures

    real = pictures.load

    def load(source: Any, **options: Any) -> Any:
        picture = real(source, **options)
        draw(ends[0] / "a.png", 200)
        return picture

    monkeypatch.setattr(pictures, "load", load)
    result = encode()
    assert result.code == 1
    assert "a.png: changed while it was read" in result.err
    assert not (ends[1] / "a.siren").exists()


def test_killed_between_the_record_and_the_name(
    encode: Command, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old output is still known to be ours."""
    encode()
    before = (ends[1] / "a.siren").read_bytes()

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupt)
        assert encode("--seed", "1").code == 130
    assert (ends[1] / "a.siren").read_bytes() == before
    assert _end(encode()) == "0 done, 1 done before"
    assert _made(encode("--seed", "1")) == ["a.siren"]


# Records


def _entry(output_: str = "a", made: str = "1", **other: Any) -> Entry:
    return Entry(output_, made, "a.png", "2", **other)


def test_a_record_is_read_as_it_grows(tmp_path: Path) -> None:
    mine, theirs = Record(tmp_path), Record(tmp_path)
    assert mine.find("a", "1") is None
    theirs.add(_entry(settings={"quality": 50, "size": [1, 2]}, cut_short=True))
    assert mine.find("a", "1") == _entry(settings={"quality": 50, "size": [1, 2]}, cut_short=True)
    theirs.add(_entry())
    theirs.add(_entry("\udcff\n", "3"))
    assert mine.find("a", "1") == _entry()
    assert mine.find("\udcff\n", "3") == _entry("\udcff\n", "3")
    assert mine.find("a", "2") is None
    mine.path.unlink()
    assert mine.find("a", "1") is None


@pytest.mark.parametrize(
    "line",
    [
        '{"version": 1, "output": "a", "output_di',
        "\udcff\x00",
        "[]",
        "[" * 100_000,
        '{"version": 2, "output": "a", "output_digest": "1", "source": "b", "source_digest": "b",'
        ' "settings": {}, "cut_short": false}',
        '{"version": 1, "output": "a", "output_digest": "1", "source": "b", "source_digest": 5,'
        ' "settings": {}, "cut_short": false}',
        '{"version": 1, "output": "a", "output_digest": "1", "source": "b", "source_digest": "b",'
        ' "settings": [], "cut_short": false}',
    ],
)
def test_lines_that_make_no_sense(tmp_path: Path, line: str) -> None:
    """As at the end of a record whose writer was killed: the next line is one of its own."""
    record = Record(tmp_path)
    record.path.write_bytes(os.fsencode(line))
    assert record.find("a", "1") is None
    record.add(_entry("b"))
    assert record.find("a", "1") is None
    assert record.find("b", "1") == _entry("b")


def test_a_record_does_not_grow_for_ever(tmp_path: Path) -> None:
    record = Record(tmp_path)
    for number in range(200):
        record.add(_entry(made=str(number)))
    record.add(_entry("b"))
    size = record.path.stat().st_size
    assert Record(tmp_path).find("a", "199") == _entry(made="199")
    assert record.path.stat().st_size < size / 50
    for found in (Record(tmp_path), record):
        assert [found.find("a", str(number)) is not None for number in (0, 197, 198, 199)] == [
            *(False, False, True, True)
        ]
        assert found.find("b", "1") == _entry("b")


@pytest.mark.parametrize("what", ["folder", "link", "pipe"])
def test_a_record_that_cannot_be_written(
    encode: Command, ends: tuple[Path, Path], tmp_path: Path, what: str
) -> None:
    source, out = ends
    draw(source / "b.png")
    out.mkdir()
    (tmp_path / "precious").write_text("as it was")
    if what == "folder":
        (out / records.NAME).mkdir()
    elif what == "link":
        (out / records.NAME).symlink_to(tmp_path / "precious")
    else:
        os.mkfifo(out / records.NAME)
    result = encode()
    assert (result.code, _made(result)) == (0, ["a.siren", "b.siren"])
    assert result.err.count(f"{records.NAME}: cannot be written, so nothing is recorded: ") == 1
    assert (tmp_path / "precious").read_text() == "as it was"
    assert _end(encode()).startswith("0 done, 2 kept")


def test_a_digest_is_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"data")
    assert digest(tmp_path / "a") == digest(b"data") != digest(b"date")
    with pytest.raises(siren_codec.SirenError, match="gone: No such file"):
        digest(tmp_path / "gone")


# What is skipped


def test_what_is_skipped_is_named_and_counted(
    run: Command, encode: Command, ends: tuple[Path, Path]
) -> None:
    source, out = ends
    skipped = {
        ".hidden.png": "hidden",
        "b.HEIC": "HEIC picture, not readable; pip install pillow-heif",
        "c": "HEIC picture, not readable; pip install pillow-heif",
        "d.jxl": "JXL picture, not readable; pip install pillow-jxl-plugin",
        "e.exr": "OpenEXR picture, not readable",
        "f.txt": "not a picture",
        "g.siren": "a .siren file",
    }
    for name in skipped:
        (source / name).write_bytes(b"\0\0\0\x18ftypheic" if name == "c" else b"")
    assert encode("--quiet").err == ""
    assert encode().err.splitlines() == [
        "siren-encode: 0 done, 1 done before, 3 other files skipped",
        "siren-encode: 2 HEIC pictures: not readable; pip install pillow-heif",
        "siren-encode: 1 JXL picture: not readable; pip install pillow-jxl-plugin",
        "siren-encode: 1 OpenEXR picture: not readable",
    ]
    lines = encode("-v").err.splitlines()
    for name, why in skipped.items():
        assert f"siren-encode: skipped: {source / name}: {why}" in lines
    found = {line["input"]: line["skipped"] for line in encode("--json").lines}
    assert found == {str(source / name): why for name, why in skipped.items()}
    # A record is no file of anybody's.
    (out / "h.txt").write_text("")
    result = run("decode", "-r", out, source / "back", "-v", "--json")
    assert f"skipped: {out / 'h.txt'}: not a .siren file\n" in result.err
    assert _end(result) == "1 done, 1 other files skipped"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], foreign.Foreign]:
    """Make a kind of picture that Pillow reads when a module of this text is imported."""
    Image.init()
    monkeypatch.setattr(Image, "OPEN", dict(Image.OPEN))
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))
    monkeypatch.setattr(Image, "ID", list(Image.ID))
    monkeypatch.syspath_prepend(tmp_path / "plugins")
    kind = foreign.Foreign("HEIC", (".heic",), ((0, b"NEW!"),), "pillow-x", "x_for_pillow")
    monkeypatch.setattr(foreign, "KINDS", (kind,))
    foreign.import_plugin.cache_clear()

    def install(text: str) -> foreign.Foreign:
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "x_for_pillow.py").write_text(text)
        monkeypatch.delitem(sys.modules, "x_for_pillow", raising=False)
        importlib.invalidate_caches()
        return kind

    return install


def test_a_raw_picture_is_not_its_thumbnail(tmp_path: Path) -> None:
    """It begins as a TIFF does."""
    for name in ("a.NEF", "a.dng"):
        Image.new("RGB", (4, 3)).save(tmp_path / name, format="TIFF")
        found = PICTURES.skips(tmp_path / name)
        assert found is not None
        assert found.why == "raw picture, not readable"


PLUGIN = """
from PIL import Image, ImageFile

class Invented(ImageFile.ImageFile):
    format = "INVENTED"

    def _open(self):
        self._size, self._mode = (5, 4), "L"
        self.tile = [ImageFile._Tile("raw", (0, 0, 5, 4), 4, "L")]

Image.register_open("INVENTED", Invented, lambda head: head.startswith(b"NEW!"))
Image.register_extension("INVENTED", ".heic")
"""


def test_a_plugin_that_is_there_is_used(
    run: Command,
    encode: Command,
    ends: tuple[Path, Path],
    plugin: Callable[[str], foreign.Foreign],
) -> None:
    source, out = ends
    (source / "b.heic").write_bytes(b"NEW!" + bytes(20))
    shutil.copy(source / "b.heic", source / "no extension")
    result = run("encode", source / "b.heic", out.parent / "b.siren", *TINY)
    assert "HEIC picture, not readable; pip install pillow-x\n" in result.err
    assert "2 HEIC pictures: not readable; pip install pillow-x\n" in encode().err
    foreign.import_plugin.cache_clear()
    plugin(PLUGIN)
    assert run("encode", source / "b.heic", out.parent / "b.siren", *TINY).code == 0
    assert _made(encode()) == ["b.siren", "no extension.siren"]


@pytest.mark.parametrize("text", ["import nothing_of_this_name", "1 / 0"])
def test_a_plugin_that_is_broken(
    tmp_path: Path, plugin: Callable[[str], foreign.Foreign], text: str
) -> None:
    kind = plugin(text)
    (tmp_path / "b.heic").write_bytes(b"NEW!")
    found = PICTURES.skips(tmp_path / "b.heic")
    assert found is not None
    assert found.kind is kind


def test_a_file_that_cannot_be_read_is_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    (tmp_path / "no extension").write_bytes(b"")
    found = PICTURES.skips(tmp_path / "no extension")
    assert found is not None
    assert found.why == "cannot be read: Permission denied"


@pytest.mark.parametrize(
    ("names", "inner", "becomes"),
    [
        (["é.jpg", "e\u0301.png"], [], ["é.jpg.siren", "e\u0301.png.siren"]),
        (["a.png"], ["a.siren"], ["a.png.siren"]),
        (["a.png"], ["A.SIREN", "a"], ["a.png.siren"]),
        (["a.png"], ["a.siren", "a.png.siren"], ["a.png.siren"]),
    ],
)
def test_names_that_are_alike(names: list[str], inner: list[str], becomes: list[str]) -> None:
    assert plan.output_names(names, ".siren", inner) == becomes


def test_a_folder_that_could_not_be_read_is_in_the_json(
    encode: Command, ends: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    (ends[0] / "sub").mkdir()
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    result = encode("--json")
    assert result.code == 1
    assert {"input": str(ends[0] / "sub"), "error": "Permission denied"} in result.lines


# Mode and date

MODES = [0o600, 0o640, 0o444, 0o755, 0o666]


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The modes that files have while they are written."""
    found, real = [], os.fsync

    def fsync(number: int) -> None:
        found.append(stat.S_IMODE(os.fstat(number).st_mode))
        real(number)

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.parametrize("mode", MODES)
def test_mode_and_date_follow_the_picture(
    run: Command, ends: tuple[Path, Path], tmp_path: Path, mode: int, modes: list[int]
) -> None:
    picture = ends[0] / "a.png"
    os.utime(picture, ns=(10**18, 1_234_567_890_123_456_789))
    picture.chmod(mode | stat.S_ISUID)
    file, back = tmp_path / "a.siren", tmp_path / "back.png"
    assert run("encode", picture, file, *TINY).code == 0
    assert run("decode", file, back).code == 0
    assert run("encode", "-r", *ends, *TINY).code == 0
    assert run("decode", "-r", ends[1], tmp_path / "mirror").code == 0
    for made in (file, back, ends[1] / "a.siren", tmp_path / "mirror" / "a.png"):
        assert _mode(made) == mode, made
        assert made.stat().st_mtime_ns == picture.stat().st_mtime_ns
    assert modes == [0o600] * 4


def test_no_preserve(run: Command, ends: tuple[Path, Path], tmp_path: Path) -> None:
    picture, file = ends[0] / "a.png", tmp_path / "a.siren"
    os.utime(picture, (1e9, 1e9))
    for path in (picture, ends[0]):
        path.chmod(0o700)
    before = os.umask(0o022)
    try:
        assert run("encode", "--no-preserve", picture, file, *TINY).code == 0
        assert run("decode", "--no-preserve", file, tmp_path / "back.png").code == 0
        assert run("encode", "--no-preserve", "-r", *ends, *TINY).code == 0
        assert run("decode", "--no-preserve", "-r", ends[1], tmp_path / "mirror").code == 0
    finally:
        os.umask(before)
    mirror = tmp_path / "mirror"
    for made in (file, tmp_path / "back.png", ends[1] / "a.siren", mirror / "a.png"):
        assert _mode(made) == 0o644
        assert made.stat().st_mtime > 1.5e9
    assert [_mode(folder) for folder in (ends[1], mirror)] == [0o755, 0o755]


def test_what_is_overwritten_is_never_wider_either(
    run: Command, ends: tuple[Path, Path], tmp_path: Path, modes: list[int]
) -> None:
    file = tmp_path / "a.siren"
    file.write_bytes(b"")
    file.chmod(0o600)
    assert run("encode", "-f", "--no-preserve", ends[0] / "a.png", file, *TINY).code == 0
    assert (_mode(file), modes) == (0o600, [0o600])


def test_folders_have_the_modes_of_theirs(encode: Command, ends: tuple[Path, Path]) -> None:
    (ends[0] / "sub" / "deep").mkdir(parents=True)
    for folder, mode in (("", 0o750), ("sub", 0o700), ("sub/deep", 0o555)):
        draw(ends[0] / "sub" / "deep" / "a.png")
        (ends[0] / folder).chmod(mode)
    assert encode().code == 0
    found = [_mode(ends[1] / folder) for folder in ("", "sub", "sub/deep")]
    # Its owner has to write there.
    assert found == [0o750, 0o700, 0o755]
    (ends[0] / "sub").chmod(0o755)
    assert encode("--force").code == 0
    assert _mode(ends[1] / "sub") == 0o700


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o640, 0o600), (0o664, 0o644), (0o660, 0o600), (0o604, 0o604)]
)
def test_another_group_is_told_no_more_than_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, expected: int
) -> None:
    """Where the output cannot have the group of its source."""

    def refuse(*_: object) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    (tmp_path / "a").write_bytes(b"")
    (tmp_path / "a").chmod(mode)
    same = (tmp_path / "a").stat()
    fields, dates = list(same), {"st_atime_ns": 0, "st_mtime_ns": 0}
    fields[stat.ST_GID] += 1
    monkeypatch.setattr(os, "chown", refuse)
    output.write(tmp_path / "same", b"", force=False, like=same)
    assert _mode(tmp_path / "same") == mode
    output.write(tmp_path / "b", b"", force=False, like=os.stat_result(fields, dates))
    assert _mode(tmp_path / "b") == expected


def test_what_a_checkpoint_shows_is_its_owners(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "saved", {})
    checkpoint.save({}, {})
    assert _mode(tmp_path / "saved") == 0o600


def test_standard_input_and_pipes_have_no_mode_to_follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").touch()
    os.mkfifo(tmp_path / "pipe")
    assert files.attributes("-") is None
    assert files.attributes("pipe") is None
    assert files.attributes("gone") is None
    assert files.attributes("./-") is not None
