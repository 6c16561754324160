"""Commands whose standard streams are closed, full, unread or of few letters."""

import io
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from conftest import make_field
from PIL import Image

from siren_codec import cli, stream
from siren_codec.cli import console, files, streams
from siren_codec.fit.kernels import on_standard_error

STUB = """
import os, sys
from types import SimpleNamespace
from siren_codec import cli
from siren_codec.many import recipes

def encode(self, picture, *, progress=None, stop=None, checkpoint=None):
    for step in range(4) if progress else ():
        progress(SimpleNamespace(step=step, steps=3, psnr=30.0, bpp=1.0, seconds_left=1.0))
    return recipes.Product(b"data", "a line", {"bytes": 4}, (), "details", None)

recipes.Encode.encode = encode
if os.environ.get("NOISE"):  # Of libraries, while a file is written.
    fsync = os.fsync
    os.fsync = lambda number: (os.write(1, b"noise"), os.write(2, b"noise"), fsync(number))
name = sys.argv.pop(1)
getattr(cli, f"{name}_main")()
"""
"""The commands, with a fit that takes no time and a file of four bytes."""

UNREAD = "| sleep 0"
"""A reader that goes at once."""
FULL = ">/dev/full"
NO_SPACE = b"standard output: cannot be written: No space left on device\n"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stub") / "stub.py"
    path.write_text(STUB)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder `in` with three pictures, one with three files, and the place of the work."""
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / "sirens").mkdir(exist_ok=True)
        Image.new("RGB", (4, 3)).save(tmp_path / "in" / f"{number}.png")
        (tmp_path / "sirens" / f"{number}.siren").write_bytes(stream.write(make_field(number)))
    return tmp_path


def shell(
    stub: Path, folder: Path, line: str, env: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[bytes]":
    """Run a line of bash, in which `encode`, `decode` and `info` are the commands."""
    python = f"{shlex.quote(sys.executable)} {shlex.quote(str(stub))}"
    commands = "".join(
        f'{name}() {{ {python} {name} "$@"; }}\n' for name in ("encode", "decode", "info")
    )
    # PIPESTATUS is of the command, not of what it is piped to.
    return subprocess.run(
        ["bash", "-c", f"{commands}{line}\nexit ${{PIPESTATUS[0]}}"],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **(env or {})},
    )


# Standard output


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("encode -r in out", UNREAD),
        ("encode -r in out --json", UNREAD),
        ("encode -r in out", ">&-"),
        pytest.param("encode -r in out --json", FULL, marks=needs_full),
        ("decode -r sirens out", UNREAD),
    ],
)
def test_a_folder_is_done_whatever_becomes_of_its_lines(
    stub: Path, folder: Path, command: str, output: str
) -> None:
    done = shell(stub, folder, f"{command} {output}")
    assert done.returncode == 0
    assert len(list((folder / "out").glob("[!.]*"))) == 3
    assert b"3 done\n" in done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(NO_SPACE) == (output == FULL)


@pytest.mark.parametrize(
    ("options", "output"),
    [("", UNREAD), ("--json --quiet", UNREAD), pytest.param("--json", FULL, marks=needs_full)],
)
def test_a_picture_is_written_whatever_becomes_of_its_line(
    stub: Path, folder: Path, options: str, output: str
) -> None:
    done = shell(stub, folder, f"encode {options} in/0.png a.siren {output}")
    assert done.returncode == 0
    assert (folder / "a.siren").read_bytes() == b"data"
    assert done.stderr.count(NO_SPACE) == (output == FULL)
    assert done.stderr == b"" or "--quiet" not in options


@pytest.mark.parametrize(
    ("command", "output", "code", "message"),
    [
        ("info sirens/0.siren", UNREAD, 141, b""),
        ("info sirens/0.siren", ">&-", 1, b"siren-info: standard output is closed\n"),
        pytest.param("info sirens/0.siren", FULL, 1, b"siren-info: " + NO_SPACE, marks=needs_full),
        ("info sirens/0.siren --json", UNREAD, 141, b""),
        ("encode --quiet in/0.png -", UNREAD, 141, b""),
        ("decode sirens/0.siren -", UNREAD, 141, b""),
        ("decode sirens/0.siren /dev/fd/1", UNREAD, 141, b""),
        (
            "decode sirens/0.siren /dev/stdout",
            ">&-",
            1,
            b"siren-decode: standard output is closed\n",
        ),
        pytest.param(
            "encode --quiet in/0.png /dev/stdout",
            FULL,
            1,
            b"siren-encode: " + NO_SPACE,
            marks=needs_full,
        ),
    ],
)
def test_a_product_that_cannot_be_taken(
    stub: Path, folder: Path, command: str, output: str, code: int, message: bytes
) -> None:
    done = shell(stub, folder, f"{command} {output}")
    assert (done.returncode, done.stderr) == (code, message)


# Standard error


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ("", "2>&-"),
        ("--json -v", "2> >(sleep 0)"),
        pytest.param("-v", "2>/dev/full", marks=needs_full),
    ],
)
def test_a_fit_is_kept_whatever_becomes_of_standard_error(
    stub: Path, folder: Path, options: str, output: str
) -> None:
    done = shell(stub, folder, f"encode {options} in/0.png a.siren {output}")
    assert done.returncode == 0
    assert (folder / "a.siren").read_bytes() == b"data"
    assert done.stdout.count(b"\n") == 1


@pytest.mark.parametrize("output", ["2>&-", pytest.param("2>/dev/full", marks=needs_full)])
def test_a_folder_is_done_whatever_becomes_of_standard_error(
    stub: Path, folder: Path, output: str
) -> None:
    (folder / "in" / "bad.png").write_bytes(b"no picture")
    done = shell(stub, folder, f"encode -r in out {output}")
    assert done.returncode == 1
    assert len(list((folder / "out").glob("[!.]*"))) == 3
    assert done.stdout.count(b"\n") == 3


@needs_full
def test_the_exit_code_is_that_of_the_failure(stub: Path, folder: Path) -> None:
    assert shell(stub, folder, "encode none.png a.siren 2>/dev/full").returncode == 1
    assert shell(stub, folder, "encode in/0.png -j 2 2>/dev/full").returncode == 2


def test_nothing_else_is_written_into_a_file_that_has_the_place_of_a_stream(
    stub: Path, folder: Path
) -> None:
    line = "encode in/0.png a.siren <&- >&- 2>&-"
    done = shell(stub, folder, line, {"NOISE": "1"})
    assert done.returncode == 0
    assert (folder / "a.siren").read_bytes() == b"data"


def test_standard_input_is_closed(stub: Path, folder: Path) -> None:
    for command in ("encode - a.siren", "decode /dev/stdin a.png"):
        done = shell(stub, folder, f"{command} <&-")
        assert done.returncode == 1
        assert done.stderr.endswith(b": standard input: it is closed\n")
        assert done.stderr.count(b"\n") == 1


def test_standard_input_that_cannot_be_read(stub: Path, folder: Path) -> None:
    for command in ("encode - a.siren", "decode - a.png"):
        done = shell(stub, folder, f"{command} 0>unreadable")
        assert done.returncode == 1
        assert done.stderr.endswith(b": standard input: Bad file descriptor\n")
        assert done.stderr.count(b"\n") == 1


# Names


@pytest.mark.parametrize(
    ("command", "env"),
    [
        ("encode -r in out", {"PYTHONIOENCODING": "cp1252"}),
        ("encode -r in out --json", {"PYTHONIOENCODING": "cp1252"}),
        ("encode -r in out", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ("decode -r sirens out --json", {"PYTHONIOENCODING": "cp1252"}),
        ("decode -r sirens out", {}),
    ],
)
def test_names_that_the_terminal_cannot_show(
    stub: Path, folder: Path, command: str, env: dict[str, str]
) -> None:
    suffix, becomes = (".png", ".siren") if "encode" in command else (".siren", ".png")
    source = folder / ("in" if "encode" in command else "sirens")
    names = {os.fsdecode(name) for name in ("日本".encode(), b"byte\xff", b"line\nfeed\x1b[1m")}
    for name in names:
        (source / f"{name}{suffix}").write_bytes((source / f"0{suffix}").read_bytes())
    done = shell(stub, folder, command, env)
    assert done.returncode == 0
    assert {path.stem for path in (folder / "out").glob("[!.]*")} == {"0", "1", "2", *names}
    lines = done.stdout.decode("ascii" if env else "utf-8").splitlines()
    assert len(lines) == 6
    if "--json" in command:
        assert names < {Path(json.loads(line)["input"]).stem for line in lines}
    else:
        shown = {line.split(becomes)[0] for line in lines}
        assert {r"byte\xff", r"line\nfeed\x1b[1m"} < shown
        assert ("日本" in shown) == (not env)


def test_names_in_what_is_said_of_a_failure(stub: Path, folder: Path) -> None:
    done = shell(stub, folder, r"encode $'no\xffne\n.png' a.siren", {"PYTHONIOENCODING": "cp1252"})
    assert done.returncode == 1
    assert done.stderr.startswith(rb"siren-encode: no\xffne .png: No such file")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("line", "encoding", "shown"),
    [
        ("plain", None, "plain"),
        ("naïve", "utf-8", "naïve"),
        ("naïve", "ascii", r"na\xefve"),
        ("日本", "cp1252", r"\u65e5\u672c"),
        ("a\nb\x1b", "utf-8", r"a\nb\x1b"),
        ("a\udcff", "utf-8", r"a\xff"),
        ("a\ud800", "utf-8", r"a\ud800"),
        ("", None, ""),
    ],
)
def test_what_is_printable(line: str, encoding: str | None, shown: str) -> None:
    assert streams.printable(line, encoding) == shown


def test_a_line_that_cannot_be_written_is_said_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        console.say("one", error=False)
        console.say("two", error=False)
    message = "standard output: cannot be written: No space left on device\n"
    assert capfd.readouterr().err == message


@needs_full
def test_a_library_call_is_not_ended_by_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        for stream_ in (io.TextIOWrapper(full, write_through=True), None):
            monkeypatch.setattr(sys, "stderr", stream_)
            on_standard_error("a line")


# Memory


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
def test_too_little_memory_is_one_line(stub: Path, folder: Path) -> None:
    """Libraries cannot be loaded, or what they need when they are is not there."""
    done = shell(stub, folder, "ulimit -v 150000; decode sirens/0.siren")
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("Advice.\n\nThe error was: a.so: failed to map segment\n", "out of memory: The error was"),
        ("a.so: cannot allocate memory in static TLS block", "out of memory: a.so: cannot"),
        ("No module named 'x'", "cannot be loaded: No module named 'x'"),
        ("", "cannot be loaded: ImportError"),
    ],
)
def test_a_library_that_cannot_be_loaded(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: str, message: str
) -> None:
    def fail(*_: object) -> None:
        raise ImportError(error)

    monkeypatch.setattr(files, "read", fail)
    monkeypatch.setattr(sys, "argv", ["siren-info", "a.siren"])
    with pytest.raises(SystemExit) as stop:
        cli.info_main()
    assert stop.value.code == 1
    err = capfd.readouterr().err
    assert err.startswith(f"siren-info: {message}")
    assert err.count("\n") == 1
