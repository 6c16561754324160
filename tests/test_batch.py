"""Folders: siren-encode -r and siren-decode -r, and the processes that they share the work with."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest
from conftest import Command
from PIL import Image
from tiny import TINY, draw

import siren_codec
from siren_codec import encoding
from siren_codec import picture as pictures
from siren_codec.cli import console
from siren_codec.encoding import Encoded
from siren_codec.many import plan, records
from siren_codec.many.plan import PICTURES, plan_tree, sirens
from siren_codec.many.verdicts import Judge, of_siren
from siren_codec.options import Options
from siren_codec.picture import Picture

pytestmark = pytest.mark.usefixtures("fits_once")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A folder with a little of everything."""
    source = tmp_path / "in"
    for folder in ("sub/deep", ".hidden", "empty"):
        (source / folder).mkdir(parents=True)
    for name in ("b.PNG", "a.png", "a.jpg", "sub/deep/c.tif", ".hidden/d.png", ".e.png"):
        draw(source / name)
    Image.new("RGB", (6, 4)).save(source / "sub" / "no extension", format="PNG")
    (source / "sub" / "text.txt").write_text("not a picture")
    (source / "old.siren").write_bytes(b"not a picture either")
    (source / "sub" / "loop").symlink_to("..")
    os.mkfifo(source / "pipe.png")
    return source


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def _files(folder: Path) -> list[str]:
    """The files below a folder, without the records."""
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != records.NAME)
    return sorted(str(path.relative_to(folder)) for path in found)


OUTPUTS = ["a.jpg.siren", "a.png.siren", "b.siren", "sub/deep/c.siren", "sub/no extension.siren"]
SKIPPED = 6
"""A hidden file and folder, a text, a .siren file, a link to a folder, a pipe."""


def test_a_tree_is_mirrored_there_and_back(run: Command, tree: Path, tmp_path: Path) -> None:
    out, back = tmp_path / "out", tmp_path / "back"
    result = run("encode", "-r", tree, out, *TINY)
    assert result.code == 0
    assert _files(out) == OUTPUTS
    assert [line.split(": ")[0] for line in result.out.splitlines()] == [
        *("a.jpg.siren", "a.png.siren", "b.siren"),
        *("sub/no extension.siren", "sub/deep/c.siren"),
    ]
    assert "bpp, PSNR" in result.out
    # Pictures of one colour, each with a notice of what it had better be.
    *notices, last = result.err.splitlines()
    assert last == f"siren-encode: 5 done, {SKIPPED} other files skipped"
    assert all("a lossless WebP of this picture takes" in notice for notice in notices)
    result = run("decode", "-r", out, back)
    assert (result.code, result.err) == (0, "siren-decode: 5 done\n")
    assert _files(back) == [str(Path(name).with_suffix(".png")) for name in OUTPUTS]
    assert _size(back / "b.png") == (6, 4)


def test_only_what_is_missing_is_made(run: Command, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"

    def again(*options: str) -> list[str]:
        result = run("encode", "-r", tree, out, "--json", *options, *TINY)
        assert result.code == 0
        return sorted(str(Path(line["output"]).relative_to(out)) for line in result.tried)

    assert again() == OUTPUTS
    assert again() == []
    (out / "b.siren").unlink()
    # Broken: as long as it was, but for a bit.
    data = bytearray((out / "a.jpg.siren").read_bytes())
    data[-1] ^= 1
    (out / "a.jpg.siren").write_bytes(data)
    (out / "a.png.siren").write_bytes(b"")
    # Its date is of the future, and says nothing.
    os.utime(tree / "sub" / "deep" / "c.tif", (4e9, 4e9))
    assert again() == ["a.jpg.siren", "a.png.siren", "b.siren"]
    assert again() == []
    assert again("--force") == OUTPUTS


def test_a_failure_is_no_end(run: Command, tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (tree / "a.png").write_text("not a picture")
    (tree / "gone.png").symlink_to("nowhere")
    (out / "b.siren").mkdir(parents=True)
    (out / "sub").write_text("a file in the place of a folder")
    result = run("encode", "-r", tree, out, "--json", *TINY)
    assert result.code == 1
    errors = {line["input"]: line["error"] for line in result.lines if "error" in line}
    failed = ["a.png", "b.PNG", "gone.png", "sub/deep/c.tif", "sub/no extension"]
    assert sorted(errors) == [str(tree / name) for name in failed]
    assert errors[str(tree / "a.png")] == "not a picture that Pillow can read"
    assert [Path(line["output"]).name for line in result.tried if "output" in line] == [
        "a.jpg.siren"
    ]
    last = result.err.splitlines()[-6:]
    assert last[0].startswith("siren-encode: 1 done, 5 failed, ")
    for line, name in zip(last[1:], failed, strict=True):
        assert line.startswith(f"siren-encode: failed: {tree / name}: ")
    quiet = run("encode", "-r", tree, out, "--quiet", *TINY)
    assert quiet.code == 1
    assert quiet.out == ""
    assert quiet.err.splitlines() == last[1:]


def test_a_decode_never_overwrites_what_may_be_an_original(run: Command, tmp_path: Path) -> None:
    """In place: the .siren file lies beside the picture that it was made of."""
    draw(tmp_path / "a.png")
    original = (tmp_path / "a.png").read_bytes()
    os.utime(tmp_path / "a.png", (1e9, 1e9))
    assert run("encode", "-r", tmp_path, tmp_path, *TINY).code == 0
    assert _files(tmp_path) == ["a.png", "a.siren"]
    result = run("decode", "-r", tmp_path, tmp_path)
    assert result.code == 1
    assert "exists already" in result.err
    assert (tmp_path / "a.png").read_bytes() == original
    assert run("decode", "-r", tmp_path, tmp_path, "--force").code == 0
    assert (tmp_path / "a.png").read_bytes() != original
    assert run("decode", "-r", tmp_path, tmp_path).err.startswith(
        "siren-decode: 0 done, 1 done before"
    )
    # A PNG that is newer, but not whole.
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    assert run("decode", "-r", tmp_path, tmp_path).code == 1


def test_an_output_inside_the_input(run: Command, tmp_path: Path) -> None:
    draw(tmp_path / "a.png")
    out = tmp_path / "out"
    out.mkdir()
    draw(out / "made by another.png")
    assert run("encode", "-r", tmp_path, out, *TINY).code == 0
    assert _files(out) == ["a.siren", "made by another.png"]


@pytest.mark.parametrize(
    ("source", "target", "code"),
    [("missing", "out", 1), ("file", "out", 1), ("in", "file", 1), ("-", "out", 2), ("in", "-", 2)],
)
def test_no_folders(run: Command, tmp_path: Path, source: str, target: str, code: int) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "file").write_text("")
    for command in ("encode", "decode"):
        ends = [end if end == "-" else tmp_path / end for end in (source, target)]
        result = run(command, "-r", *ends)
        assert result.code == code
        assert result.err.count("\n") == 1


def test_an_empty_folder(run: Command, tmp_path: Path) -> None:
    assert run("encode", "-r", tmp_path, tmp_path / "out") == (0, "", "siren-encode: 0 done\n")
    assert run("decode", "-r", tmp_path).code == 2


def test_any_name_that_a_file_may_have(run: Command, tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    draw(source / "a.png")
    name = os.fsdecode(b"\xff\n\x1b[2J.png")
    (source / "a.png").rename(source / name)
    result = run("encode", "-r", source, tmp_path / "out", *TINY)
    assert result.code == 0
    assert result.out.count("\n") == 1
    assert "\x1b" not in result.out
    assert run("encode", "-r", source, tmp_path / "out", "-f", "--json", *TINY).lines[0][
        "input"
    ] == str(source / name)


@pytest.mark.parametrize(
    ("names", "becomes"),
    [
        (["a.png"], ["a.siren"]),
        (["a.png", "b.png"], ["a.siren", "b.siren"]),
        (["a.jpg", "a.png"], ["a.jpg.siren", "a.png.siren"]),
        (["A.jpg", "a.png"], ["A.jpg.siren", "a.png.siren"]),
        (["a.jpg", "a.png", "a.png.jpg"], ["a.jpg.siren", "a.png.siren", "a.png.jpg.siren"]),
        (["a", "a.png"], ["a.siren", "a.png.siren"]),
        (["a.PNG", "a.png"], ["a.PNG.siren", "a.png.siren"]),
        (["a.b.png"], ["a.b.siren"]),
    ],
)
def test_names(names: list[str], becomes: list[str]) -> None:
    assert plan.output_names(names, ".siren") == becomes


def test_what_is_a_picture(tmp_path: Path) -> None:
    for name, format_ in (("a", "PNG"), ("b.xyz", "JPEG"), ("c.txt", "GIF"), ("d.dat", "WEBP")):
        Image.new("RGB", (2, 2)).save(tmp_path / name, format=format_)
        assert not PICTURES.skips(tmp_path / name)
    for name in ("a.png", "b.JPeG", "c.TIF", "d.jp2", "e.ppm", "f.avif"):
        (tmp_path / name).write_bytes(b"")
        assert not PICTURES.skips(tmp_path / name), name
    for name in ("x.txt", "x.mpg", "x.h5", "x.siren", "x.pdf", "x", "x.py"):
        (tmp_path / name).write_bytes(b"P6 BM and so on")
        assert PICTURES.skips(tmp_path / name), name
    (tmp_path / "folder.png").mkdir()
    assert PICTURES.skips(tmp_path / "folder.png")
    (tmp_path / "y.SIREN").write_bytes(b"")
    assert not sirens().skips(tmp_path / "y.SIREN")
    assert sirens().skips(tmp_path / "a.png")


def test_a_folder_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    real = os.scandir

    def scandir(path: Any) -> Any:
        if Path(path).name == "sub":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = plan_tree(tmp_path / "in", tmp_path / "out", PICTURES, Judge(of_siren))
    assert found.failures == {tmp_path / "in" / "sub": "Permission denied"}


Alter = Callable[[Encoded], Encoded]


@pytest.fixture
def altered(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], Alter]], None]:
    """Alter what `encode_picture` returns: the first, the second..."""
    real = encoding.encode_picture

    def alter(change: Callable[[int], Alter]) -> None:
        count = 0

        def encode_picture(picture: Picture, options: Options, **watch: Any) -> Encoded:
            nonlocal count
            count += 1
            return change(count)(real(picture, options, **watch))

        monkeypatch.setattr(encoding, "encode_picture", encode_picture)

    return alter


def test_missed_targets_are_done(
    run: Command, tree: Path, tmp_path: Path, altered: Callable[[Callable[[int], Alter]], None]
) -> None:
    altered(lambda n: lambda e: replace(e, missed="expected 9, reached 8" if n == 2 else None))
    result = run("encode", "-r", tree, tmp_path / "out", *TINY)
    assert result.code == 3
    assert "siren-encode: a.png.siren: expected 9, reached 8\n" in result.err
    assert "5 done, 1 of them missed the target" in result.err
    (tree / "a.png").write_text("not a picture")
    assert run("encode", "-r", tree, tmp_path / "out", *TINY).code == 1


def test_an_interruption_keeps_what_is_under_way(
    run: Command, tree: Path, tmp_path: Path, altered: Callable[[Callable[[int], Alter]], None]
) -> None:
    """The second picture is cut short; the next call makes it again, and the rest."""

    def interrupt(encoded: Encoded) -> Encoded:
        signal.raise_signal(signal.SIGINT)
        return replace(encoded, interrupted=True)

    altered(lambda n: interrupt if n == 2 else lambda encoded: encoded)
    before = signal.getsignal(signal.SIGINT)
    out = tmp_path / "out"
    result = run("encode", "-r", tree, out, *TINY)
    assert result.code == 130
    assert signal.getsignal(signal.SIGINT) == before
    assert _files(out) == OUTPUTS[:2]
    assert "ending the pictures under way; Ctrl-C again to write nothing" in result.err
    assert "2 done, 1 of them cut short, 3 not done" in result.err
    assert [line for line in result.err.splitlines() if ": not done: " in line] == [
        f"siren-encode: not done: {tree / name}"
        for name in ("b.PNG", "sub/no extension", "sub/deep/c.tif")
    ]
    result = run("encode", "-r", tree, out, "--json", *TINY)
    assert result.code == 0
    assert [Path(line["output"]).name for line in result.tried] == [
        *("a.png.siren", "b.siren", "no extension.siren", "c.siren")
    ]


def test_two_interruptions_end_at_once(
    run: Command, tree: Path, tmp_path: Path, altered: Callable[[Callable[[int], Alter]], None]
) -> None:
    def interrupt(encoded: Encoded) -> Encoded:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return encoded

    altered(lambda n: interrupt)
    result = run("encode", "-r", tree, tmp_path / "out", "--quiet", *TINY)
    assert result.code == 130
    assert result.err.strip() == "siren-encode: interrupted"
    assert _files(tmp_path / "out") == []


def test_an_unexpected_error_is_a_failure(
    run: Command, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise ZeroDivisionError("by\nzero")

    monkeypatch.setattr(pictures, "load", fail)
    result = run("encode", "-r", tree, tmp_path / "out", "--json", *TINY)
    assert result.code == 1
    assert {line["error"] for line in result.tried} == {"unexpected ZeroDivisionError: by zero"}


def test_bars_on_a_terminal(
    run: Command, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda: True)
    (tree / "a.png").write_text("not a picture")
    # A fit that no other test has seen shows its steps.
    result = run("encode", "-r", tree, tmp_path / "out", "--seed", "1", *TINY)
    assert "0/5 pictures |" in result.err
    assert "5/5 pictures |" in result.err
    assert "1 failed, 0:00 left" in result.err
    assert "step 10/10 |" in result.err
    # Said once, at the end.
    assert result.err.count("not a picture that Pillow can read") == 1
    quiet = run("encode", "-r", tree, tmp_path / "out", "--force", "--quiet", *TINY)
    assert quiet.out == ""
    assert "pictures" not in quiet.err
    as_json = run("encode", "-r", tree, tmp_path / "out", "--force", "--json", *TINY)
    assert len(as_json.tried) == 5
    assert "bpp, PSNR" not in as_json.err.split("failed:")[1]


def test_processes_share_the_work(tree: Path, tmp_path: Path) -> None:
    """As a user calls it: the processes are children of a real one."""
    out = tmp_path / "out"
    (tree / "b.PNG").write_text("not a picture")
    code = "from siren_codec.cli import encode_main; encode_main()"
    command = [sys.executable, "-c", code, "-r", "-j", "2", str(tree), str(out), "--json", *TINY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(x["input"]).name for x in lines if "error" in x] == ["b.PNG"]
    assert _files(out) == [name for name in OUTPUTS if name != "b.siren"]
    for name in _files(out):
        assert siren_codec.open(out / name).width == 6


def test_decoding_by_processes(run: Command, tree: Path, tmp_path: Path) -> None:
    assert run("encode", "-r", tree, tmp_path / "out", *TINY).code == 0
    result = run("decode", "-r", "-j", "2", tmp_path / "out", tmp_path / "back", "--scale", "2")
    assert result.code == 0
    assert _size(tmp_path / "back" / "b.png") == (12, 8)
