"""Decoding: at any size, from any source, within limits, and what it imports and opens."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_field
from goldens import GOLDEN

import siren_codec
from siren_codec import stream
from siren_codec.errors import LimitError
from siren_codec.field import Field
from siren_codec.framing import View
from siren_codec.limits import Limits
from siren_codec.many.recipes import Decode
from siren_codec.stream import format


@pytest.fixture(params=["rgb_8_grid", "rgb_8_range"])
def data(request: pytest.FixtureRequest) -> bytes:
    """A file of either model, of 21 x 13 and of 24 x 16 pixels."""
    return (GOLDEN / f"{request.param}.siren").read_bytes()


def test_any_size(data: bytes) -> None:
    field = siren_codec.open(data)
    width, height = field.width, field.height
    decoded = siren_codec.decode(data)
    assert decoded.shape == (height, width, 3)
    assert decoded.dtype == np.uint8
    assert siren_codec.decode(data, scale=2).shape == (2 * height, 2 * width, 3)
    assert siren_codec.decode(data, size=(7, 5)).shape == (5, 7, 3)
    assert np.array_equal(siren_codec.decode(data, crop=(3, 2, 5, 4)), decoded[2:6, 3:8])


def test_open_takes_a_path_or_bytes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.siren"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        field = siren_codec.open(source)
        assert isinstance(field, siren_codec.Field)
        assert field.at(1.2, 10.5).shape == (3,)
    with pytest.raises(siren_codec.SirenError, match="No such file"):
        siren_codec.open(tmp_path / "missing.siren")


def test_decoding_has_a_limit_of_its_own(data: bytes) -> None:
    with pytest.raises(LimitError, match="expected at most 500 pixels"):
        siren_codec.decode(data, scale=2, limits=siren_codec.Limits(pixels=500))
    with pytest.raises(LimitError, match="expected at most 200 pixels"):
        siren_codec.decode(data, limits=siren_codec.Limits(pixels=200))


GRIDS = make_field(width=64, height=48, features=(1, 1, 1, 1))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let any bytes be a file of GRIDS; return what `stream.read` is asked for."""
    calls: list[dict[str, Any]] = []

    def read(_: bytes, __: Limits, **options: Any) -> Field:
        calls.append(options)
        # A file that was cut short has lost its finest level.
        lost = options.get("first_level", 0) or int(options.get("partial", False))
        return replace(GRIDS, first_level=lost, whole=not options.get("partial", False))

    header = format.Header(64, 48, 8, GRIDS.architecture)
    monkeypatch.setattr(stream, "read", read)
    monkeypatch.setattr(format, "parse", lambda *_: (header, {}))
    return calls


def test_a_smaller_picture_reads_fewer_levels(asked: list[dict[str, Any]]) -> None:
    siren_codec.decode(b"")
    small = siren_codec.decode(b"", scale=0.125)
    siren_codec.decode(b"", size=(32, 24))
    siren_codec.decode(b"", size=(4, 4), crop=(0, 0, 16, 16))
    assert [options.get("first_level", 0) for options in asked] == [0, 2, 0, 1]
    assert np.array_equal(small, replace(GRIDS, first_level=2).render(scale=0.125))


def test_derivatives_are_of_all_levels(asked: list[dict[str, Any]]) -> None:
    Decode(view=View(scale=0.125), show="gradient").load(format.MAGIC)
    Decode(view=View(scale=0.125)).load(format.MAGIC)
    assert [options.get("first_level", 0) for options in asked] == [0, 2]


def test_part_of_a_file_is_enough_if_asked_for(asked: list[dict[str, Any]]) -> None:
    partial = siren_codec.decode(b"", partial=True, scale=0.5)
    assert np.array_equal(partial, replace(GRIDS, first_level=1).render(scale=0.5))
    assert siren_codec.open(b"", partial=True).first_level == 1
    assert siren_codec.open(b"").first_level == 0
    assert [options.get("partial", False) for options in asked] == [True, True, False]


@pytest.mark.usefixtures("asked")
def test_what_is_missing_is_said() -> None:
    recipe = Decode(partial=True)
    assert recipe.render(recipe.load(format.MAGIC)).notices == (
        "the file is cut short: 1 of 4 levels is missing",
    )
    assert recipe.render(GRIDS).notices == ()
    assert recipe.render(replace(GRIDS, first_level=2, whole=False)).notices == (
        "the file is cut short: 2 of 4 levels are missing",
    )
    assert recipe.render(replace(GRIDS, whole=False)).notices == (
        "the file is cut short: metadata may be missing",
    )
    # Of a whole file nothing is missing: a small picture does not need it.
    assert Decode(view=View(scale=0.25)).render(replace(GRIDS, first_level=1)).notices == ()


def _run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_is_lazy() -> None:
    heavy = "{'torch', 'numba', 'numpy', 'PIL', 'click', 'constriction', 'zstandard', 'skimage'}"
    assert _run(f"import sys, siren_codec; print({heavy} & set(sys.modules))") == "set()\n"


def test_reading_runs_no_code_opens_no_other_file_and_reaches_no_network() -> None:
    script = f"""
import sys
from pathlib import Path
import siren_codec
files = [path.read_bytes() for path in sorted(Path({str(GOLDEN)!r}).glob("*.siren"))]
def read_all():
    for data in files:
        siren_codec.decode(data, scale=1.5)
        siren_codec.info(data)
read_all()  # Imports, and the package's own priors.
seen, watching = [], True
sys.addaudithook(lambda event, arguments: watching and seen.append((event, *arguments[:1])))
read_all()
watching = False
# threadpoolctl looks for BLAS in the process's own map.
usual = {{("open", "/proc/self/maps"), ("_thread.start_new_thread",)}}
print(len(files) > 10, {{each for each in seen if not each[0].startswith("object.")}} - usual)
"""
    assert _run(script) == "True set()\n"


def test_decoding_never_imports_torch_or_numba(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.siren"
    path.write_bytes(data)
    code = f"""
import sys, siren_codec
from siren_codec import cli
siren_codec.decode(open({str(path)!r}, 'rb').read(), scale=2)
siren_codec.info({str(path)!r})
siren_codec.open({str(path)!r}).laplacian(1.5, 2.5)
for main, argv in (
    (cli.decode_main, [{str(path)!r}]),
    (cli.decode_main, [{str(path)!r}, '-f', '--show', 'gradient', '--scale', '2']),
    (cli.info_main, [{str(path)!r}]),
    (cli.encode_main, ['--help']),
    (cli.encode_main, ['missing.png', 'a.siren']),
):
    sys.argv = ['x', *argv]
    try:
        main()
    except SystemExit:
        pass
print({{'torch', 'numba'}} & set(sys.modules))
"""
    assert _run(code).splitlines()[-1] == "set()"
