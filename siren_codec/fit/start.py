"""Where a fit begins: the networks, and the grids."""

import math

import torch
from torch import Tensor

from siren_codec.field import Architecture, PriorName
from siren_codec.fit import analysis
from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model, columns_of
from siren_codec.stream import prior as priors

__all__ = ["grids", "networks", "siren"]


def networks(
    architecture: Architecture, prior: PriorName | None, *, seed: int, device: str
) -> Model:
    """Return the networks that a fit begins with: those of a prior, or random ones."""
    expected = priors.expected(prior, architecture.channels)
    if expected is None:
        return siren(architecture, seed=seed, device=device)
    return Model.of_prior(architecture, expected, device)


@torch.no_grad()
def grids(
    model: Model,
    latents: Latents,
    samples: Tensor,
    *,
    lambda_: float,
    prior: PriorName | None = None,
    refine: bool = True,
) -> None:
    """Begin with what the pyramid makes of a picture; with a prior, its network may refine that.

    `samples` are (channels, height, width) in [-1, 1], `lambda_` the price of a bit per pixel over
    [0, 1]. Without a prior the columns of the SIREN's first layer, which begin with one
    direction for each colour, take the quantisation steps in.
    """
    features = model.architecture.features
    if prior is None:
        steps = torch.tensor(analysis.base_steps(features, lambda_)).to(samples)
        model.matrices[0][:, 2:-1] *= steps
        found = analysis.scaled(analysis.pyramid(samples, features), 1 / steps)
    else:
        network = analysis.load(prior.id, samples.device.type)
        colours = analysis.colours_of(samples)
        found = network.scaled(analysis.pyramid(colours, features), prior.quality)
        if refine:
            found = network.in_parts(colours, found, prior.quality)
    for level, values in zip(latents.levels(), found, strict=True):
        level.copy_(values)
    analysis.forget()


def siren(architecture: Architecture, *, seed: int, device: str) -> Model:
    """Return a SIREN initialised as its paper does (Sitzmann et al. 2020, section 3.2).

    Weights are uniform: in +-1/n for the first layer of n inputs, in +-sqrt(6/n)/omega_0 for the
    others, and 0 for the bypass. The paper leaves the biases to torch's default for linear layers,
    +-1/sqrt(n). The context network, a ReLU one, begins in +-sqrt(6/n) (He et al. 2015, arXiv
    1502.01852) without biases, its last layer close to 0: a Laplace of mean 0 and scale 1.
    """
    generator = torch.Generator().manual_seed(seed)
    matrices = []
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        fan_in = architecture.hidden_features if index else n_in
        weight_bound = math.sqrt(6 / fan_in) / architecture.omega_0 if index else 1 / n_in
        bounds = torch.zeros(n_in + 1)
        bounds[:fan_in], bounds[-1] = weight_bound, 1 / math.sqrt(fan_in)
        uniform = torch.rand(n_out, n_in + 1, generator=generator) * 2 - 1
        matrices.append((uniform * bounds).to(device))
    if architecture.grids:
        _share_directions(architecture, matrices[0], generator)
    columns = columns_of(architecture)[len(matrices) :]
    for index, ((n_out, n_in), width) in enumerate(
        zip(architecture.context_shapes, columns, strict=True)
    ):
        biases = architecture.grids if index == 0 else 1
        fan_in = architecture.context_features if index else n_in
        bound = math.sqrt(6 / fan_in) * (0.1 if index == 2 else 1)
        matrix = torch.zeros(n_out, width + biases)
        matrix[:, :fan_in] = (torch.rand(n_out, fan_in, generator=generator) * 2 - 1) * bound
        matrices.append(matrix.to(device))
    return Model(architecture, matrices)


def _share_directions(
    architecture: Architecture, first: Tensor, generator: torch.Generator
) -> None:
    """Give all grids of a colour one direction of +-1/first_omega_0: the SIREN adds them up."""
    size = (architecture.hidden_features, max(architecture.features))
    directions = (torch.rand(size, generator=generator) * 2 - 1) / architecture.first_omega_0
    columns = [feature for count in architecture.features for feature in range(count)]
    first[:, 2:-1] = directions[:, columns].to(first)
