"""The codecs that are compared: each is an object that holds all the rest needs to know of it.

To add one, write its class or give one of these other settings, and put it into CODECS: the
command, its help, the report and `--version` take all they say of it from there. Libraries work
within this process; our own codec is run as a user runs it, by fresh processes of its commands.
Nothing heavy is imported before a codec is used, for a command's help names them all.
"""

import io
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from siren_codec.errors import SirenError

if TYPE_CHECKING:
    from siren_codec.bench.pictures import Pixels

__all__ = [
    "CODECS",
    "Codec",
    "Coded",
    "Jpeg2000",
    "JpegXl",
    "Jpegli",
    "Library",
    "PillowCodec",
    "Siren",
    "by_name",
]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Coded:
    """What came of a picture."""

    data: bytes
    decoded: "Pixels"
    encode_s: float
    decode_s: float
    timing: str
    """What the seconds are of: `in process` or `fresh process`."""
    peak_mib: float | None = None
    """The most memory that encoding held, and decoding."""
    decode_peak_mib: float | None = None
    encode_in_process_s: float | None = None
    """As the process itself reports it, without its start and imports, if it is a fresh one."""
    decode_in_process_s: float | None = None
    """Of a call within this process, if the file was decoded by a fresh one."""
    sections: Mapping[str, Any] | None = None
    """The bytes of a file of ours by section, and of each of its grids."""
    enlarged: "Pixels | None" = None
    """Decoded at the scale that was asked for."""


@dataclass(frozen=True, kw_only=True)
class Codec(ABC):
    """A codec with one set of settings, whose quality alone changes from file to file."""

    is_ours: ClassVar[bool] = False
    """Whether it is this project's: fitted, by commands, at efforts."""

    name: str
    """What rows and `--codecs` call it."""
    label: str
    """In tables and plots."""
    detail: str = ""
    """The settings in words, for tables with room for them."""
    marker: str
    """matplotlib's."""
    colours: tuple[str, str]
    """Of CSS: on a light page, and on a dark one."""
    extension: str
    qualities: tuple[float, ...]
    """Those that make its curve, by rising rate."""
    quality_name: str = "quality"
    """What a number of `qualities` is called before it: quality 50, width 28."""
    quality_meaning: str = ""
    """What the number is, where it is no quality of 1 to 100."""
    note: str = ""
    """A sentence for those who read its BD-rates."""
    is_default: bool = True
    """Whether it is compared unless `--codecs` says otherwise."""
    is_reference: bool = False
    """Whether the table of times gives all rates against it; one codec is."""

    @property
    @abstractmethod
    def version(self) -> str:
        """The libraries' versions, and the settings."""

    @property
    @abstractmethod
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""

    @abstractmethod
    def code(
        self, pixels: "Pixels", settings: Mapping[str, Any], *, device: str = "cpu", scale: int = 1
    ) -> Coded:
        """Encode and decode (height, width, 3) pixels by a row's settings. Raises SirenError."""


@dataclass(frozen=True, kw_only=True)
class Library(Codec):
    """A codec of others', called within this process."""

    package: str
    """What must be installed for it, as pip calls it."""
    at_equal_size: bool = False
    """Whether its pictures stand beside ours of equal size; its qualities are then 1 to 95."""

    @abstractmethod
    def encode(self, pixels: "Pixels", quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""

    @abstractmethod
    def decode(self, data: bytes) -> "Pixels":
        """Return the (height, width, 3) pixels of a file."""

    def code(
        self, pixels: "Pixels", settings: Mapping[str, Any], *, device: str = "cpu", scale: int = 1
    ) -> Coded:
        """Encode and decode (height, width, 3) pixels by a row's settings. Raises SirenError."""
        del device, scale
        try:
            data, encode_s = _timed(lambda: self.encode(pixels, settings["quality"]))
            decoded, decode_s = _timed(lambda: self.decode(data))
        except Exception as error:
            raise SirenError(f"{type(error).__name__}: {error}") from error
        return Coded(
            data=data, decoded=decoded, encode_s=encode_s, decode_s=decode_s, timing="in process"
        )


def _timed(action: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    result = action()
    return result, time.perf_counter() - began


@dataclass(frozen=True, kw_only=True)
class PillowCodec(Library):
    """A format that Pillow writes."""

    package: str = "pillow"
    format: str
    """Pillow's name for it."""
    library: str
    """Pillow's name for what does the work."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of Pillow's `save`, the same at all qualities."""

    @property
    def version(self) -> str:
        """Of Pillow and of the library, and the settings."""
        import PIL
        from PIL import features

        settings = "".join(f", {name} {value}" for name, value in self.options.items())
        library = f"{self.library} {features.version(self.library)}"
        return f"Pillow {PIL.__version__}, {library}{settings}"

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""
        from PIL import features

        return None if features.check(self.library) else f"this Pillow has no {self.format}"

    def encode(self, pixels: "Pixels", quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""
        from PIL import Image

        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.format, **self._quality(quality), **self.options)
        return file.getvalue()

    def decode(self, data: bytes) -> "Pixels":
        """Return the (height, width, 3) pixels of a file."""
        import numpy as np
        from PIL import Image

        with Image.open(io.BytesIO(data), formats=[self.format]) as image:
            return np.asarray(image.convert("RGB"))

    def _quality(self, quality: float) -> dict[str, Any]:
        return {"quality": round(quality)}


class Jpeg2000(PillowCodec):
    """JPEG 2000, whose quality is the PSNR in dB that its encoder aims at."""

    def _quality(self, quality: float) -> dict[str, Any]:
        return {"quality_layers": [quality]}


@dataclass(frozen=True, kw_only=True)
class JpegXl(Library):
    """JPEG XL by imagecodecs; quality is libjxl's, of which 90 is a distance of 1."""

    package: str = "imagecodecs"
    effort: int

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

    def encode(self, pixels: "Pixels", quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""
        import imagecodecs

        return bytes(imagecodecs.jpegxl_encode(pixels, level=round(quality), effort=self.effort))

    def decode(self, data: bytes) -> "Pixels":
        """Return the (height, width, 3) pixels of a file."""
        import imagecodecs
        import numpy as np

        return np.asarray(imagecodecs.jpegxl_decode(data), np.uint8)


@dataclass(frozen=True, kw_only=True)
class Jpegli(Library):
    """JPEG by jpegli, Google's encoder, which the package pyjpegli wraps."""

    package: str = "pyjpegli"

    @property
    def version(self) -> str:
        """Of pyjpegli, which jpegli is built into."""
        import pyjpegli

        return f"pyjpegli {pyjpegli.__version__}"

    @property
    def missing(self) -> str | None:
        """Why it cannot be used here, if so."""
        return None if find_spec("pyjpegli") else "pyjpegli is not installed"

    def encode(self, pixels: "Pixels", quality: float) -> bytes:
        """Return a file of (height, width, 3) pixels."""
        import pyjpegli

        height, width = pixels.shape[:2]
        return bytes(pyjpegli.encode(pixels.tobytes(), width, height, round(quality)))

    def decode(self, data: bytes) -> "Pixels":
        """Return the (height, width, 3) pixels of a file, by jpegli's own decoder."""
        import numpy as np
        import pyjpegli

        samples, width, height = pyjpegli.decode(data)
        return np.frombuffer(samples, np.uint8).reshape(height, width, 3)


@dataclass(frozen=True, kw_only=True)
class Siren(Codec):
    """A model of this project's: whole fresh processes of the commands, and real files."""

    is_ours: ClassVar[bool] = True
    extension: str = "siren"
    options: tuple[str, ...]
    """Of siren-encode, the same at all qualities."""
    quality_option: str
    """What siren-encode calls the quality."""

    @property
    def version(self) -> str:
        """The package's, and a digest of the code that makes files."""
        from siren_codec import __version__
        from siren_codec.bench.environment import code_key

        return f"{__version__}+{code_key()}"

    @property
    def missing(self) -> str | None:
        """Nothing is missing: the package is there."""
        return None

    def arguments(self, settings: Mapping[str, Any], device: str) -> list[str]:
        """Return what siren-encode is called with."""
        found = ["--model", self.name, "-e", str(settings["effort"]), "--device", device]
        found += [*self.options, self.quality_option, f"{settings['quality']:g}"]
        return found + (["--steps", str(settings["steps"])] if "steps" in settings else [])

    def code(
        self, pixels: "Pixels", settings: Mapping[str, Any], *, device: str = "cpu", scale: int = 1
    ) -> Coded:
        """Encode and decode (height, width, 3) pixels by a row's settings. Raises SirenError."""
        from PIL import Image

        from siren_codec import summary
        from siren_codec.bench import commands
        from siren_codec.decoding import decode

        # What a process that outlives this one writes goes with this folder.
        with tempfile.TemporaryDirectory() as folder:
            source, target, back = (Path(folder) / name for name in ("a.png", "a.siren", "b.png"))
            Image.fromarray(pixels).save(source)
            facts, encoding = commands.encode(source, target, self.arguments(settings, device))
            decoded, decoding = commands.decode(target, back)
            enlarged = None
            if scale != 1:
                enlarged, _ = commands.decode(target, back, ("--scale", str(scale)))
            data = target.read_bytes()
        found = summary.info(data)
        grids = [{"level": grid["level"], "bytes": grid["bytes"]} for grid in found["latents"]]
        return Coded(
            data=data,
            decoded=decoded,
            encode_s=encoding.seconds,
            decode_s=decoding.seconds,
            timing="fresh process",
            peak_mib=encoding.peak_mib,
            decode_peak_mib=decoding.peak_mib,
            encode_in_process_s=facts.get("seconds"),
            decode_in_process_s=_timed(lambda: decode(data))[1],
            sections={**found["sections"], "grids": grids},
            enlarged=enlarged,
        )


_TENS = tuple(range(10, 91, 10))
_FIVE = (10, 30, 50, 70, 90)
_JXL = (10, 20, 30, 40, 50, 60, 70, 80, 90, 95)

CODECS: tuple[Codec, ...] = (
    Siren(
        name="grid",
        label="siren_codec",
        marker="o",
        colours=("#c23b22", "#ff7a5c"),
        qualities=(24, 36, 50, 60),
        options=(),
        quality_option="-q",
    ),
    Siren(
        name="coordinate",
        label="siren_codec without grids",
        marker="D",
        colours=("#a2489a", "#de8ad2"),
        # Its rate is set by the width of its layers, of which it has ten.
        qualities=(14, 20, 28, 40),
        quality_name="width",
        quality_meaning="the width of its layers",
        is_default=False,
        options=("--hidden-layers", "10"),
        quality_option="--hidden-features",
    ),
    PillowCodec(
        name="jpeg",
        label="JPEG",
        detail="optimised, progressive",
        marker="s",
        colours=("#73767d", "#a9adb6"),
        extension="jpg",
        qualities=(5, *_TENS, 95),
        is_reference=True,
        at_equal_size=True,
        format="JPEG",
        library="jpg",
        options={"optimize": True, "progressive": True},
    ),
    PillowCodec(
        name="webp",
        label="WebP",
        detail="method 6",
        marker="^",
        colours=("#188267", "#4cc9a0"),
        extension="webp",
        qualities=(1, 5, *_TENS, 95),
        format="WEBP",
        library="webp",
        options={"method": 6},
    ),
    PillowCodec(
        name="avif",
        label="AVIF",
        detail="4:4:4, speed 4",
        marker="v",
        colours=("#16489f", "#6a9bff"),
        extension="avif",
        qualities=_TENS,
        at_equal_size=True,
        format="AVIF",
        library="avif",
        options={"subsampling": "4:4:4", "speed": 4},
    ),
    Jpeg2000(
        name="jpeg2000",
        label="JPEG 2000",
        # The colour transform saves 38 to 49% of the bits on the bundled pictures.
        detail="irreversible, with its colour transform",
        marker="P",
        colours=("#a17500", "#dcae42"),
        extension="jp2",
        qualities=tuple(range(22, 45, 2)),
        quality_name="PSNR",
        quality_meaning="the PSNR in dB that its encoder aims at",
        note="JPEG 2000 is asked for the same PSNR on every picture, which makes its mean curve "
        "look worse than it is: the mean of its single pictures, below, is fairer to it.",
        format="JPEG2000",
        library="jpg_2000",
        options={"irreversible": True, "mct": 1, "quality_mode": "dB"},
    ),
    JpegXl(
        name="jxl",
        label="JPEG XL",
        detail="effort 7, cjxl's default",
        marker="X",
        colours=("#1d9bd1", "#86dcf8"),
        extension="jxl",
        qualities=_JXL,
        effort=7,
    ),
    Jpegli(
        name="jpegli",
        label="jpegli",
        detail="JPEG by pyjpegli",
        marker="p",
        colours=("#4d4f54", "#d0d3d9"),
        extension="jpg",
        qualities=_TENS,
        is_default=False,
    ),
    PillowCodec(
        name="avif-best",
        label="AVIF, speed 0",
        detail="4:4:4, its best effort",
        marker="<",
        colours=("#0d2a5e", "#9dbcff"),
        extension="avif",
        qualities=_FIVE,
        is_default=False,
        format="AVIF",
        library="avif",
        options={"subsampling": "4:4:4", "speed": 0},
    ),
    JpegXl(
        name="jxl-best",
        label="JPEG XL, effort 10",
        detail="its best effort",
        marker="*",
        colours=("#0e6690", "#b8ecfb"),
        extension="jxl",
        qualities=_FIVE,
        is_default=False,
        effort=10,
    ),
)
"""In the order of tables and plots: ours first, then the reference."""


def by_name(name: str, codecs: Sequence[Codec] | None = None) -> Codec:
    """Return a codec. Raises SirenError for a name that none has."""
    known = CODECS if codecs is None else codecs
    for codec in known:
        if codec.name == name:
            return codec
    raise SirenError(f"expected one of {', '.join(x.name for x in known)}, found {name}")
