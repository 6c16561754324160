"""The compiled kernels: elementary functions, how they are compiled and kept, and their absence."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import pytest

from siren_codec.field import Architecture
from siren_codec.fit import Schedule, Stage, fit, kernels
from siren_codec.fit.engine import engine
from siren_codec.fit.engine.by_kernels import KernelEngine
from siren_codec.fit.engine.by_torch import TorchEngine
from siren_codec.fit.kernels import compiler, elementary

Floats = npt.NDArray[np.float32]
SIGNATURE = "float32(float32)"


def _mapped(function: Callable[..., Any]) -> Callable[[Floats], Floats]:
    """Return a compiled function of arrays."""

    @numba.njit  # type: ignore[untyped-decorator]
    def mapped(values: Any) -> Any:
        out = np.empty_like(values)
        for i in range(len(values)):
            out[i] = function(values[i])
        return out

    return mapped  # type: ignore[no-any-return]


@numba.njit  # type: ignore[untyped-decorator]
def _sine(x: Any) -> Any:
    return elementary.sine_and_cosine(x)[0]


@numba.njit  # type: ignore[untyped-decorator]
def _cosine(x: Any) -> Any:
    return elementary.sine_and_cosine(x)[1]


@pytest.mark.parametrize("most", [4.0, 1000.0])
def test_sines_hold_for_arguments_in_the_hundreds(most: float) -> None:
    x = np.linspace(-most, most, 200_003).astype(np.float32)
    for ours, exact in ((_sine, np.sin), (_cosine, np.cos)):
        np.testing.assert_allclose(_mapped(ours)(x), exact(x.astype(np.float64)), atol=3e-7)


@pytest.mark.parametrize(
    ("ours", "exact", "values"),
    [
        (elementary.exp2, np.exp2, np.linspace(-126, 126, 100_001)),
        (elementary.log2, np.log2, np.logspace(-37, 38, 100_001)),
        (elementary.log2, np.log2, np.linspace(0.6, 1.6, 100_001)),
        (elementary.tanh, np.tanh, np.linspace(-30, 30, 100_001)),
    ],
)
def test_elementary_functions(ours: Any, exact: Any, values: npt.NDArray[np.float64]) -> None:
    x = values.astype(np.float32)
    np.testing.assert_allclose(_mapped(ours)(x), exact(x.astype(np.float64)), rtol=3e-7, atol=2e-7)


# The cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels are kept in a test."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "siren_codec"


def _compiled() -> Any:
    """Return a kernel, compiled or from the cache."""

    def tiny(x: Any) -> Any:
        return x + x

    found = numba.njit(tiny)
    found._cache = compiler._Cache("tiny")
    found.compile(SIGNATURE)
    assert found(np.float32(1.5)) == 3
    return found


def _is_hit(found: Any) -> bool:
    return bool(found.stats.cache_hits)


def test_a_kernel_is_compiled_once(folder: Path) -> None:
    assert not _is_hit(_compiled())
    assert len(list(folder.iterdir())) == 1
    assert _is_hit(_compiled())


def _cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _flipped(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _strange(_: bytes) -> bytes:
    return compiler._digest(b"no pickle") + b"no pickle"


@pytest.mark.parametrize("harm", [_cut, _flipped, _strange, lambda _: b""])
def test_a_broken_file_costs_a_compilation(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    _compiled()
    (file,) = folder.iterdir()
    file.write_bytes(harm(file.read_bytes()))
    assert not _is_hit(_compiled())
    assert _is_hit(_compiled())


def test_a_folder_that_cannot_be_made_costs_a_compilation(folder: Path) -> None:
    folder.parent.write_text("a file in its place", encoding="ascii")
    assert not _is_hit(_compiled())
    assert not _is_hit(_compiled())


def test_a_full_disk_costs_a_compilation(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert not _is_hit(_compiled())
    assert list(folder.iterdir()) == []


def test_other_sources_make_another_kernel(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _compiled()
    monkeypatch.setattr(compiler, "_sources", lambda: b"another release")
    assert not _is_hit(_compiled())
    assert _is_hit(_compiled())
    assert len(list(folder.iterdir())) == 1


def test_where_the_package_cannot_be_written_kernels_are_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(sys, "platform", "linux")
    package, user = compiler._folders()
    assert package.parent == Path(compiler.__file__).parent
    assert user == tmp_path / "user" / "siren_codec"
    (tmp_path / "package").write_text("a file in its place", encoding="ascii")
    monkeypatch.setattr(compiler, "_folders", lambda: [tmp_path / "package", user])
    assert not _is_hit(_compiled())
    assert len(list(user.iterdir())) == 1
    assert _is_hit(_compiled())


# Whether there are any


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is said of the kernels, which are looked for anew."""
    monkeypatch.setattr(kernels, "_found", None)
    return []


def test_a_compilation_is_said_in_one_line(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "cached", lambda: False)
    monkeypatch.setattr(compiler, "compile_all", lambda: None)
    assert kernels.load(said.append)
    assert kernels.load(said.append)
    assert said == ["compiling kernels for this machine, once: about 15 s"]


def test_kernels_that_are_there_are_not_worth_a_word(said: list[str]) -> None:
    compiler.compile_all()
    assert kernels.load(said.append)
    assert said == []


@pytest.mark.parametrize("why", ["no numba", "switched off", "no compiler"])
def test_without_kernels_torch_fits_and_says_so_once(
    said: list[str], monkeypatch: pytest.MonkeyPatch, why: str
) -> None:
    def broken() -> None:
        raise RuntimeError("LLVM ERROR: cannot select\nand so on")

    if why == "no numba":
        monkeypatch.setitem(sys.modules, "numba", None)
    elif why == "switched off":
        monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    else:
        monkeypatch.setattr(compiler, "compile_all", broken)
    assert not kernels.load(said.append)
    with engine("cpu") as computing:
        assert isinstance(computing, TorchEngine)
    pixels = np.full((3, 5, 3), 90, np.uint8)
    found = fit(
        pixels,
        architecture=Architecture(3, 1, 4),
        schedule=Schedule((Stage(0, 30),)),
    )
    assert found.field.render().shape == pixels.shape
    (line,) = said
    assert line.endswith("a fit takes several times as long")
    assert {"no numba": "numba", "switched off": "NUMBA_DISABLE_JIT", "no compiler": "select"}[
        why
    ] in line


def test_notices_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.on_standard_error("a line")
    assert capsys.readouterr() == ("", "siren_codec: a line\n")


def test_a_cpu_gets_the_kernels() -> None:
    with engine("cpu") as computing:
        assert isinstance(computing, KernelEngine)
