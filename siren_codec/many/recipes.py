"""One picture, from bytes to bytes: what a command, its processes and a cluster all run.

A recipe is a frozen object that travels: it makes a `Product` of a file's path or its bytes.
Nothing heavy is imported before one is called.
"""

import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from siren_codec.errors import SirenError
from siren_codec.framing import Show, View
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.many.records import digest
from siren_codec.many.verdicts import Job
from siren_codec.options import Options
from siren_codec.progress import ProgressCallback

if TYPE_CHECKING:
    from siren_codec.encoding import Encoded
    from siren_codec.field import Field
    from siren_codec.picture import Picture

__all__ = [
    "Decode",
    "Encode",
    "Failure",
    "Product",
    "Recipe",
    "Result",
    "Results",
    "attempt",
    "one_by_one",
]


@dataclass(frozen=True)
class Product:
    """A file that was made, and what is known of it."""

    data: bytes
    line: str
    """One line about it."""
    facts: Mapping[str, Any]
    """What can be counted and measured of it, by name."""
    notices: tuple[str, ...] = ()
    details: str = ""
    """What --verbose adds."""
    missed: str | None = None
    """The sentence about a target that was missed."""
    interrupted: bool = False
    """Whether the fit was stopped before its end."""
    source_digest: str = ""
    """Of the bytes that it was made of."""


@dataclass(frozen=True)
class Failure:
    """Why there is no file."""

    error: str


Result = Product | Failure | None
"""None: the picture was not begun, because an end was asked for."""
Results = Generator[tuple[Job, Result], None, None]
"""What comes of many jobs, in the order in which they are done."""


class Recipe(Protocol):
    """What makes a product of a file. Raises SirenError."""

    @property
    def device(self) -> str:
        """Where it works: cpu, cuda, or auto, which is a GPU if there is one."""

    def on(self, device: str) -> "Recipe":
        """Return the same for another device."""

    def __call__(
        self,
        source: Path | bytes,
        *,
        progress: ProgressCallback | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Product | None:
        """Return the product; None if it was stopped before the work began."""


_OF_THE_MACHINE = ("device", "memory")
"""Options that say where and how a fit runs, and not what it is to make."""


def attempt(recipe: Recipe, source: Path | bytes, **watch: Any) -> Result:
    """Return a recipe's product, or its failure, whatever that is."""
    try:
        return recipe(source, **watch)
    except SirenError as error:
        # Without the name of the file, which whoever asked knows better.
        text = " ".join(str(error).split())
        return Failure(text.removeprefix("standard input: ").removeprefix(f"{source!s}: "))
    except MemoryError:
        return Failure("out of memory")
    except Exception as error:
        return Failure(f"unexpected {type(error).__name__}: {' '.join(str(error).split())}")


def one_by_one(
    jobs: Iterator[Job],
    recipe: Recipe,
    *,
    stop: Callable[[], bool] | None = None,
    watching: "Callable[[Job], AbstractContextManager[ProgressCallback | None]] | None" = None,
) -> Results:
    """Yield jobs with their results, one after another in this process.

    Once `stop` says so no more jobs are taken. Each is done in a context of its own, `watching`.
    """
    while not (stop and stop()) and (job := next(jobs, None)):
        with watching(job) if watching else nullcontext() as progress:
            result = attempt(recipe, job.source, progress=progress, stop=stop)
        yield job, result


@dataclass(frozen=True)
class Encode:
    """Picture -> `.siren`."""

    options: Options = field(default_factory=Options)
    max_pixels: int = DEFAULT_LIMITS.pixels
    strip: bool = False
    """Leave the metadata out."""
    quiet: bool = False
    """Say nothing of kernels."""

    @property
    def device(self) -> str:
        """Where it works; auto is a GPU if there is one."""
        return self.options.device

    def on(self, device: str) -> "Encode":
        """Return the same for another device."""
        return replace(self, options=replace(self.options, device=device))

    def __call__(
        self,
        source: Path | bytes,
        *,
        progress: ProgressCallback | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> Product | None:
        """Return the product; None if it was stopped before the fit. Raises SirenError."""
        found = digest(source)
        picture = self.load(source)
        if isinstance(source, Path) and digest(source) != found:
            raise SirenError(f"{source}: changed while it was read")
        if stop and stop():
            return None
        product = self.encode(picture, progress=progress, stop=stop)
        return replace(product, source_digest=found)

    def settings(self) -> dict[str, Any]:
        """Return the options that decide the result, but for the machine's, as JSON has them."""
        chosen = {**asdict(self.options), "strip": self.strip}
        return {name: value for name, value in chosen.items() if name not in _OF_THE_MACHINE}

    def load(self, source: Path | bytes) -> "Picture":
        """Read a picture. Raises SirenError."""
        from siren_codec.picture import load, strip

        picture = load(source, max_pixels=self.max_pixels)
        return strip(picture) if self.strip else picture

    def encode(
        self,
        picture: "Picture",
        *,
        progress: ProgressCallback | None = None,
        stop: Callable[[], bool] | None = None,
        checkpoint: Path | None = None,
    ) -> Product:
        """Encode a picture. Raises SirenError."""
        from siren_codec import encoding
        from siren_codec.picture import lossless_webp

        encoded = encoding.encode_picture(
            picture,
            self.options,
            progress=progress,
            stop=stop,
            checkpoint=checkpoint,
            notify=(lambda _: None) if self.quiet else None,
        )
        lossless = lossless_webp(picture, at_most=len(encoded.data))
        facts = _facts(encoded, lossless)
        return Product(
            encoded.data,
            _line(encoded, facts),
            facts,
            encoded.notices + _better(lossless, len(encoded.data)),
            _details(encoded),
            encoded.missed,
            encoded.interrupted,
        )


def _facts(encoded: "Encoded", lossless: int | None) -> dict[str, Any]:
    """Return what --json has of a file; `lossless` are the bytes of a WebP that are no more."""
    return {
        "width": encoded.field.width,
        "height": encoded.field.height,
        "bytes": len(encoded.data),
        "bpp": encoded.bpp,
        "psnr": encoded.psnr,
        "alpha_psnr": encoded.alpha_psnr,
        "max_error": encoded.max_error,
        "lossless_webp": lossless,
        "missed": encoded.missed,
        "interrupted": encoded.interrupted,
        "seconds": encoded.seconds,
    }


def _better(lossless: int | None, size: int) -> tuple[str, ...]:
    """Return the notice that a picture had better been stored otherwise."""
    if lossless is None:
        return ()
    return (f"a lossless WebP of this picture takes {lossless} bytes, this file {size}",)


def _line(encoded: "Encoded", facts: Mapping[str, Any]) -> str:
    parts = [f"{facts['bytes']} bytes", f"{facts['bpp']:.3f} bpp", f"PSNR {encoded.psnr:.2f} dB"]
    if encoded.alpha_psnr is not None:
        lossless = encoded.alpha_psnr == math.inf
        parts.append("alpha lossless" if lossless else f"alpha {encoded.alpha_psnr:.2f} dB")
    return ", ".join([*parts, f"{facts['seconds']:.1f} s"])


def _details(encoded: "Encoded") -> str:
    field = encoded.fit.field
    weights = sum(tensor.values.size for tensor in field.tensors())
    latents = sum(grids.size for grids in field.latents)
    if latents:
        parts = f"{encoded.fit.bits / latents:.3f} bits per latent"
    else:
        parts = f"{8 * len(encoded.data) / weights:.2f} bits per weight, whole file"
    return (
        f"{field.architecture}: {weights} weights, {latents} latents\n"
        f"{parts}; PSNR: real weights {encoded.fit.real_psnr:.2f} dB, "
        f"quantised {encoded.fit.quantised_psnr:.2f} dB\n"
        f"the largest error of a sample: {encoded.max_error}"
    )


@dataclass(frozen=True)
class Decode:
    """`.siren` -> a picture file."""

    format: str = "PNG"
    view: View = field(default_factory=View)
    show: Show = "colour"
    device: str = "cpu"
    limits: Limits = DEFAULT_LIMITS
    partial: bool = False
    """Make do with what a file that was cut short still has."""

    def on(self, device: str) -> "Decode":
        """Return the same for another device."""
        return replace(self, device=device)

    def to(self, format_: str) -> "Decode":
        """Return the same for another format of Pillow's."""
        return replace(self, format=format_)

    def __call__(
        self,
        source: Path | bytes,
        *,
        progress: ProgressCallback | None = None,  # noqa: ARG002
        stop: Callable[[], bool] | None = None,
    ) -> Product | None:
        """Return the product; None if it was stopped. Raises SirenError."""
        if stop and stop():
            return None
        from siren_codec import decoding

        data = decoding.read_bytes(source, self.limits)
        return replace(self.render(self.load(data)), source_digest=digest(data))

    def settings(self) -> dict[str, Any]:
        """Return the options that decide the result, as JSON has them."""
        return {
            "format": self.format,
            "size": self.view.size and list(self.view.size),
            "scale": self.view.scale,
            "crop": self.view.crop and list(self.view.crop),
            "show": self.show,
            "partial": self.partial,
        }

    def load(self, source: Path | bytes) -> "Field":
        """Read a `.siren` file, as far as the picture shows it. Raises SirenError."""
        from siren_codec import decoding

        data = decoding.read_bytes(source, self.limits)
        return decoding.read_shown(
            data, self.view, show=self.show, partial=self.partial, limits=self.limits
        )

    def render(self, field: "Field") -> Product:
        """Make a picture file of a Field. Raises SirenError."""
        from siren_codec import decoding
        from siren_codec.picture import save_bytes

        began = time.perf_counter()
        picture = decoding.render_picture(
            field, self.view, show=self.show, device=self.device, limits=self.limits
        )
        data, notices = save_bytes(picture, self.format)
        if not field.whole:
            notices = (_what_is_missing(field), *notices)
        height, width, _ = picture.pixels.shape
        seconds = time.perf_counter() - began
        facts = {"width": width, "height": height, "bytes": len(data), "seconds": seconds}
        return Product(data, f"{width}x{height}, {seconds:.1f} s", facts, notices)


def _what_is_missing(field: "Field") -> str:
    missing, levels = field.first_level, len(field.architecture.features)
    if not missing:
        return "the file is cut short: metadata may be missing"
    verb = "is" if missing == 1 else "are"
    return f"the file is cut short: {missing} of {levels} levels {verb} missing"
