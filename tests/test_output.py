"""Output files that are whole or absent. No test here needs a user whom permissions bind."""

import errno
import os
import stat
import threading
from pathlib import Path

import pytest

from siren_codec import output
from siren_codec.errors import SirenError


def names(directory: Path) -> set[str]:
    return set(os.listdir(directory))


def test_a_new_file(tmp_path: Path) -> None:
    output.check(tmp_path / "a.siren", force=False)
    assert names(tmp_path) == set()
    output.write(tmp_path / "a.siren", b"data", force=False)
    assert (tmp_path / "a.siren").read_bytes() == b"data"
    assert names(tmp_path) == {"a.siren"}


def test_an_empty_file(tmp_path: Path) -> None:
    output.write(tmp_path / "a", b"", force=False)
    assert (tmp_path / "a").read_bytes() == b""


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    output.write(Path("a"), b"data", force=False)
    assert (tmp_path / "a").read_bytes() == b"data"


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(SirenError, match="exists already; --force overwrites it"):
        output.check(path, force=False)
    with pytest.raises(SirenError, match="exists already; --force overwrites it"):
        output.write(path, b"new", force=False)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == {"a"}


def test_force_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old and longer")
    output.check(path, force=True)
    output.write(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == {"a"}


@pytest.mark.parametrize("force", [False, True])
def test_a_directory_is_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path, Path(".")):
        with pytest.raises(SirenError, match="is a directory"):
            output.check(path, force=force)
        with pytest.raises(SirenError, match="is a directory"):
            output.write(path, b"data", force=force)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("parent", ["missing", "file"])
def test_a_parent_that_is_no_directory(tmp_path: Path, parent: str, force: bool) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    path = tmp_path / parent / "a"
    with pytest.raises(SirenError, match="cannot be written"):
        output.check(path, force=force)
    with pytest.raises(SirenError, match="cannot be written"):
        output.write(path, b"data", force=force)
    assert names(tmp_path) == {"file"}
    assert (tmp_path / "file").read_bytes() == b"kept"


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 256)
    with pytest.raises(SirenError, match="cannot be written"):
        output.check(path, force=False)
    with pytest.raises(SirenError, match="cannot be written"):
        output.write(path, b"data", force=False)


@pytest.mark.parametrize(
    "name",
    [
        "a" * 255,
        " ",
        "-",
        "naïve\n",
        pytest.param(
            "é" * 127,
        ),
    ],
)
def test_every_name_that_a_file_may_have(tmp_path: Path, name: str) -> None:
    output.write(tmp_path / name, b"data", force=False)
    assert names(tmp_path) == {name}


def test_the_mode_of_a_new_file_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        output.write(tmp_path / "a", b"data", force=False)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o666])
def test_the_mode_of_an_overwritten_file_is_kept(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    output.write(path, b"new", force=True)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    target, link = tmp_path / "other" / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(SirenError, match="exists already"):
        output.write(link, b"new", force=False)
    output.write(link, b"new", force=True)
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "other") == {"target"}


def test_a_link_to_nothing_yet(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    output.write(link, b"new", force=False)
    assert link.is_symlink()
    assert (tmp_path / "target").read_bytes() == b"new"


def test_a_link_to_itself(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(SirenError):
        output.write(link, b"new", force=True)


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("step", ["replace", "fsync"])
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, exists: bool
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a"
    if exists:
        path.write_bytes(b"old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(SirenError, match="a: cannot be written: No space left on device"):
        output.write(path, b"new", force=True)
    assert names(tmp_path) == ({"a"} if exists else set())
    assert not exists or path.read_bytes() == b"old"


def test_an_interruption_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        output.write(path, b"new", force=True)
    assert names(tmp_path) == {"a"}
    assert path.read_bytes() == b"old"


def test_the_file_is_whole_when_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, data, seen = tmp_path / "a", os.urandom(1 << 16), []
    replace = os.replace

    def watch(source: Path, target: Path) -> None:
        assert not path.exists()
        seen.append(Path(source).read_bytes())
        # A rename is atomic within a directory only.
        assert Path(source).parent == Path(target).parent
        replace(source, target)

    monkeypatch.setattr(os, "replace", watch)
    output.write(path, data, force=False)
    assert seen == [data]
    assert path.read_bytes() == data


@pytest.fixture
def no_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a broken `write` fail here, before it puts a file in the place of a real device."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a device must not be replaced")

    for name in ("replace", "rename", "link", "symlink"):
        monkeypatch.setattr(os, name, refuse)


@pytest.mark.usefixtures("no_renames")
@pytest.mark.parametrize("force", [False, True])
def test_dev_null_stays_what_it_is(force: bool) -> None:
    null = Path(os.devnull)
    before = null.stat()
    output.check(null, force=force)
    output.write(null, b"data", force=force)
    after = null.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_mode, after.st_ino, after.st_rdev) == (
        before.st_mode,
        before.st_ino,
        before.st_rdev,
    )


@pytest.mark.usefixtures("no_renames")
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_device_that_is_full() -> None:
    with pytest.raises(SirenError, match="/dev/full: cannot be written"):
        output.write(Path("/dev/full"), b"data", force=True)


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(pipe.read_bytes()), daemon=True)
    reader.start()
    output.write(pipe, b"data", force=False)
    reader.join(timeout=10)
    assert received == [b"data"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_an_open_file_goes_on_from_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with open(path, "ab") as file:
        name = Path(f"/dev/fd/{file.fileno()}")
        assert output.is_special(name)
        for force in (False, True):
            output.check(name, force=force)
            output.write(name, b" data", force=force)
        file.write(b" after")
    assert path.read_bytes() == b"before data data after"
    assert names(tmp_path) == {"a"}


def test_an_open_file_that_is_none_or_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with open(tmp_path / "a", "rb") as file:
        for number in (file.fileno(), 98765):
            with pytest.raises(SirenError, match="cannot be written: Bad file descriptor"):
                output.check(Path(f"/dev/fd/{number}"), force=True)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_what_is_special(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")
    found = [output.is_special(tmp_path / name) for name in ("a", "none", ".", "pipe", "a/b")]
    assert found == [False, False, False, True, False]
    assert output.is_special(Path(os.devnull))
    assert output.is_special(Path("/dev/stderr"))
