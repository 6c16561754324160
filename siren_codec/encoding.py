"""Encoding: Picture -> fit.fit -> Field -> stream.write -> bytes."""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from siren_codec import metrics, stream
from siren_codec.limits import DEFAULT_LIMITS, UNBOUNDED
from siren_codec.options import Options
from siren_codec.picture import Picture, from_array, from_pil
from siren_codec.stream import format
from siren_codec.stream import prior as priors

if TYPE_CHECKING:
    from PIL.Image import Image

    from siren_codec.fit import Checkpoint, Fit, ProgressCallback

__all__ = ["Encoded", "encode", "encode_picture"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """A file, the fit that it came from, and how near the pixels decoded from it come."""

    data: bytes
    fit: "Fit"
    psnr: float
    """dB over the samples of the decoded integer pixels, without alpha, where they can be seen."""
    max_error: int
    """The largest difference of a sample that can be seen, alpha too, in the picture's levels."""
    alpha_psnr: float | None = None
    """The PSNR of the alpha channel, if there is one."""
    missed: str | None = None
    """What a target asked for and what was reached, if that is not the same."""
    interrupted: bool = False
    """Whether the fit was stopped before its end."""


def encode(
    picture: "npt.ArrayLike | Image",
    *,
    progress: "ProgressCallback | None" = None,
    max_pixels: int = DEFAULT_LIMITS.pixels,
    **options: Any,
) -> bytes:
    """Return a picture as the bytes of a `.siren` file.

    `picture` is a Pillow image or a (height, width[, 1..4]) uint8 or uint16 array of L, LA, RGB or
    RGBA. `options` are those of `Options`: `quality` is 1 to 100, `effort` 1 (quick) to 9, `model`
    is "grid" or "coordinate", and so on. The same seed gives the same bytes on the same machine.
    `progress` is called after every step. What is converted on the way in is said in a warning.
    Raises SirenError (UsageError, LimitError, PictureError, FitError).
    """
    from PIL.Image import Image

    chosen = Options(**options)
    if isinstance(picture, Image):
        source = _of_pil(picture, max_pixels)
    else:
        source = from_array(picture, max_pixels=max_pixels)
    for notice in source.notices:
        warnings.warn(notice, stacklevel=2)
    return encode_picture(source, chosen, progress=progress).data


def _of_pil(opened: "Image", max_pixels: int) -> Picture:
    """Return the Picture of a Pillow image; only the plugin knows all that a `.siren` file has."""
    if "siren_depth" not in opened.info:
        return from_pil(opened, max_pixels=max_pixels)
    from siren_codec.pillow_plugin import picture_of

    return picture_of(opened, max_pixels=max_pixels)


def encode_picture(
    picture: Picture,
    options: Options,
    *,
    progress: "ProgressCallback | None" = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Path | None = None,
    notify: Callable[[str], None] | None = None,
) -> Encoded:
    """Encode a Picture; see `encode`. The PSNR is that of the bytes, decoded.

    `stop` is asked after every step whether to end at once with the best there is. A `checkpoint`
    is a file that the fit's state is saved to every half minute, and that an unfinished fit of the
    same picture with the same options goes on from; it is removed at the end. `notify` is called
    with a line about kernels that are compiled first, or missing, which else goes to standard
    error.
    """
    height, width, _ = picture.pixels.shape
    depth = 8 * picture.pixels.itemsize
    format.check_picture(width=width, height=height, depth=depth, metadata=picture.metadata)
    from siren_codec import fit as fitting

    saved = _checkpoint(checkpoint, picture, options)
    if fitting.choose_device(options.device) == "cpu":
        fitting.load_kernels_ahead(notify or fitting.on_standard_error)
    plan = fitting.plan_for(picture, options)
    result = fitting.fit(
        plan.colours,
        architecture=plan.architecture,
        schedule=plan.schedule,
        seed=options.seed,
        device=options.device,
        control=fitting.Control(
            progress=progress,
            stop=stop,
            target=plan.target,
            checkpoint=saved,
            memory=options.memory,
        ),
        metadata=picture.metadata,
        prior=plan.prior,
        refine=plan.refine,
        alpha=plan.alpha,
        visible=plan.visible,
    )
    data = stream.write(result.field)
    decoded = np.atleast_3d(stream.read(data, UNBOUNDED).render())
    psnr, alpha_psnr = metrics.psnr_and_alpha(reference=picture.pixels, decoded=decoded)
    error = metrics.max_error(reference=picture.pixels, decoded=decoded)
    missed = fitting.missed(picture.pixels, options, size=len(data), psnr=psnr, max_error=error)
    return Encoded(data, result, psnr, error, alpha_psnr, missed, result.interrupted)


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
