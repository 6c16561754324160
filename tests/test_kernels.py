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
from siren_codec.fit.kernels import compiler, elementary, native, store

Floats = npt.NDArray[np.float32]


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


# Where machine code is kept

CODE = "symbol", b"\x00machine\ncode\xff"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where kernels are kept in a test."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "siren_codec"


def test_code_is_kept(folder: Path) -> None:
    assert store.read("adam") is None
    store.write("adam", CODE)
    assert store.read("adam") == CODE
    assert store.read("soften") is None
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda _: b"",
        lambda data: data + b"more",
    ],
)
def test_a_broken_file_is_none(folder: Path, harm: Callable[[bytes], bytes]) -> None:
    store.write("adam", CODE)
    (file,) = folder.iterdir()
    file.write_bytes(harm(file.read_bytes()))
    assert store.read("adam") is None
    store.write("adam", CODE)
    assert store.read("adam") == CODE


def test_a_folder_that_cannot_be_made_is_no_error(folder: Path) -> None:
    folder.parent.write_text("a file in its place", encoding="ascii")
    store.write("adam", CODE)
    assert store.read("adam") is None
    with store.one_process():
        pass


def test_a_full_disk_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    store.write("adam", CODE)
    assert store.read("adam") is None
    assert list(folder.iterdir()) == []


def test_code_of_other_sources_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("adam", CODE)
    monkeypatch.setattr(store, "_sources", lambda: b"another release")
    assert store.read("adam") is None
    store.write("adam", CODE)
    assert store.read("adam") == CODE
    assert len(list(folder.iterdir())) == 1


def test_where_the_package_cannot_be_written_code_is_the_user_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    monkeypatch.setattr(sys, "platform", "linux")
    package, user = store.folders()
    assert package.parent == Path(store.__file__).parent
    assert user == tmp_path / "user" / "siren_codec"
    (tmp_path / "package").write_text("a file in its place", encoding="ascii")
    monkeypatch.setattr(store, "folders", lambda: [tmp_path / "package", user])
    store.write("adam", CODE)
    assert store.read("adam") == CODE
    assert len(list(user.iterdir())) == 1


# Compiled and called


@pytest.fixture(scope="module")
def add_patch() -> native.Kernel:
    """The smallest kernel, compiled here."""
    return native.Library({"add_patch": compiler.compiled("add_patch")})["add_patch"]


def test_a_kernel_is_compiled_and_called(add_patch: native.Kernel) -> None:
    out, patch = np.zeros(12, np.float32), np.arange(1, 7, dtype=np.float32)
    # Two rows of two into a grid of four columns; then one of two.
    add_patch(out, patch, np.array([[1, 4, 2, 2, 0], [8, 4, 1, 2, 4]]))
    expected = [[0, 1, 2, 0], [0, 3, 4, 0], [5, 6, 0, 0]]
    np.testing.assert_array_equal(out.reshape(3, 4), expected)


@pytest.mark.parametrize(
    ("index", "wrong"),
    [
        (0, np.zeros(12)),
        (0, np.zeros((3, 4), np.float32)),
        (1, np.zeros(12, np.float32)[::2]),
        (2, np.zeros((2, 5), np.int32)),
    ],
)
def test_a_kernel_takes_no_other_arrays(add_patch: native.Kernel, index: int, wrong: Any) -> None:
    """C would read them as if they were what it expects."""
    arguments = [np.zeros(12, np.float32), np.zeros(6, np.float32), np.zeros((0, 5), np.int64)]
    add_patch(*arguments)
    arguments[index] = wrong
    with pytest.raises(TypeError, match="expected a"):
        add_patch(*arguments)


def test_another_way_of_passing_arguments_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "width", lambda _: 7)
    with pytest.raises(RuntimeError, match="expected 7 arguments"):
        compiler.compiled("add_patch")


# Whether there are any


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The messages about the kernels, which are looked for anew."""
    monkeypatch.setattr(kernels, "_found", None)
    return []


def test_a_compilation_is_said_in_one_line_and_done_once(
    messages: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    assert len(kernels._stored()) == 0
    monkeypatch.setattr(native, "SIGNATURES", {"add_patch": native.SIGNATURES["add_patch"]})
    assert kernels.load(messages.append)
    assert kernels.load(messages.append)
    assert messages == ["compiling kernels for this machine, once: about 15 s"]
    assert len(kernels._stored()) == 1
    # From then on without numba.
    monkeypatch.setattr(kernels, "_found", None)
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, compiler.__name__)
    assert kernels.load(messages.append)
    assert len(messages) == 1
    assert [file.suffix for file in sorted(folder.iterdir())] == [".kernel", ".lock"]


@pytest.mark.parametrize("why", ["no numba", "switched off", "no compiler"])
def test_without_kernels_torch_fits_and_says_so_once(
    messages: list[str], monkeypatch: pytest.MonkeyPatch, folder: Path, why: str
) -> None:
    def broken(_: str) -> None:
        raise RuntimeError("LLVM ERROR: cannot select\nand so on")

    assert not folder.exists()
    if why == "no numba":
        monkeypatch.setitem(sys.modules, "numba", None)
        monkeypatch.delitem(sys.modules, compiler.__name__)
        monkeypatch.delattr(kernels, "compiler")
    elif why == "switched off":
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    else:
        monkeypatch.setattr(compiler, "compiled", broken)
    assert not kernels.load(messages.append)
    with engine("cpu") as computing:
        assert isinstance(computing, TorchEngine)
    pixels = np.full((3, 5, 3), 90, np.uint8)
    found = fit(
        pixels,
        architecture=Architecture(3, 1, 4),
        schedule=Schedule((Stage(0, 30),)),
    )
    assert found.field.render().shape == pixels.shape
    line = messages[-1]
    assert line.endswith("a fit takes several times as long")
    assert len(messages) == (1 if why == "switched off" else 2)
    assert {"no numba": "numba", "switched off": "NUMBA_DISABLE_JIT", "no compiler": "select"}[
        why
    ] in line


def test_notices_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    kernels.on_standard_error("a line")
    assert capsys.readouterr() == ("", "siren_codec: a line\n")


def test_a_cpu_gets_the_kernels() -> None:
    with engine("cpu") as computing:
        assert isinstance(computing, KernelEngine)
