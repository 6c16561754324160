"""A picture, a codec and its settings -> a row and a kept file.

Every figure is of a real file: its length, and the integer pixels that come out of it. Our own
files are made and decoded by fresh processes of siren-encode and siren-decode, from start to end;
those of libraries within this process, which flatters them by the start of an interpreter.
"""

import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from siren_codec import __version__, metrics, output, summary
from siren_codec.bench import commands
from siren_codec.bench.environment import code_key
from siren_codec.bench.peers import Peer
from siren_codec.bench.pictures import Original, Pixels
from siren_codec.errors import SirenError

__all__ = ["MOST_PSNR", "Job", "OurJob", "PeerJob", "fidelity", "our_version"]

MOST_PSNR = 99.0
"""dB that a lossless picture counts for: a mean needs a number, and JSON has no infinity."""

COORDINATE_LAYERS = 10
"""Of the coordinate model's networks, whose rate is set by their width instead of a quality."""

_SSIM_SIDE = 11

T = TypeVar("T")


def fidelity(reference: Pixels, decoded: Pixels) -> dict[str, Any]:
    """Return PSNR, SSIM and MS-SSIM of integer pixels; None for what a picture is too small for."""
    psnr = min(metrics.psnr(reference=reference, decoded=decoded), MOST_PSNR)
    side = min(reference.shape[:2])
    found: dict[str, Any] = {"psnr": round(psnr, 4), "ssim": None, "ms_ssim": None}
    if side >= _SSIM_SIDE:
        found["ssim"] = round(metrics.ssim(reference=reference, decoded=decoded), 5)
    if side >= metrics.MS_SSIM_SIDE:
        found["ms_ssim"] = round(metrics.ms_ssim(reference=reference, decoded=decoded), 5)
    return found


def our_version() -> str:
    """Return the package's version, and a digest of its code."""
    return f"{__version__}+{code_key()}"


@dataclass(frozen=True)
class _Coded:
    """What came of a picture."""

    data: bytes
    decoded: Pixels
    encode_s: float
    decode_s: float
    timing: str
    peak_mib: float | None = None
    decode_peak_mib: float | None = None
    sections: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """One measurement that is to be made."""

    original: Original
    codec: str
    version: str
    settings: dict[str, Any]
    device: str
    """The machine's name, as the row has it."""
    extension: str

    @property
    def key(self) -> dict[str, Any]:
        """What a row must have to be this measurement's."""
        return {
            "image": self.original.name,
            "sha256": self.original.sha256,
            "codec": self.codec,
            "version": self.version,
            "settings": self.settings,
            "device": self.device,
        }

    @property
    def file(self) -> str:
        """Where its file is kept, relative to OUT."""
        parts = {"effort": "e", "quality": "q", "steps": "s"}
        text = "".join(
            f"-{letter}{self.settings[name]:g}"
            for name, letter in parts.items()
            if name in self.settings
        )
        return f"files/{self.original.name}/{self.codec}{text}.{self.extension}"

    @abstractmethod
    def coded(self) -> _Coded:
        """Encode and decode the picture. Raises SirenError."""

    def run(self, out: Path) -> dict[str, Any]:
        """Measure, keep the file below `out`, and return the row. Raises SirenError."""
        coded = self.coded()
        pixels = self.original.pixels
        if coded.decoded.shape != pixels.shape:
            raise SirenError(f"expected pixels {pixels.shape}, found {coded.decoded.shape}")
        height, width = pixels.shape[:2]
        kept = out / self.file
        kept.parent.mkdir(parents=True, exist_ok=True)
        output.write(kept, coded.data, force=True)
        length = kept.stat().st_size
        return {
            **self.key,
            "width": width,
            "height": height,
            "bytes": length,
            "bpp": round(metrics.bpp(file_bytes=length, width=width, height=height), 5),
            **fidelity(pixels, coded.decoded),
            "encode_s": round(coded.encode_s, 4),
            "decode_s": round(coded.decode_s, 4),
            "timing": coded.timing,
            "peak_mib": _rounded(coded.peak_mib),
            "decode_peak_mib": _rounded(coded.decode_peak_mib),
            "sections": coded.sections,
            "file": self.file,
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


@dataclass(frozen=True, kw_only=True)
class PeerJob(Job):
    """A library's, in this process."""

    peer: Peer

    def coded(self) -> _Coded:
        """Encode and decode the picture; whatever the library raises is a SirenError."""
        try:
            data, encode_s = _timed(
                lambda: self.peer.encode(self.original.pixels, self.settings["quality"])
            )
            decoded, decode_s = _timed(lambda: self.peer.decode(data))
        except Exception as error:
            raise SirenError(f"{type(error).__name__}: {error}") from error
        return _Coded(data, decoded, encode_s, decode_s, "in process")


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began


@dataclass(frozen=True, kw_only=True)
class OurJob(Job):
    """Ours: whole fresh processes of the commands, which read and write real files."""

    fit_on: str
    """cpu or cuda."""

    @property
    def options(self) -> list[str]:
        """What siren-encode is called with."""
        settings = self.settings
        options = ["--model", self.codec, "-e", str(settings["effort"]), "--device", self.fit_on]
        if self.codec == "coordinate":
            options += ["--hidden-layers", str(COORDINATE_LAYERS)]
            options += ["--hidden-features", str(settings["quality"])]
        else:
            options += ["-q", str(settings["quality"])]
        return options + (["--steps", str(settings["steps"])] if "steps" in settings else [])

    def coded(self) -> _Coded:
        """Encode and decode the picture. Raises SirenError."""
        if self.version != our_version():
            raise SirenError("siren_codec changed under the run")
        # What a process that outlives this one writes is not in OUT.
        with tempfile.TemporaryDirectory() as folder:
            source, target, back = (Path(folder) / name for name in ("a.png", "a.siren", "b.png"))
            Image.fromarray(self.original.pixels).save(source)
            _, encoded = commands.encode(source, target, self.options)
            decoded, decoding = commands.decode(target, back)
            data = target.read_bytes()
        found = summary.info(data)
        grids = [{"level": grid["level"], "bytes": grid["bytes"]} for grid in found["latents"]]
        return _Coded(
            data,
            decoded,
            encoded.seconds,
            decoding.seconds,
            "fresh process",
            encoded.peak_mib,
            decoding.peak_mib,
            {**found["sections"], "grids": grids},
        )
