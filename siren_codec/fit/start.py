"""Where a fit begins."""

import math

import torch

from siren_codec.field import Architecture
from siren_codec.fit.model import Model

__all__ = ["siren"]


def siren(architecture: Architecture, *, seed: int, device: str) -> Model:
    """Return a SIREN initialised as its paper does (Sitzmann et al. 2020, section 3.2).

    Weights are uniform: in +-1/n for the first layer of n inputs, in +-sqrt(6/n)/omega_0 for the
    others. The paper leaves the biases to torch's default for linear layers, +-1/sqrt(n).
    """
    generator = torch.Generator().manual_seed(seed)
    layers = []
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        weight_bound = 1 / n_in if index == 0 else math.sqrt(6 / n_in) / architecture.omega_0
        bounds = torch.tensor([weight_bound] * n_in + [1 / math.sqrt(n_in)])
        uniform = torch.rand(n_out, n_in + 1, generator=generator) * 2 - 1
        layers.append((uniform * bounds).to(device))
    return Model(architecture, layers)
