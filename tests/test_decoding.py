"""Decoding: at any size, from any source, within limits, and what it imports and opens."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import siren_codec
from siren_codec.errors import LimitError

GOLDEN = Path(__file__).parent / "golden"


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
