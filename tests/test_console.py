"""What the commands print while pictures are made."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image

from siren_codec.cli import console
from siren_codec.progress import Progress

TINY = ["--hidden-layers", "2", "--hidden-features", "8", "--steps", "10", "--device", "cpu"]


@pytest.fixture
def pass_seconds(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let a clock of our own go on by so many seconds."""
    now = 1000.0

    def go_on(seconds: float) -> None:
        nonlocal now
        now += seconds

    monkeypatch.setattr("time.monotonic", lambda: now)
    return go_on


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "is_terminal", lambda: True)


def _progress(step: int, *, bpp: float | None = 0.5) -> Progress:
    return Progress(step, max(step, 60), 30.0, bpp, 1.0, 75.4)


def test_a_line_every_ten_seconds_where_there_is_no_terminal(
    capfd: pytest.CaptureFixture[str], pass_seconds: Callable[[float], None]
) -> None:
    with console.picture_progress("siren-encode: a.png", shown=True) as progress:
        assert progress is not None
        for step in range(1, 61):
            pass_seconds(0.75)
            progress(_progress(step))
    lines = capfd.readouterr().err.splitlines()
    state = "PSNR 30.00 dB, 0.500 bpp, 1:15 left"
    # 45 seconds: after the 14th step, then 14 steps (10.5 seconds) each.
    assert lines == [f"siren-encode: a.png: step {step}/60, {state}" for step in (14, 28, 42, 56)]


def test_a_folder_has_such_lines_too(
    capfd: pytest.CaptureFixture[str], pass_seconds: Callable[[float], None]
) -> None:
    with console.folder_progress("siren-encode", 12, shown=True) as show:
        for done in range(1, 13):
            pass_seconds(6)
            show(done, int(done > 1))
    lines = capfd.readouterr().err.splitlines()
    assert lines[:2] == [
        "siren-encode: 2/12 pictures, 1 failed, 1:00 left",
        "siren-encode: 4/12 pictures, 1 failed, 0:48 left",
    ]
    assert len(lines) == 6


def test_a_rate_that_is_not_known_is_not_said(
    capfd: pytest.CaptureFixture[str], pass_seconds: Callable[[float], None]
) -> None:
    with console.picture_progress("siren-encode: a.png", shown=True) as progress:
        assert progress is not None
        pass_seconds(10)
        progress(_progress(3, bpp=None))
    assert capfd.readouterr().err == ("siren-encode: a.png: step 3/60, PSNR 30.00 dB, 1:15 left\n")


@pytest.mark.usefixtures("terminal")
def test_steps_beyond_the_last_are_not_shown_each(capfd: pytest.CaptureFixture[str]) -> None:
    with console.picture_progress("siren-encode: a.png", shown=True) as progress:
        assert progress is not None
        for step in range(1, 80):
            progress(_progress(step))
    err = capfd.readouterr().err
    assert "step 60/60 " in err
    assert err.count("step") <= 3


@pytest.mark.usefixtures("terminal")
def test_a_terminal_without_tqdm_gets_lines(
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    pass_seconds: Callable[[float], None],
) -> None:
    monkeypatch.setattr(console, "find_spec", lambda _: None)
    with console.folder_progress("siren-decode", 2, shown=True) as show:
        pass_seconds(20)
        show(1, 0)
    assert capfd.readouterr().err == "siren-decode: 1/2 pictures, 0 failed, 0:20 left\n"


def test_nothing_is_shown_unasked(
    capfd: pytest.CaptureFixture[str], pass_seconds: Callable[[float], None]
) -> None:
    with (
        console.picture_progress("a", shown=False) as progress,
        console.folder_progress("a", 2, shown=False) as show,
    ):
        assert progress is None
        pass_seconds(20)
        show(1, 0)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (59.6, "1:00"), (754, "12:34"), (3723, "1:02:03")]
)
def test_intervals(seconds: float, text: str) -> None:
    assert console.duration(seconds) == text


@pytest.mark.parametrize("recursive", [False, True])
@pytest.mark.parametrize(("model", "rate"), [("grid", True), ("coordinate", False)])
def test_the_command_says_how_far_it_is(
    run: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    model: str,
    rate: bool,
    recursive: bool,
) -> None:
    """The coordinate model's rate is not known before its end, and is not given as 0."""
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", 0.0)
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / "a.png"
    Image.linear_gradient("L").resize((20, 12)).save(picture)
    names = ["-r", picture.parent, tmp_path / "out"] if recursive else [picture, tmp_path / "out"]
    result = run("encode", *names, "--model", model, *TINY)
    assert result.code == 0
    assert "\r" not in result.err
    lines = [line for line in result.err.splitlines() if "step" in line]
    assert [line.split(",")[0] for line in lines[:2]] == [
        "siren-encode: a.png: step 1/10",
        "siren-encode: a.png: step 2/10",
    ]
    assert all(("bpp" in line) == rate for line in lines)
    assert all("0.000 bpp" not in line for line in lines)
