"""Encoding: Picture -> fit.fit -> Field -> stream.write -> bytes."""

import hashlib
import math
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from siren_codec import image, metrics, stream
from siren_codec.field import Architecture, Field, PriorName
from siren_codec.image import Picture
from siren_codec.limits import DEFAULT_LIMITS, UNBOUNDED
from siren_codec.options import Options
from siren_codec.stream import alpha as alphas
from siren_codec.stream import format
from siren_codec.stream import prior as priors

if TYPE_CHECKING:
    from PIL.Image import Image

    from siren_codec.fit import Checkpoint, Fit, ProgressCallback, Target

__all__ = ["Encoded", "architecture_for", "encode", "encode_picture", "prior_for"]

_ANY_QUALITY = 50
"""Of the coordinate prior, which is the same at all of them, and of one that a target decides."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A file, the fit that it came from, and the PSNR of the pixels decoded from it."""

    data: bytes
    fit: "Fit"
    psnr: float
    """dB over the samples of the decoded integer pixels, without alpha, where they can be seen."""
    alpha_psnr: float | None = None
    """The same of the alpha channel, if there is one."""
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
        source = image.from_pil(picture, max_pixels=max_pixels)
    else:
        source = image.from_array(picture, max_pixels=max_pixels)
    for notice in source.notices:
        warnings.warn(notice, stacklevel=2)
    return encode_picture(source, chosen, progress=progress).data


def encode_picture(
    picture: Picture,
    options: Options,
    *,
    progress: "ProgressCallback | None" = None,
    stop: Callable[[], bool] | None = None,
    checkpoint: Path | None = None,
) -> Encoded:
    """Encode a Picture; see `encode`. The PSNR is that of the bytes, decoded.

    `stop` is asked after every step whether to end at once with the best there is. A `checkpoint`
    is a file that the fit's state is saved to every half minute, and that an unfinished fit of the
    same picture with the same options goes on from; it is removed at the end.
    """
    colours, alpha = _split_alpha(picture, options)
    architecture = architecture_for(colours, options)
    prior = prior_for(architecture, options)
    height, width, channels = picture.pixels.shape
    depth = 8 * picture.pixels.itemsize
    format.check(
        format.Header(width, height, depth, architecture, prior, alpha is not None),
        picture.metadata,
    )
    from siren_codec import fit as fitting

    target, quality = _target(picture, options), options.quality
    if target:
        quality = fitting.first_quality(colours.pixels, target)
    if prior and options.model == "grid":
        assert quality is not None
        prior = replace(prior, quality=quality)
    schedule = fitting.Schedule.preset(
        architecture, options, width=width, height=height, prior=prior is not None, quality=quality
    )
    control = fitting.Control(
        progress=progress,
        stop=stop,
        target=target,
        checkpoint=_checkpoint(checkpoint, picture, options),
        memory=options.memory,
    )
    result = fitting.fit(
        colours.pixels,
        architecture=architecture,
        schedule=schedule,
        seed=options.seed,
        device=options.device,
        control=control,
        metadata=picture.metadata,
        prior=prior,
        refine=options.start == "analysis",
        alpha=alpha,
        visible=picture.pixels[:, :, -1] > 0 if channels in (2, 4) else None,
    )
    data = stream.write(result.field)
    psnr, alpha_psnr = _quality_of(picture, stream.read(data, UNBOUNDED))
    missed = _missed(options, picture, len(data), psnr)
    return Encoded(data, result, psnr, alpha_psnr, missed, result.interrupted)


def _quality_of(picture: Picture, field: Field) -> tuple[float, float | None]:
    """Return the PSNR of a Field's colours where they can be seen, and that of its alpha."""
    decoded = np.atleast_3d(field.render())
    if field.channels in (1, 3):
        return metrics.psnr(reference=picture.pixels, decoded=decoded), None
    colours, alpha = slice(0, field.channels - 1), slice(field.channels - 1, None)
    seen = picture.pixels[:, :, -1] > 0
    psnr = math.inf
    if seen.any():
        psnr = metrics.psnr(
            reference=picture.pixels[seen][:, colours], decoded=decoded[seen][:, colours]
        )
    of_alpha = metrics.psnr(reference=picture.pixels[:, :, alpha], decoded=decoded[:, :, alpha])
    return psnr, of_alpha


def _target(picture: Picture, options: Options) -> "Target | None":
    """Return what the fit is steered towards: a PSNR, or a size in bytes."""
    from siren_codec.fit import Target

    if options.target_psnr is not None:
        aim = float(options.target_psnr)
        return Target(
            lambda field: _quality_of(picture, field)[0],
            *(False, aim, aim - 0.9 * _PSNR_TOLERANCE, aim + 0.9 * _PSNR_TOLERANCE),
        )
    least, most = _sizes(picture, options)
    if not most:
        return None
    # The middle, for a size may not be exceeded.
    return Target(
        lambda field: math.log2(len(stream.write(field))),
        *(True, math.log2((least + most) / 2), math.log2(least), math.log2(most)),
    )


_SIZE_TOLERANCE = 0.02
_PSNR_TOLERANCE = 0.1


def _sizes(picture: Picture, options: Options) -> tuple[float, float]:
    """Return the least and the most bytes that meet a target, (0, 0) where it is not a size."""
    if options.target_size is not None:
        return (1 - _SIZE_TOLERANCE) * options.target_size, options.target_size
    if options.target_bpp is not None:
        wanted = options.target_bpp * picture.pixels.shape[0] * picture.pixels.shape[1] / 8
        return (1 - _SIZE_TOLERANCE) * wanted, (1 + _SIZE_TOLERANCE) * wanted
    return 0, 0


def _missed(options: Options, picture: Picture, size: int, psnr: float) -> str | None:
    """Return a sentence about a target that was missed."""
    least, most = _sizes(picture, options)
    if most and not least <= size <= most:
        return (
            f"target missed: expected {math.ceil(least)} to {math.floor(most)} bytes, found {size}"
        )
    wanted = options.target_psnr
    if wanted is not None and abs(psnr - wanted) > _PSNR_TOLERANCE:
        return f"target missed: expected {wanted:g} dB, found {psnr:.2f}"
    return None


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


def _split_alpha(
    picture: Picture, options: Options
) -> tuple[Picture, npt.NDArray[np.uint8 | np.uint16] | None]:
    """Return what the network is to learn, and the alpha that is stored apart, if it is."""
    pixels = picture.pixels
    if pixels.shape[2] in (1, 3) or options.alpha == "lossy":
        return picture, None
    plane = np.ascontiguousarray(pixels[:, :, -1])
    if options.alpha == "auto" and options.model == "grid" and not _is_cheap(plane, options):
        return picture, None
    return replace(picture, pixels=np.ascontiguousarray(pixels[:, :, :-1])), plane


def _is_cheap(plane: npt.NDArray[np.uint8 | np.uint16], options: Options) -> bool:
    """Tell whether alpha costs less without loss than as an output of the network.

    The cost is error + lambda * rate; the network's is what the prior makes of it as of a grey
    picture.
    """
    from siren_codec.fit import first_cost, quality_lambda

    quality = options.quality or _ANY_QUALITY
    rate = quality_lambda(quality) * 8 / plane.size
    lossy = first_cost(plane[:, :, None], quality)
    if options.start != "zero":
        lossy += rate * _WITHOUT_PRIOR
    return rate * len(alphas.pack(plane)) <= lossy


_WITHOUT_PRIOR = 1000
"""Bytes that the weights take more in a network with alpha, which has no prior
(docs/EXPERIMENTS.md).
"""


def prior_for(architecture: Architecture, options: Options) -> PriorName | None:
    """Return the prior that a fit begins with: none if it has another network, or is not wanted.

    With a target its quality is still open.
    """
    if options.start == "zero":
        return None
    id_ = priors.DEFAULT_PRIORS[options.model]
    if options.model == "grid" and _is_long(options):
        id_ = priors.PRIOR_OF_LONG_FITS
    if priors.load(id_).architecture_for(architecture.channels) != architecture:
        return None
    return PriorName(id_, options.quality or _ANY_QUALITY)


def _is_long(options: Options) -> bool:
    """Tell whether a fit has the time to make use of coarser steps (docs/EXPERIMENTS.md)."""
    if options.steps is not None:
        return options.steps >= 400
    return options.effort >= 5


def architecture_for(picture: Picture, options: Options) -> Architecture:
    """Return the network for a picture.

    `grid`: 2 layers of 32 with a sine, fed by grids on 7 levels. `coordinate`: as many
    features, 4 to 64, as make 12 sqrt(pixels) weights; from 5,000 weights on they lie in 10 layers
    with a sine, below in 5, as COIN has it (arXiv 2103.03123), whose 10x28 is what a Kodak picture
    gets.
    """
    height, width, channels = picture.pixels.shape
    if options.model == "grid":
        return Architecture(
            channels,
            options.hidden_layers or 2,
            options.hidden_features or 32,
            first_omega_0=3.0,
            omega_0=10.0,
            # One grid on each of the two finest levels, for they cost the most.
            features=(1, 1) + (3 if channels == 1 else channels,) * 5,
            neighbours=24,
            context_features=16,
        )
    affordable = 12 * math.sqrt(width * height)
    layers = options.hidden_layers or (10 if affordable >= 5000 else 5)
    size = options.hidden_features
    if size is None:
        sizes = (Architecture(channels, layers, size) for size in range(64, 4, -1))
        fitting = (network for network in sizes if network.weight_count <= affordable)
        size = next(fitting, Architecture(channels, layers, 4)).hidden_features
    return Architecture(channels, layers, size)
