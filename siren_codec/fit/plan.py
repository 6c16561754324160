"""What is to be fitted: settled once, before the first step, and frozen."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec.field import Architecture, PriorName
from siren_codec.fit.rate import quality_lambda
from siren_codec.fit.schedule import Schedule
from siren_codec.fit.target import Target, first_cost, first_quality, target_for
from siren_codec.options import DEFAULT_QUALITY, Options
from siren_codec.picture import Picture
from siren_codec.stream import alpha as alphas
from siren_codec.stream import prior as priors

__all__ = ["Plan", "architecture_for", "plan_for", "prior_for"]

Pixels = npt.NDArray[Any]

_WITHOUT_PRIOR = 1000
"""Bytes that the weights take more in a network with alpha, which has no prior
(docs/EXPERIMENTS.md).
"""


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """All that a fit is to know of a picture and of what is asked for."""

    colours: Pixels
    """(height, width, channels) samples that the network learns; alpha too unless it is apart."""
    alpha: Pixels | None
    """(height, width) alpha that is stored apart, without loss."""
    visible: npt.NDArray[np.bool_] | None
    """(height, width): where colours count; None is everywhere."""
    architecture: Architecture
    prior: PriorName | None
    """Where the networks begin; None is at random."""
    refine: bool
    """Whether the prior's analysis network makes the first grids."""
    schedule: Schedule
    target: Target | None
    """What the schedule's quality is steered towards."""


def plan_for(picture: Picture, options: Options) -> Plan:
    """Return the plan of a picture's fit: first its quality, then what follows from it."""
    pixels = picture.pixels
    height, width, channels = pixels.shape
    target = target_for(pixels, options)
    quality = _quality(pixels, options, target)
    colours, alpha = _split_alpha(picture, options)
    architecture = architecture_for(colours, options)
    prior = prior_for(architecture, options, quality=quality)
    return Plan(
        colours=colours.pixels,
        alpha=alpha,
        visible=pixels[:, :, -1] > 0 if channels in (2, 4) else None,
        architecture=architecture,
        prior=prior,
        refine=options.start == "analysis",
        schedule=Schedule.preset(
            *(architecture, options),
            width=width,
            height=height,
            quality=quality,
            prior=prior is not None,
        ),
        target=target,
    )


def architecture_for(picture: Picture, options: Options) -> Architecture:
    """Return the network for a picture.

    `grid`: 2 layers of 48 with a sine, fed by grids on 7 levels. `coordinate`: as many
    features, 4 to 64, as make 12 sqrt(pixels) weights; from 5,000 weights on they lie in 10 layers
    with a sine, below in 5, as COIN has it (arXiv 2103.03123), whose 10x28 is what a Kodak picture
    gets.
    """
    height, width, channels = picture.pixels.shape
    if options.model == "grid":
        return Architecture(
            channels,
            options.hidden_layers or 2,
            options.hidden_features or 48,
            first_omega_0=3.0,
            omega_0=10.0,
            # One grid on each of the two finest levels, for they cost the most.
            features=(1, 1) + (3 if channels == 1 else channels,) * 5,
            neighbours=24,
            context_features=24,
        )
    affordable = 12 * math.sqrt(width * height)
    layers = options.hidden_layers or (10 if affordable >= 5000 else 5)
    size = options.hidden_features
    if size is None:
        sizes = (Architecture(channels, layers, size) for size in range(64, 4, -1))
        fitting = (network for network in sizes if network.weight_count <= affordable)
        size = next(fitting, Architecture(channels, layers, 4)).hidden_features
    return Architecture(channels, layers, size)


def prior_for(architecture: Architecture, options: Options, *, quality: int) -> PriorName | None:
    """Return the prior that a fit begins with: none if it has another network, or is not wanted.

    That of the coordinate model is the same at all qualities.
    """
    if options.start == "zero":
        return None
    id_ = priors.DEFAULT_PRIORS[options.model]
    if priors.load(id_).architecture_for(architecture.channels) != architecture:
        return None
    return PriorName(id_, quality)


def _quality(pixels: Pixels, options: Options, target: Target | None) -> int:
    """Return the quality that a fit begins with: the one asked for, or a target's first guess."""
    if target:
        return first_quality(pixels, target)
    assert options.quality is not None
    return options.quality


def _split_alpha(picture: Picture, options: Options) -> tuple[Picture, Pixels | None]:
    """Return what the network is to learn, and the alpha that is stored apart, if it is."""
    pixels = picture.pixels
    if pixels.shape[2] in (1, 3) or options.alpha == "lossy":
        return picture, None
    plane = np.ascontiguousarray(pixels[:, :, -1])
    if options.alpha == "auto" and options.model == "grid" and not _is_cheap(plane, options):
        return picture, None
    return replace(picture, pixels=np.ascontiguousarray(pixels[:, :, :-1])), plane


def _is_cheap(plane: Pixels, options: Options) -> bool:
    """Tell whether alpha costs less without loss than as an output of the network.

    The cost is error + lambda * rate; the network's is what the prior makes of it as of a grey
    picture. With a target it is that at the default quality, not at the target's first guess.
    """
    quality = options.quality or DEFAULT_QUALITY
    rate = quality_lambda(quality) * 8 / plane.size
    lossy = first_cost(plane[:, :, None], quality)
    if options.start != "zero":
        lossy += rate * _WITHOUT_PRIOR
    return rate * len(alphas.pack(plane)) <= lossy
