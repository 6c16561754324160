"""What --version says."""

import platform
import subprocess
import sys
from importlib import metadata
from importlib.util import find_spec

import pytest

from siren_codec import __version__
from siren_codec.cli import versions
from siren_codec.stream import by_c


@pytest.mark.parametrize("name", ["siren-encode", "siren-decode", "siren-info", "siren-bench"])
def test_the_versions_that_matter(name: str) -> None:
    lines = list(versions.of_command(name))
    assert lines[:2] == [f"{name} {__version__}", f"Python {platform.python_version()}"]
    for package in ("numpy", "pillow", "constriction"):
        assert f"{package} {metadata.version(package)}" in lines
    if name == "siren-bench":
        for package in ("imagecodecs", "pyjpegli", "ssimulacra2"):
            if find_spec(package):
                assert f"{package} {metadata.version(package)}" in lines
    assert len(lines) == len(set(lines))
    fits = name in ("siren-encode", "siren-bench")
    assert (f"numba {metadata.version('numba')}" in lines) == fits


@pytest.mark.parametrize(
    ("built", "said"), [(True, "compiled (C)"), (False, "numpy (no C extension was built)")]
)
def test_what_decodes_the_grids(monkeypatch: pytest.MonkeyPatch, built: bool, said: str) -> None:
    monkeypatch.setattr(by_c, "available", lambda: built)
    assert versions.of_command("siren-info")[-1] == f"range decoder: {said}"


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(package: str) -> str:
        if package == "torch":
            raise metadata.PackageNotFoundError
        return real(package)

    monkeypatch.setattr(metadata, "version", version)
    assert not any("torch" in line for line in versions.of_command("siren-encode"))


def test_neither_torch_nor_numba_is_imported() -> None:
    code = """
import sys
from siren_codec.cli import encode_main
sys.argv = ["siren-encode", "--version"]
try:
    encode_main()
except SystemExit:
    assert not {"torch", "numba", "imagecodecs", "PIL"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("siren-encode ")
