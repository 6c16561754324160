"""The commands, as a user runs them."""

import io
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import pytest
from PIL import Image

import siren_codec
from siren_codec import cli

GRID = ["--hidden-layers", "2", "--hidden-features", "8", "--steps", "10", "--device", "cpu"]
TINY = [*GRID, "--model", "coordinate"]
"""Much the quicker one: for what has nothing to do with the model."""


class Result(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Result]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run `encode`, `decode` or `info` with arguments, in this process."""

    def call(name: str, *arguments: object) -> Result:
        mains: dict[str, Callable[[], NoReturn]] = {
            "encode": cli.encode_main,
            "decode": cli.decode_main,
            "info": cli.info_main,
        }
        monkeypatch.setattr(sys, "argv", [f"siren-{name}", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            mains[name]()
        code = stop.value.code
        return Result(code if isinstance(code, int) else 0, *capfd.readouterr())

    return call


@pytest.fixture(scope="module")
def data() -> bytes:
    y, x = np.mgrid[:12, :20]
    pixels = np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8)
    return siren_codec.encode(pixels, hidden_layers=2, hidden_features=8, steps=10, device="cpu")


@pytest.fixture
def siren(data: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "picture.siren"
    path.write_bytes(data)
    return path


@pytest.fixture
def png(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.linear_gradient("L").resize((20, 12)).convert("RGB").save(path)
    return path


def _size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def _is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text


@pytest.mark.parametrize("options", [GRID, TINY])
def test_round_trip(run: Command, png: Path, tmp_path: Path, options: list[str]) -> None:
    out = tmp_path / "out.siren"
    result = run("encode", png, out, *options)
    assert result.code == 0
    last = result.out.splitlines()[-1]
    assert last.startswith(f"out.siren: {out.stat().st_size} bytes, ")
    assert "bpp, PSNR" in last
    assert "step 10/10" in result.err
    assert run("decode", out) == (0, "", "")
    assert _size(tmp_path / "out.png") == (20, 12)


def test_json_and_psnr_are_of_the_file(run: Command, png: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.siren"
    result = run("encode", png, out, "--json", "--quiet", *TINY)
    assert result.err == ""
    found = json.loads(result.out)
    assert found["bytes"] == out.stat().st_size
    assert found["bpp"] == 8 * out.stat().st_size / (20 * 12)
    decoded = siren_codec.decode(out.read_bytes()).astype(float)
    with Image.open(png) as image:
        mse = np.mean((decoded - np.asarray(image)) ** 2)
    assert found["psnr"] == pytest.approx(10 * np.log10(255**2 / mse))


@pytest.mark.parametrize(
    ("options", "unit"), [(GRID, "bits per latent"), (TINY, "bits per weight")]
)
def test_verbose_says_more(
    run: Command, png: Path, tmp_path: Path, options: list[str], unit: str
) -> None:
    result = run("encode", png, tmp_path / "out.siren", "-v", *options)
    assert unit in result.err
    assert "hidden_layers=2" in result.err


@pytest.mark.parametrize(
    ("options", "model"), [([], "grid"), (["--model", "coordinate"], "coordinate")]
)
def test_grid_is_the_default(
    run: Command, png: Path, tmp_path: Path, options: list[str], model: str
) -> None:
    out = tmp_path / "out.siren"
    assert run("encode", png, out, *GRID, *options).code == 0
    assert siren_codec.info(out)["model"] == model


def test_quality_is_what_the_library_calls_so(run: Command, png: Path, tmp_path: Path) -> None:
    files = []
    for quality in (10, 90):
        out = tmp_path / f"{quality}.siren"
        assert run("encode", png, out, "-q", quality, "--seed", "3", *GRID).code == 0
        files.append(out.read_bytes())
        with Image.open(png) as image:
            assert files[-1] == siren_codec.encode(
                image,
                quality=quality,
                seed=3,
                hidden_layers=2,
                hidden_features=8,
                steps=10,
                device="cpu",
            )
    assert files[0] != files[1]


@pytest.mark.parametrize(
    ("options", "size"),
    [
        (["--scale", "2"], (40, 24)),
        (["--scale", "0.5"], (10, 6)),
        (["--size", "7x9"], (7, 9)),
        (["--crop", "1,2,5,4"], (5, 4)),
        (["--crop", "1,2,5,4", "--scale", "3"], (15, 12)),
        (["--crop", "1,2,5,4", "--size", "8x8"], (8, 8)),
        (["--show", "gradient"], (20, 12)),
        (["--show", "laplacian", "--scale", "2"], (40, 24)),
    ],
)
def test_decode_options(
    run: Command, siren: Path, tmp_path: Path, options: list[str], size: tuple[int, int]
) -> None:
    out = tmp_path / "out.png"
    assert run("decode", siren, out, *options).code == 0
    assert _size(out) == size


@pytest.mark.parametrize("extension", ["png", "jpg", "webp", "tiff", "bmp"])
def test_decode_formats(run: Command, siren: Path, tmp_path: Path, extension: str) -> None:
    out = tmp_path / f"out.{extension}"
    assert run("decode", siren, out).code == 0
    assert _size(out) == (20, 12)


def test_info(run: Command, siren: Path) -> None:
    result = run("info", siren)
    assert result.code == 0
    assert "width                  20" in result.out
    assert "bytes, weights" in result.out
    assert json.loads(run("info", siren, "--json").out) == siren_codec.info(siren)


def test_info_of_grids(run: Command, siren: Path) -> None:
    found = siren_codec.info(siren)
    lines = run("info", siren).out.splitlines()
    of_grids = [line for line in lines if line.startswith("grid on level")]
    assert len(of_grids) == len(found["latents"]) > 0
    for line, grid in zip(of_grids, found["latents"], strict=True):
        assert line.split()[3:4] == [str(grid["level"])]
        assert f"{grid['shape'][0]}x{grid['shape'][1]}, {grid['bytes']} bytes" in line
    sections = {
        line.split()[1]: int(line.split()[2]) for line in lines if line.startswith("bytes, ")
    }
    assert sections == found["sections"]
    assert sum(sections.values()) == siren.stat().st_size
    assert any(line.startswith("layer context 0 weight") for line in lines)


def test_pipes(siren: Path, png: Path) -> None:
    """From standard input to standard output, as separate processes, messages on stderr alone."""

    def pipe(main: str, *arguments: str, stdin: bytes) -> "subprocess.CompletedProcess[bytes]":
        code = f"from siren_codec.cli import {main}; {main}()"
        command = [sys.executable, "-c", code, *arguments]
        return subprocess.run(command, input=stdin, capture_output=True, check=True)

    encoded = pipe("encode_main", "-", "-", *TINY, stdin=png.read_bytes())
    assert b"bpp, PSNR" in encoded.stderr
    decoded = pipe("decode_main", "-", "--scale", "2", stdin=encoded.stdout)
    assert Image.open(io.BytesIO(decoded.stdout)).size == (40, 24)
    assert b"coordinate" in pipe("info_main", "-", stdin=encoded.stdout).stdout


def test_version_and_help(run: Command) -> None:
    for name in ("encode", "decode", "info"):
        assert run("".join(name), "-V").out == f"siren-{name} {siren_codec.__version__}\n"
        assert "Exit codes" in run(name, "--help").out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "found an empty"),
        (b"GIF89a but not really", "found b'GIF8'"),
        (b"\x89SRN", "truncated"),
        (b"\x89SRN\x01" + bytes(40), "corrupt or truncated"),
    ],
)
@pytest.mark.parametrize("command", ["decode", "info"])
def test_bad_siren_files(
    run: Command, tmp_path: Path, command: str, content: bytes | None, message: str
) -> None:
    path = tmp_path / "bad.siren"
    if content is not None:
        path.write_bytes(content)
    result = run(command, path)
    assert result.code == 1
    assert message in result.err
    assert str(path) in result.err
    assert _is_one_line(result.err)
    assert not (tmp_path / "bad.png").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        (b"", "found an empty file"),
        (b"not a picture", "not a picture"),
        (b"\x89PNG\r\n\x1a\n" + bytes(30), ""),
    ],
)
def test_bad_pictures(run: Command, tmp_path: Path, content: bytes | None, message: str) -> None:
    path, out = tmp_path / "bad.png", tmp_path / "out.siren"
    if content is not None:
        path.write_bytes(content)
    result = run("encode", path, out)
    assert result.code == 1
    assert message in result.err
    assert _is_one_line(result.err)
    assert not out.exists()


def test_truncated_picture(run: Command, png: Path, tmp_path: Path) -> None:
    png.write_bytes(png.read_bytes()[:60])
    result = run("encode", png, tmp_path / "out.siren")
    assert result.code == 1
    assert _is_one_line(result.err)


@pytest.mark.parametrize(
    "options",
    [
        ["--scale", "0"],
        ["--scale", "-1"],
        ["--scale", "nan"],
        ["--scale", "inf"],
        ["--scale", "two"],
        ["--size", "0x5"],
        ["--size", "5"],
        ["--size", "5x5", "--scale", "2"],
        ["--crop", "0,0,21,12"],
        ["--crop", "-1,0,5,5"],
        ["--crop", "0,0,0,5"],
        ["--crop", "1,2,3"],
        ["--show", "hessian"],
        ["--device", "tpu"],
        ["--unknown"],
    ],
)
def test_bad_decode_options(run: Command, siren: Path, tmp_path: Path, options: list[str]) -> None:
    result = run("decode", siren, *options)
    assert result.code == 2
    assert _is_one_line(result.err)
    assert not (tmp_path / "picture.png").exists()


@pytest.mark.parametrize("options", [["--scale", "1e4"], ["--scale", "2", "--max-pixels", "900"]])
def test_too_large_an_output(run: Command, siren: Path, options: list[str]) -> None:
    result = run("decode", siren, *options)
    assert result.code == 1
    assert "expected at most" in result.err
    assert _is_one_line(result.err)


@pytest.mark.parametrize(
    "options",
    [
        ["-q", "0"],
        ["-q", "101"],
        ["-q", "50.5"],
        ["--effort", "10"],
        ["--model", "jpeg"],
        ["--batch", "10"],
        ["--device", "tpu"],
        ["--hidden-layers", "0"],
        ["--hidden-features", "513"],
        ["--steps", "0"],
        ["--seed", "-1"],
    ],
)
def test_bad_encode_options(run: Command, png: Path, tmp_path: Path, options: list[str]) -> None:
    result = run("encode", png, tmp_path / "out.siren", *options)
    assert result.code == 2
    assert _is_one_line(result.err)


def test_missing_arguments_are_a_usage_error(run: Command, png: Path) -> None:
    assert run("encode", png).code == 2
    assert run("decode").code == 2


def test_a_picture_over_the_limit(run: Command, png: Path, tmp_path: Path) -> None:
    result = run("encode", png, tmp_path / "out.siren", "--max-pixels", "239")
    assert result.code == 1
    assert "20x12: expected at most 239 pixels" in result.err


def test_nothing_is_overwritten_without_force(
    run: Command, png: Path, siren: Path, data: bytes
) -> None:
    result = run("encode", png, siren, *TINY)
    assert result.code == 1
    assert "exists already" in result.err
    assert siren.read_bytes() == data
    assert run("encode", png, siren, "--force", *TINY).code == 0
    assert siren.read_bytes() != data
    before = png.read_bytes()
    assert run("decode", siren).code == 1
    assert png.read_bytes() == before
    assert run("decode", siren, "-f").code == 0
    assert png.read_bytes() != before


def test_the_input_is_never_the_output(run: Command, png: Path) -> None:
    before = png.read_bytes()
    result = run("encode", png, png, "--force", *TINY)
    assert result.code == 1
    assert "is the input itself" in result.err
    assert png.read_bytes() == before


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_no_file_to_decode(run: Command, name: str) -> None:
    result = run("decode", name)
    assert result.code in (1, 2)
    assert _is_one_line(result.err)


def test_a_name_that_is_too_long(run: Command, tmp_path: Path) -> None:
    for arguments in (["encode", "n" * 300, tmp_path / "a.siren"], ["decode", "n" * 300]):
        result = run(*arguments)
        assert result.code == 1
        assert _is_one_line(result.err)


@pytest.mark.parametrize(
    ("main", "redirect"),
    [
        ("info_main", ">/dev/full"),
        ("decode_main", "- >/dev/full"),
        ("decode_main", "- >&-"),
        ("info_main", ">&-"),
    ],
)
def test_an_output_that_cannot_be_written(siren: Path, main: str, redirect: str) -> None:
    code = f"from siren_codec.cli import {main}; {main}()"
    command = f"{shlex.quote(sys.executable)} -c '{code}' {shlex.quote(str(siren))} {redirect}"
    done = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") <= 1
    if redirect != ">&-":
        assert done.returncode == 1


def test_endless_input_is_not_read(run: Command) -> None:
    result = run("info", "/dev/zero")
    assert result.code == 1
    assert "expected a .siren file" in result.err


def test_an_unwritable_output_is_found_before_the_fit(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siren_codec import codec

    monkeypatch.setattr(codec, "encode_picture", lambda *_, **__: pytest.fail("the fit began"))
    for target in (tmp_path / "missing" / "out.siren", tmp_path, png / "out.siren"):
        result = run("encode", png, target)
        assert result.code == 1
        assert _is_one_line(result.err)


def test_an_unknown_extension_is_a_usage_error(run: Command, siren: Path, tmp_path: Path) -> None:
    result = run("decode", siren, tmp_path / "out.xyz")
    assert result.code == 2
    assert "expected an extension of .png" in result.err


def test_interruption_leaves_nothing(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from siren_codec.fit import trainer

    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer._Clock, "tick", interrupt)
    before = set(tmp_path.iterdir())
    result = run("encode", png, tmp_path / "out.siren", "--quiet", *TINY)
    assert result.code == 130
    assert result.err.strip() == "siren-encode: interrupted"
    assert set(tmp_path.iterdir()) == before


def test_a_failing_disk_leaves_nothing(
    run: Command, png: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    before = set(tmp_path.iterdir())
    result = run("encode", png, tmp_path / "out.siren", "--quiet", *TINY)
    assert result.code == 1
    assert "No space left on device" in result.err
    assert set(tmp_path.iterdir()) == before


def test_what_is_converted_is_said(run: Command, tmp_path: Path) -> None:
    path = tmp_path / "cmyk.tiff"
    Image.new("CMYK", (5, 4)).save(path)
    result = run("encode", path, tmp_path / "out.siren", *TINY)
    assert "cmyk.tiff: converted CMYK to RGB" in result.err
