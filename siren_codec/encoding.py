"""Encoding: Picture -> fit.fit -> Field -> stream.write -> bytes."""

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from siren_codec import extras, metrics, output, stream
from siren_codec.decoding import Readable
from siren_codec.errors import SirenWarning, UsageError
from siren_codec.field import Field
from siren_codec.keywords import named
from siren_codec.limits import DEFAULT_LIMITS, UNBOUNDED
from siren_codec.options import Alpha, Device, Model, Options, Start
from siren_codec.picture import Picture, from_array, from_pil, load, strip
from siren_codec.progress import ProgressCallback
from siren_codec.stream import format
from siren_codec.stream import prior as priors

if TYPE_CHECKING:
    from PIL.Image import Image

    from siren_codec.fit import Checkpoint, Control, Fit

__all__ = [
    "AnyPicture",
    "Encoded",
    "encode",
    "encode_file",
    "encode_picture",
    "picture_of_image",
]

AnyPicture: TypeAlias = "npt.ArrayLike | Image | str | os.PathLike[str] | Readable"
"""A (height, width[, 1..4]) uint8 or uint16 array of L, LA, RGB or RGBA, a Pillow image, or a
picture file: its path, its bytes, or a file object."""


@runtime_checkable
class _DecodesItself(Protocol):
    """An image of our Pillow plugin: Pillow's modes have not all bits that its file has."""

    tile: Any
    """Nothing once Pillow has loaded it."""

    def whole_picture(self, max_pixels: int) -> Picture:
        """Return the picture with all its bits."""


@dataclass(frozen=True, eq=False, repr=False)
class Encoded:
    """A `.siren` file, and what is known of it. PSNRs are of the pixels decoded from it."""

    data: bytes
    """The file."""
    psnr: float
    """dB over the integer samples of the colours, where they can be seen."""
    max_error: int
    """The largest difference of a sample that can be seen, alpha too, in the picture's levels."""
    alpha_psnr: float | None
    """The same of the alpha channel, if there is one; infinite without loss."""
    sections: Mapping[str, int]
    """Bytes by section; they add up to the file."""
    seconds: float
    """What encoding took."""
    missed: str | None
    """What a target asked for and what was reached, if that is not the same."""
    interrupted: bool
    """Whether the fit was stopped before its end."""
    notices: tuple[str, ...]
    """What of the picture was converted or left out."""
    fit: "Fit"
    """The fit that it came from."""

    @property
    def field(self) -> Field:
        """The picture as it is in the file."""
        return self.fit.field

    @property
    def bpp(self) -> float:
        """Bits of the whole file for each pixel."""
        field = self.field
        return metrics.bpp(file_bytes=len(self.data), width=field.width, height=field.height)

    def __repr__(self) -> str:
        parts = [f"{len(self.data)} bytes", f"{self.bpp:.3f} bpp", f"PSNR {self.psnr:.2f} dB"]
        if self.missed:
            parts.append(self.missed)
        return f"<siren_codec.Encoded {', '.join(parts)}>"


@named
def encode(
    picture: AnyPicture,
    *,
    quality: int | None = None,
    target_bpp: float | None = None,
    target_size: int | None = None,
    target_psnr: float | None = None,
    max_error: int | None = None,
    effort: int = 4,
    model: Model = "grid",
    start: Start | None = None,
    alpha: Alpha = "auto",
    hidden_layers: int | None = None,
    hidden_features: int | None = None,
    steps: int | None = None,
    device: Device = "auto",
    memory: int | None = None,
    seed: int = 0,
    strip: bool = False,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    progress: ProgressCallback | None = None,
) -> bytes:
    """Return a picture as the bytes of a `.siren` file.

    `picture` is a (height, width[, 1..4]) uint8 or uint16 array of L, LA, RGB or RGBA, a Pillow
    image, or a picture file: its path, its bytes or a file object. Everything from `quality` to
    `seed` is as in `Options`, which says what they mean. `strip` leaves the metadata out,
    a picture of more than `max_pixels` is refused, and `progress` is called with a `Progress`
    after each step. The same seed gives the same bytes on the same machine. What is converted or
    dropped on the way in, and a target that is missed, is a SirenWarning. Raises SirenError
    (UsageError, LimitError, PictureError, FitError, NotInstalledError).

    >>> data = siren_codec.encode("photo.png", quality=40, effort=1)
    >>> siren_codec.decode(data).shape
    (64, 96, 3)
    """
    options = Options.among(locals())
    source = _read_picture(picture, max_pixels=max_pixels, without_metadata=strip)
    encoded = encode_picture(source, options, progress=progress)
    _warn(encoded)
    return encoded.data


@named
def encode_file(
    picture: AnyPicture,
    path: str | os.PathLike[str] | None = None,
    *,
    quality: int | None = None,
    target_bpp: float | None = None,
    target_size: int | None = None,
    target_psnr: float | None = None,
    max_error: int | None = None,
    effort: int = 4,
    model: Model = "grid",
    start: Start | None = None,
    alpha: Alpha = "auto",
    hidden_layers: int | None = None,
    hidden_features: int | None = None,
    steps: int | None = None,
    device: Device = "auto",
    memory: int | None = None,
    seed: int = 0,
    strip: bool = False,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> Encoded:
    """Write a picture as a `.siren` file, and return what is known of it.

    `picture` and the options are those of `encode`. The file is whole or absent; one that is there
    is overwritten only with `force`. Without a `path` it is the picture's own with `.siren` for
    its extension. `stop` is asked after each step whether to end with the best there is. The fit's
    state is saved to the `checkpoint` every half minute, and an unfinished one of the same picture
    with the same options goes on from there. Raises SirenError.

    >>> encoded = siren_codec.encode_file("photo.png", "small.siren", target_size=1000, effort=1)
    >>> len(encoded.data) <= 1000, encoded.missed
    (True, None)
    >>> sum(encoded.sections.values()) == len(encoded.data)
    True
    """
    options = Options.among(locals())
    extras.need("encode", "encoding")
    target = _target(picture, path)
    output.check(target, force=force)
    source = _read_picture(picture, max_pixels=max_pixels, without_metadata=strip)
    saved = None if checkpoint is None else Path(checkpoint)
    encoded = encode_picture(source, options, progress=progress, stop=stop, checkpoint=saved)
    output.write(target, encoded.data, force=force)
    _warn(encoded)
    return encoded


def _target(picture: AnyPicture, path: str | os.PathLike[str] | None) -> Path:
    """Return where a file goes; never onto the picture itself."""
    source = Path(picture) if isinstance(picture, str | os.PathLike) else None
    if path is not None:
        target = Path(path)
    elif source is not None:
        target = source.with_suffix(".siren")
    else:
        raise UsageError("expected a path, for the picture has none")
    if source is not None and output.are_same(source, target):
        raise UsageError(f"{target}: is the picture itself")
    return target


def _warn(encoded: Encoded) -> None:
    """Warn whoever called a function of this module that is `named`."""
    for notice in (*encoded.notices, *([encoded.missed] if encoded.missed else [])):
        warnings.warn(notice, SirenWarning, stacklevel=4)


def _read_picture(
    picture: AnyPicture, *, max_pixels: int, without_metadata: bool = False
) -> Picture:
    """Return the Picture of whatever is one. Raises SirenError."""
    from PIL.Image import Image

    extras.need("encode", "encoding")
    if isinstance(picture, Image):
        found = picture_of_image(picture, max_pixels=max_pixels)
    elif isinstance(picture, str | os.PathLike):
        found = load(picture, max_pixels=max_pixels)
    elif isinstance(picture, bytes | bytearray):
        found = load(bytes(picture), max_pixels=max_pixels)
    elif isinstance(picture, Readable):
        found = load(_whole(picture), max_pixels=max_pixels)
    else:
        found = from_array(picture, max_pixels=max_pixels)
    return strip(found) if without_metadata else found


def _whole(file: Readable) -> bytes:
    data = file.read()
    if not isinstance(data, bytes):
        raise UsageError(f"expected a file of bytes, found one of {type(data).__name__}")
    return data


def picture_of_image(image: "Image", *, max_pixels: int) -> Picture:
    """Return `from_pil`'s Picture, but of an opened `.siren` file with all its bits.

    A notice says so where they are gone: Pillow has loaded it, or it is made of one.
    """
    if isinstance(image, _DecodesItself) and image.tile:
        return image.whole_picture(max_pixels)
    picture = from_pil(image, max_pixels=max_pixels)
    if image.info.get("siren_depth") != 16 or picture.pixels.dtype == np.uint16:
        return picture
    notice = "kept the 8 bits a sample of this SIREN that Pillow had loaded"
    return replace(picture, notices=(*picture.notices, notice))


def encode_picture(
    picture: Picture,
    options: Options,
    *,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoded:
    """Encode a Picture; see `encode_file`.

    `notify` is called with a line about kernels that are compiled first, or missing, which else
    goes to standard error.
    """
    extras.need("encode", "encoding")
    began = time.perf_counter()
    height, width, _ = picture.pixels.shape
    depth = 8 * picture.pixels.itemsize
    format.check_picture(width=width, height=height, depth=depth, metadata=picture.metadata)
    from siren_codec import fit as fitting

    saved = _checkpoint(checkpoint, picture, options)
    if fitting.choose_device(options.device) == "cpu":
        fitting.load_kernels_ahead(notify or fitting.on_standard_error)
    control = fitting.Control(progress=progress, stop=stop, checkpoint=saved, memory=options.memory)
    found = _fit(picture, options, control)
    return _encoded(found, picture, options, began)


def _fit(picture: Picture, options: Options, control: "Control") -> "Fit":
    """Fit a picture by its plan."""
    from siren_codec import fit as fitting

    plan = fitting.plan_for(picture, options)
    return fitting.fit(
        plan.colours,
        architecture=plan.architecture,
        schedule=plan.schedule,
        seed=options.seed,
        device=options.device,
        control=replace(control, target=plan.target),
        metadata=picture.metadata,
        prior=plan.prior,
        refine=plan.refine,
        alpha=plan.alpha,
        visible=plan.visible,
    )


def _encoded(found: "Fit", picture: Picture, options: Options, began: float) -> Encoded:
    """Pack a fit's Field, and measure the pixels that the bytes decode to."""
    from siren_codec.fit import missed

    data = stream.write(found.field)
    decoded = np.atleast_3d(stream.read(data, UNBOUNDED).render())
    psnr, alpha_psnr = metrics.psnr_and_alpha(reference=picture.pixels, decoded=decoded)
    error = metrics.max_error(reference=picture.pixels, decoded=decoded)
    _, sections = format.parse(data, UNBOUNDED)
    return Encoded(
        data,
        psnr,
        error,
        alpha_psnr,
        MappingProxyType(format.parts(data, sections)),
        time.perf_counter() - began,
        missed(picture.pixels, options, size=len(data), psnr=psnr, max_error=error),
        found.interrupted,
        picture.notices,
        found,
    )


def _checkpoint(path: Path | None, picture: Picture, options: Options) -> "Checkpoint | None":
    """Return where to save the state of this picture's fit with these options."""
    if path is None:
        return None
    from siren_codec import __version__
    from siren_codec.fit import Checkpoint

    pixels = np.ascontiguousarray(picture.pixels)
    known = {name: value for name, value in asdict(options).items() if name != "memory"}
    found = Checkpoint(
        path,
        {
            "picture": hashlib.sha256(pixels.tobytes()).hexdigest(),
            "shape": list(pixels.shape),
            "version": __version__,
            "priors": [priors.load(id_).digest.hex() for id_ in priors.IDS],
            **known,
        },
    )
    # A file that is of no use, or someone else's, is found before any long work.
    found.load()
    return found
