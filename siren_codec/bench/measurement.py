"""A picture, a codec and its settings -> a row and a kept file.

Every figure is of a real file: its length, and the integer pixels that come out of it. With a
setting `zoom` of 2 or 4 it is the picture at a half or a quarter of its size that is encoded;
`enlarged` then says how near to the picture itself the file comes that is decoded so many times
larger, and how near Pillow's enlargements of what it decodes to at its own size.
"""

import io
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from siren_codec import metrics, output
from siren_codec.bench import environment
from siren_codec.bench.codecs import Codec, Coded
from siren_codec.bench.pictures import Original, Pixels, shrunk, whole
from siren_codec.errors import SirenError

__all__ = ["FILTERS", "MOST_PSNR", "Measurement", "fidelity", "measured"]

MOST_PSNR = 99.0
"""dB that a lossless picture counts for: a mean needs a number, and JSON has no infinity."""

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
"""Pillow's, that decoding larger is compared with."""

_SSIM_SIDE = 11


def fidelity(*, reference: Pixels, decoded: Pixels) -> dict[str, Any]:
    """Return PSNR, SSIM and MS-SSIM of integer pixels; None for what a picture is too small for.

    SSIMULACRA2 is there too if the package `ssimulacra2` is.
    """
    if decoded.shape != reference.shape:
        raise SirenError(f"expected pixels {reference.shape}, found {decoded.shape}")
    psnr = min(metrics.psnr(reference=reference, decoded=decoded), MOST_PSNR)
    side = min(reference.shape[:2])
    found: dict[str, Any] = {"psnr": round(psnr, 4), "ssim": None, "ms_ssim": None}
    if side >= _SSIM_SIDE:
        found["ssim"] = round(metrics.ssim(reference=reference, decoded=decoded), 5)
    if side >= metrics.MS_SSIM_SIDE:
        found["ms_ssim"] = round(metrics.ms_ssim(reference=reference, decoded=decoded), 5)
    if side >= _SSIM_SIDE and find_spec("ssimulacra2"):
        found["ssimulacra2"] = round(_ssimulacra2(reference=reference, decoded=decoded), 3)
    return found


def _ssimulacra2(*, reference: Pixels, decoded: Pixels) -> float:
    """Return the measure, of at most 100, by a package that reads picture files."""
    from ssimulacra2 import compute_ssimulacra2

    files = (io.BytesIO(), io.BytesIO())
    for pixels, file in zip((reference, decoded), files, strict=True):
        Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return float(compute_ssimulacra2(*files))


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One measurement that is to be made."""

    original: Original
    codec: Codec
    version: str
    """The codec's, when the run began."""
    settings: dict[str, Any]
    device: str = "cpu"
    """cpu or cuda."""
    device_name: str
    """What the row says of it."""

    @property
    def key(self) -> dict[str, Any]:
        """What a row must have to be this measurement's."""
        return {
            "image": self.original.name,
            "sha256": self.original.sha256,
            "codec": self.codec.name,
            "version": self.version,
            "settings": self.settings,
            "device": self.device_name,
        }

    @property
    def file(self) -> str:
        """Where its file is kept, relative to OUT."""
        parts = {"effort": "e", "quality": "q", "steps": "s", "zoom": "x"}
        text = "".join(
            f"-{letter}{self.settings[name]:g}"
            for name, letter in parts.items()
            if name in self.settings
        )
        return f"files/{self.original.name}/{self.codec.name}{text}.{self.codec.extension}"

    def make(self, out: Path) -> dict[str, Any]:
        """Measure, keep the file below `out`, and return the row. Raises SirenError."""
        if self.codec.is_ours and self.version != self.codec.version:
            raise SirenError("siren_codec changed under the run")
        scale = self.settings.get("zoom", 1)
        original = whole(self.original.pixels, scale)
        pixels = shrunk(original, scale)
        coded = self.codec.code(pixels, self.settings, device=self.device, scale=scale)
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
            **fidelity(reference=pixels, decoded=coded.decoded),
            **_enlarged(original, coded),
            "encode_s": round(coded.encode_s, 4),
            "decode_s": round(coded.decode_s, 4),
            "timing": coded.timing,
            "encode_in_process_s": _rounded(coded.encode_in_process_s, 4),
            "decode_in_process_s": _rounded(coded.decode_in_process_s, 4),
            "peak_mib": _rounded(coded.peak_mib, 1),
            "decode_peak_mib": _rounded(coded.decode_peak_mib, 1),
            "sections": coded.sections,
            "file": self.file,
        }


def measured(
    original: Original,
    codec: Codec,
    settings: dict[str, Any],
    out: Path,
    *,
    device: str = "cpu",
) -> dict[str, Any]:
    """Make one measurement now, on `cpu` or `cuda`; return its row. Raises SirenError.

    The row does not say where it comes from (`environment.origin`); its file is kept below `out`.
    """
    return Measurement(
        original=original,
        codec=codec,
        version=codec.version,
        settings=settings,
        device=device,
        device_name=environment.device_name(device),
    ).make(out)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _enlarged(original: Pixels, coded: Coded) -> dict[str, Any]:
    """Return what a row says of a zoom; nothing where there was none."""
    if coded.enlarged is None:
        return {}
    height, width = original.shape[:2]
    small = Image.fromarray(coded.decoded)
    found = {name: np.asarray(small.resize((width, height), way)) for name, way in FILTERS.items()}
    by_name = {"decoded": coded.enlarged, **found}
    return {
        "enlarged": {
            name: fidelity(reference=original, decoded=pixels) for name, pixels in by_name.items()
        }
    }
