"""What several test modules need: random Fields, PNGs made right again, commands run in-process."""

import importlib.util
import json
import math
import pickle
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
import pytest

from siren_codec import cli, effort
from siren_codec.cli import console
from siren_codec.field import Architecture, Field, Layer, QuantisedTensor
from siren_codec.field.spline import level_shape

if TYPE_CHECKING:
    from siren_codec.fit import Control, Fit

__all__ = ["Command", "Ran", "make_field", "quantise", "script", "with_checksums"]


def quantise(real: npt.NDArray[np.float64], exponent: int) -> QuantisedTensor:
    """Return the tensor nearest to `real` at the step 2**exponent."""
    return QuantisedTensor(np.rint(np.ldexp(real, -exponent)).astype(np.int32), exponent)


def make_field(
    seed: int = 0,
    *,
    width: int = 16,
    height: int = 12,
    depth: int = 8,
    channels: int = 3,
    hidden_layers: int = 3,
    hidden_features: int = 8,
    first_omega_0: float = 30.0,
    omega_0: float = 30.0,
    exponent: int = -12,
    features: tuple[int, ...] = (),
    metadata: Mapping[str, bytes] | None = None,
) -> Field:
    """Return a random Field with weights as Sitzmann et al. (2020) draw them, then quantised.

    The last layer is drawn wider, so that the picture uses its whole range and clips a little.
    With `features` it has latent grids of small integers, and no context network.
    """
    rng = np.random.default_rng(seed)
    architecture = Architecture(
        channels, hidden_layers, hidden_features, first_omega_0, omega_0, features
    )
    layers = []
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        if index == 0:
            bound = 1 / n_in
        elif index < hidden_layers:
            bound = np.sqrt(6 / n_in) / omega_0
        else:
            bound = 0.7 * np.sqrt(6 / n_in)
        weight = rng.uniform(-bound, bound, (n_out, n_in))
        bias = rng.uniform(-0.1, 0.1, n_out)
        layers.append(Layer(quantise(weight, exponent), quantise(bias, exponent)))
    latents = tuple(
        rng.integers(-3, 4, (count, *level_shape(width, height, level)), np.int32)
        for level, count in enumerate(features)
    )
    return Field(width, height, depth, architecture, tuple(layers), dict(metadata or {}), latents)


def with_checksums(data: bytes) -> bytes:
    """Return a PNG with its checksums made right again; others as they are."""
    if not data.startswith(b"\x89PNG"):
        return data
    out, at = data[:8], 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        out += data[at:end] + struct.pack(">I", zlib.crc32(data[at + 4 : end]))
        at = end + 4
    return out


def script(path: str) -> ModuleType:
    """Import a program of the repository that is in no package."""
    found = Path(__file__).parent.parent / path
    spec = importlib.util.spec_from_file_location(found.stem, found)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_FITS: dict[bytes, "Fit"] = {}


@pytest.fixture
def fits_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fit a picture with the same options once in all tests, where they are about other things."""
    from siren_codec import fit as fitting  # Not for every test: it imports torch.

    real = fitting.fit

    def fit(pixels: Any, *, control: "Control", **arguments: Any) -> "Fit":
        key = pickle.dumps((pixels, sorted(arguments.items())))
        if key in _FITS:
            return _FITS[key]
        found = real(pixels, control=control, **arguments)
        if control.target is None and not found.interrupted:
            _FITS[key] = found
        return found

    monkeypatch.setattr(fitting, "fit", fit)


@pytest.fixture
def few_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no fit of this process go over its picture more than 30 times, whatever its effort."""
    visits = effort.grid_visits
    monkeypatch.setattr(effort, "grid_visits", lambda *asked: min(visits(*asked), 30))


class Ran(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def tried(self) -> list[dict[str, Any]]:
        """The lines of what was made, or failed."""
        return [line for line in self.lines if not {"skipped", "kept"} & set(line)]


Command = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command, `encode`, `decode` and so on, here; how long it takes is not said."""
    monkeypatch.setattr(console, "SECONDS_BETWEEN_LINES", math.inf)

    def call(name: str, *arguments: object) -> Ran:
        mains: dict[str, Callable[[], NoReturn]] = {
            "encode": cli.encode_main,
            "decode": cli.decode_main,
            "info": cli.info_main,
            "view": cli.view_main,
            "bench": cli.bench_main,
        }
        monkeypatch.setattr(sys, "argv", [f"siren-{name}", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as stop:
            mains[name]()
        code = stop.value.code
        return Ran(code if isinstance(code, int) else 0, *capfd.readouterr())

    return call


_GOLDEN = Path(__file__).parent / "golden" / "rgb_8_prior_1.siren"
_STUB = """
import json, shutil, sys
what, golden, source, target, *options = sys.argv[1:]
if what == "encode":
    if options[options.index("-q") + 1] == "13":
        sys.exit("siren-encode: bad luck")
    shutil.copy(golden, target)
    print("something else")
    print(json.dumps({"bytes": 1}))
else:
    from PIL import Image
    scale = int(options[options.index("--scale") + 1]) if "--scale" in options else 1
    Image.new("RGB", (19 * scale, 14 * scale), (90, 90, 90)).save(target, "PNG")
"""


@pytest.fixture
def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for siren-bench, whose commands make a golden file of any picture, and grey of it.

    The file is of 19 x 14 pixels; quality 13 fails.
    """
    from siren_codec.bench import commands

    script = tmp_path / "stub.py"
    script.write_text(_STUB, encoding="utf-8")
    for name in ("ENCODE", "DECODE"):
        command = (sys.executable, str(script), name.lower(), str(_GOLDEN.resolve()))
        monkeypatch.setattr(commands, name, command)
    return tmp_path / "out"
