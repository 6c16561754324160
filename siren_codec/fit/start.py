"""Where a fit begins."""

import math

import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.field.kernel import cell_centres, level_shape, spline_matrix
from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model, columns_of

__all__ = ["analyse", "siren"]


def siren(architecture: Architecture, *, seed: int, device: str) -> Model:
    """Return a SIREN initialised as its paper does (Sitzmann et al. 2020, section 3.2).

    Weights are uniform: in +-1/n for the first layer of n inputs, in +-sqrt(6/n)/omega_0 for the
    others. The paper leaves the biases to torch's default for linear layers, +-1/sqrt(n). The
    context network, a ReLU one, begins in +-sqrt(6/n) (He et al. 2015, arXiv 1502.01852) without
    biases, its last layer close to 0: a Laplace of mean 0 and scale 1.
    """
    generator = torch.Generator().manual_seed(seed)
    matrices = []
    for index, (n_out, n_in) in enumerate(architecture.shapes):
        weight_bound = 1 / n_in if index == 0 else math.sqrt(6 / n_in) / architecture.omega_0
        bounds = torch.tensor([weight_bound] * n_in + [1 / math.sqrt(n_in)])
        uniform = torch.rand(n_out, n_in + 1, generator=generator) * 2 - 1
        matrices.append((uniform * bounds).to(device))
    columns = columns_of(architecture)[len(matrices) :]
    for index, ((n_out, n_in), width) in enumerate(
        zip(architecture.context_shapes, columns, strict=True)
    ):
        biases = architecture.grids if index == 0 else 1
        bound = math.sqrt(6 / n_in) * (0.1 if index == 2 else 1)
        matrix = torch.zeros(n_out, width + biases)
        matrix[:, :width] = (torch.rand(n_out, width, generator=generator) * 2 - 1) * bound
        matrices.append(matrix.to(device))
    return Model(architecture, matrices)


@torch.no_grad()
def analyse(model: Model, latents: Latents, samples: Tensor, lambda_: float, alpha=0.5, kappa=1.0) -> None:
    """Begin with what a linear pyramid makes of a picture, instead of with empty grids.

    `samples` are (channels, height, width) in [-1, 1]. From the coarsest level to the finest each
    level's grids take, by least squares, what the ones before left of the picture's principal
    colours, in steps near the optimum at high rates: all coefficients of an orthonormal transform
    have the same step, and a spline of level l has 4^l times the energy of one of level 0. The
    SIREN's first layer begins by adding the levels of each colour up again, its last one by least
    squares.
    """
    architecture = model.architecture
    channels, height, width = samples.shape
    colours = _principal_colours(samples)
    rest = torch.einsum("kc,chw->khw", colours, samples - _means(samples))
    step = math.sqrt(12 * channels * lambda_ / (2 * math.log(2))) / _SPLINE_NORM
    mix = torch.rand(
        architecture.hidden_features,
        channels,
        generator=torch.Generator().manual_seed(1),
    ).to(samples) * 2 - 1
    first = model.matrices[0]
    levels = latents.levels()
    column = architecture.inputs
    for level in reversed(range(len(levels))):
        count = len(levels[level])
        column -= count
        gain = kappa * step / 2**(alpha*level)
        known = min(count, channels)
        if known:
            down = _spline(height, level).to(samples)
            across = _spline(width, level).to(samples)
            values = _projection(down) @ rest[:known] @ _projection(across).T
            levels[level][:known] = values / gain
            rest[:known] -= down @ values @ across.T
        for feature in range(known):
            direction = mix[:, feature] * _REACH / architecture.first_omega_0
            first[:, column + feature] = direction * gain


_SPLINE_NORM = 0.4794
"""The norm of the cubic B-spline of two dimensions on level 0: sqrt(151/315)^2."""
_REACH = 1.0
_RIDGE = 0.02


def _means(samples: Tensor) -> Tensor:
    return samples.mean(dim=(1, 2), keepdim=True)


def _principal_colours(samples: Tensor) -> Tensor:
    """Return the (channels, channels) principal directions of a picture's detail, as rows."""
    channels = len(samples)
    parts = [
        (samples[:, 1:] - samples[:, :-1]).reshape(channels, -1),
        (samples[:, :, 1:] - samples[:, :, :-1]).reshape(channels, -1),
    ]
    detail = torch.cat(parts, dim=1).double()
    vectors = torch.linalg.eigh(detail @ detail.T)[1].flip(1).T
    signs = torch.sign(vectors.sum(dim=1, keepdim=True) + 1e-9)
    return (vectors * signs).to(samples)


def _spline(length: int, level: int) -> Tensor:
    cells = level_shape(length, 1, level)[1]
    pixels = cell_centres(0, length, length)
    _, matrix = spline_matrix(pixels, level, cells)
    return torch.from_numpy(matrix)


def _projection(matrix: Tensor) -> Tensor:
    """Return the (cells, points) least-squares inverse of a (points, cells) matrix."""
    gram = matrix.T.double() @ matrix.double()
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.linalg.solve(gram + ridge.to(gram), matrix.T.double()).to(matrix)
