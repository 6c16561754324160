"""The Python API, and what importing it costs."""

import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

import siren_codec
from siren_codec.codec import architecture_for
from siren_codec.errors import LimitError, UsageError
from siren_codec.image import Picture
from siren_codec.options import Options

GRID: dict[str, Any] = {"hidden_layers": 2, "hidden_features": 8, "steps": 10, "device": "cpu"}
COORDINATE = {**GRID, "model": "coordinate"}
"""Much the quicker one: for what has nothing to do with the model."""


@pytest.fixture(scope="module")
def pixels() -> npt.NDArray[np.uint8]:
    y, x = np.mgrid[:12, :20]
    return np.stack([x * 12, y * 20, x + y], axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def files(pixels: npt.NDArray[np.uint8]) -> dict[str, bytes]:
    return {
        "grid": siren_codec.encode(pixels, **GRID),
        "coordinate": siren_codec.encode(pixels, **COORDINATE),
    }


@pytest.fixture(params=["grid", "coordinate"])
def data(request: pytest.FixtureRequest, files: dict[str, bytes]) -> bytes:
    """A file of either model."""
    return files[request.param]


def test_the_default_is_the_grid_model(files: dict[str, bytes]) -> None:
    for name, file in files.items():
        assert siren_codec.open(file).model == siren_codec.info(file)["model"] == name


def test_encode_decode(data: bytes) -> None:
    decoded = siren_codec.decode(data)
    assert decoded.shape == (12, 20, 3)
    assert decoded.dtype == np.uint8
    assert siren_codec.decode(data, scale=2.5).shape == (30, 50, 3)
    assert siren_codec.decode(data, size=(7, 5)).shape == (5, 7, 3)
    assert np.array_equal(siren_codec.decode(data, crop=(3, 2, 5, 4)), decoded[2:6, 3:8])


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("L", (12, 20)), ("LA", (12, 20, 2)), ("RGB", (12, 20, 3)), ("RGBA", (12, 20, 4))],
)
def test_pillow_images(mode: str, shape: tuple[int, ...]) -> None:
    decoded = siren_codec.decode(siren_codec.encode(Image.new(mode, (20, 12)), **COORDINATE))
    assert decoded.shape == shape


@pytest.mark.parametrize(
    ("options", "channels"), [*((COORDINATE, channels) for channels in (1, 2, 3, 4)), (GRID, 4)]
)
def test_sixteen_bits(
    pixels: npt.NDArray[np.uint8], options: dict[str, Any], channels: int
) -> None:
    deep = np.dstack([pixels, pixels[:, :, :1]])[:, :, :channels].astype(np.uint16) * 257
    decoded = siren_codec.decode(siren_codec.encode(deep, **options))
    assert decoded.dtype == np.uint16
    assert np.atleast_3d(decoded).shape == deep.shape


@pytest.mark.parametrize("options", [{"steps": 3, "device": "cpu"}, COORDINATE])
@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (13, 9, 3), (3, 2, 4)])
def test_the_smallest_and_the_oddest_pictures(
    options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    picture = (37 * np.arange(np.prod(shape)) % 256).astype(np.uint8).reshape(shape)
    data = siren_codec.encode(picture, **options)
    assert siren_codec.decode(data).shape == shape
    assert siren_codec.decode(data, scale=3).size == 9 * picture.size


def test_what_is_converted_is_said() -> None:
    with pytest.warns(UserWarning, match="converted CMYK to RGB"):
        siren_codec.encode(Image.new("CMYK", (5, 4)), **COORDINATE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        siren_codec.encode(Image.new("RGB", (5, 4)), **COORDINATE)


@pytest.mark.parametrize("options", [GRID, COORDINATE])
def test_progress_and_seed(pixels: npt.NDArray[np.uint8], options: dict[str, Any]) -> None:
    steps: list[int] = []
    first = siren_codec.encode(pixels, progress=lambda p: steps.append(p.step), seed=1, **options)
    assert steps == list(range(1, 11))
    assert first == siren_codec.encode(pixels, seed=1, **options)
    assert first != siren_codec.encode(pixels, seed=2, **options)


def test_open_takes_a_path_or_bytes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.siren"
    path.write_bytes(data)
    for source in (data, path, str(path)):
        field = siren_codec.open(source)
        assert isinstance(field, siren_codec.Field)
        assert field.at(1.2, 10.5).shape == (3,)
    with pytest.raises(siren_codec.SirenError, match="No such file"):
        siren_codec.open(tmp_path / "missing.siren")


def test_info_accounts_for_every_byte(files: dict[str, bytes]) -> None:
    data = files["coordinate"]
    found = siren_codec.info(data)
    assert sum(found["sections"].values()) == found["bytes"] == len(data)
    assert (found["width"], found["height"], found["channels"], found["depth"]) == (
        20,
        12,
        "RGB",
        8,
    )
    assert found["model"] == "coordinate"
    assert found["weights"] == 2 * 8 + 8 + 8 * 8 + 8 + 8 * 3 + 3
    assert found["bits_per_weight"] == 8 * found["sections"]["weights"] / found["weights"]
    assert found["weight_coder"] in ("zstd", "range")
    assert len(found["tensors"]) == 6
    assert found["levels"] == found["latents"] == []


def test_info_of_a_grid_file(pixels: npt.NDArray[np.uint8]) -> None:
    """Each byte, each grid, each tensor, those of the context network by their names."""
    picture = np.kron(pixels, np.ones((2, 2, 1), np.uint8))
    data = siren_codec.encode(picture, **GRID)
    field, found = siren_codec.open(data), siren_codec.info(data)
    assert sum(found["sections"].values()) == found["bytes"] == len(data)
    assert found["bpp"] == 8 * len(data) / (40 * 24)
    assert found["model"] == "grid"
    assert found["levels"] == list(field.architecture.features)
    assert found["neighbours"] == field.architecture.neighbours
    assert found["context_features"] == field.architecture.context_features
    grids = [(level, grid) for level, grids in enumerate(field.latents) for grid in grids]
    assert len(found["latents"]) == field.architecture.grids == len(grids)
    for said, (level, grid) in zip(found["latents"], grids, strict=True):
        assert said["level"] == level
        assert said["shape"] == list(grid.shape)
        assert said["nonzero"] == np.mean(grid != 0)
        assert said["largest"] == np.abs(grid).max()
    spent = sum(said["bytes"] for said in found["latents"])
    assert spent == pytest.approx(found["sections"]["latents"], abs=4 + len(grids))
    assert found["weights"] == sum(tensor.values.size for tensor in field.tensors())
    names = [f"{tensor['layer']} {tensor['kind']}" for tensor in found["tensors"]]
    assert names[-6:] == [
        f"context {layer} {kind}" for layer in range(3) for kind in ("weight", "bias")
    ]
    assert found["tensors"][-5]["shape"] == [len(grids), field.architecture.context_features]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "jpeg"}, "model: expected grid or coordinate"),
        ({"quality": 101}, "quality: expected 1 to 100"),
        ({"effort": 0}, "effort: expected 1 to 9"),
        ({"steps": 0}, "steps: expected at least 1"),
        ({"hidden_layers": 17}, "hidden layers: expected 1 to 16"),
        ({"hidden_features": 513}, "hidden features: expected 1 to 512"),
        ({"device": "tpu"}, "device: expected auto, cpu or cuda"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        siren_codec.encode(np.zeros((4, 4), np.uint8), **options)


def test_bad_pictures() -> None:
    with pytest.raises(UsageError, match="expected uint8 or uint16, found float64"):
        siren_codec.encode(np.zeros((4, 4)))
    with pytest.raises(LimitError, match="expected at most 15 pixels"):
        siren_codec.encode(np.zeros((4, 4), np.uint8), max_pixels=15)


def test_what_cannot_be_written_is_refused_before_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siren_codec.fit.fit", lambda *_, **__: pytest.fail("the fit began"))
    with pytest.raises(LimitError, match="width: expected 1 to 65535, found 65536"):
        siren_codec.encode(np.zeros((1, 65536), np.uint8))
    picture = Image.new("L", (4, 4))
    picture.info["icc_profile"] = bytes((16 << 20) + 1)
    with pytest.raises(LimitError, match="icc: expected at most 16777216 bytes"):
        siren_codec.encode(picture)


def test_decoding_has_a_limit_of_its_own(data: bytes) -> None:
    with pytest.raises(LimitError, match="expected at most 300 pixels"):
        siren_codec.decode(data, scale=2, limits=siren_codec.Limits(pixels=300))
    with pytest.raises(LimitError, match="expected at most 200 pixels"):
        siren_codec.decode(data, limits=siren_codec.Limits(pixels=200))


@pytest.mark.parametrize(
    ("width", "height", "network"),
    [(768, 512, (10, 28)), (64, 64, (5, 12)), (512, 512, (10, 25)), (9000, 9000, (10, 64))],
)
def test_the_default_network_follows_the_picture(
    width: int, height: int, network: tuple[int, int]
) -> None:
    picture = Picture(np.broadcast_to(np.uint8(0), (height, width, 3)))
    architecture = architecture_for(picture, Options(model="coordinate"))
    assert (architecture.hidden_layers, architecture.hidden_features) == network
    assert architecture.features == ()


def test_the_grid_model_takes_any_network_asked_for() -> None:
    picture = Picture(np.zeros((5, 6, 3), np.uint8))
    default = architecture_for(picture, Options())
    assert default.grids > 0
    asked = architecture_for(picture, Options(hidden_layers=3, hidden_features=9))
    assert asked == replace(default, hidden_layers=3, hidden_features=9)


def _run(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout


def test_import_is_lazy() -> None:
    heavy = "{'torch', 'numpy', 'PIL', 'click', 'constriction', 'zstandard', 'skimage'}"
    assert _run(f"import sys, siren_codec; print({heavy} & set(sys.modules))") == "set()\n"


def test_reading_runs_no_code_opens_no_other_file_and_reaches_no_network(tmp_path: Path) -> None:
    golden = Path(__file__).parent / "golden"
    script = f"""
import sys
from pathlib import Path
import siren_codec
files = [path.read_bytes() for path in sorted(Path({str(golden)!r}).glob("*.siren"))]
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


def test_decoding_never_imports_torch(data: bytes, tmp_path: Path) -> None:
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
print('torch' in sys.modules)
"""
    assert _run(code).splitlines()[-1] == "False"
