"""The codecs of others: one small adapter each, all in this process.

Each is set up as its users would for small files: JPEG optimised and progressive, WebP with method
6, AVIF in 4:4:4 at speed 4, JPEG 2000 irreversible and with its colour transform (which saves 38 to
49% of the bits on BUNDLED), JPEG XL at effort 7. They use as many threads as they choose to.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
import PIL
from PIL import Image, features

from siren_codec.bench.pictures import Pixels

__all__ = ["PEERS", "JpegXl", "Peer", "PillowPeer"]


class Peer(Protocol):
    """What every adapter offers."""

    @property
    def name(self) -> str:
        """What rows call it."""

    @property
    def extension(self) -> str:
        """Of its files."""

    @property
    def qualities(self) -> tuple[float, ...]:
        """Those that make its curve, by rising rate."""

    @property
    def version(self) -> str:
        """Of the libraries, and the settings."""

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""

    def decode(self, data: bytes) -> Pixels:
        """Return the (height, width, 3) pixels of a file."""


@dataclass(frozen=True)
class PillowPeer:
    """A format that Pillow writes."""

    name: str
    extension: str
    format: str
    """Pillow's name for it."""
    library: str
    """Pillow's name for what does the work."""
    qualities: tuple[float, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of Pillow's `save`, the same at all qualities."""

    @property
    def version(self) -> str:
        """Of Pillow and of the library, and the settings."""
        settings = "".join(f", {name} {value}" for name, value in self.options.items())
        library = f"{self.library} {features.version(self.library)}"
        return f"Pillow {PIL.__version__}, {library}{settings}"

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""
        return None if features.check(self.library) else f"this Pillow has no {self.format}"

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return a file of (height, width, 3) or (height, width) pixels."""
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.format, **self._quality(quality), **self.options)
        return file.getvalue()

    def decode(self, data: bytes, mode: str = "RGB") -> Pixels:
        """Return the pixels of a file, in one of Pillow's modes."""
        with Image.open(io.BytesIO(data), formats=[self.format]) as image:
            return np.asarray(image.convert(mode))

    def _quality(self, quality: float) -> dict[str, Any]:
        return {"quality": round(quality)}


class Jpeg2000(PillowPeer):
    """JPEG 2000, whose quality is the PSNR in dB that its encoder aims at."""

    def _quality(self, quality: float) -> dict[str, Any]:
        return {"quality_layers": [quality]}


@dataclass(frozen=True)
class JpegXl:
    """JPEG XL by imagecodecs; quality is libjxl's, of which 90 is a distance of 1."""

    name: str = "jxl"
    extension: str = "jxl"
    qualities: tuple[float, ...] = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95)
    effort: int = 7
    """That of libjxl's own command."""

    @property
    def version(self) -> str:
        """Of imagecodecs and of libjxl, and the effort."""
        import imagecodecs

        library = imagecodecs.jpegxl_version()
        return f"imagecodecs {imagecodecs.__version__}, {library}, effort {self.effort}"

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""
        if find_spec("imagecodecs") is None:
            return "imagecodecs is not installed"
        import imagecodecs

        return None if imagecodecs.JPEGXL.available else "this imagecodecs has no JPEG XL"

    def encode(self, pixels: Pixels, quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(pixels, level=round(quality), effort=self.effort))

    def decode(self, data: bytes) -> Pixels:
        """Return the (height, width, 3) pixels of a file."""
        import imagecodecs

        return np.asarray(imagecodecs.jpegxl_decode(data), np.uint8)


_TENS = tuple(range(10, 91, 10))

PEERS: tuple[Peer, ...] = (
    PillowPeer(
        "jpeg", "jpg", "JPEG", "jpg", (5, *_TENS, 95), {"optimize": True, "progressive": True}
    ),
    PillowPeer("webp", "webp", "WEBP", "webp", (1, 5, *_TENS, 95), {"method": 6}),
    PillowPeer("avif", "avif", "AVIF", "avif", _TENS, {"subsampling": "4:4:4", "speed": 4}),
    Jpeg2000(
        "jpeg2000",
        "jp2",
        "JPEG2000",
        "jpg_2000",
        tuple(range(22, 45, 2)),
        {"irreversible": True, "mct": 1, "quality_mode": "dB"},
    ),
    JpegXl(),
)
"""By name; JPEG, which the others are held against, is the first."""
