"""Where a fit begins."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.field.kernel import cell_centres, level_shape, spline_matrix
from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model, columns_of

__all__ = ["analyse", "begin", "siren"]


def begin(architecture: Architecture, *, seed: int, device: str) -> Model:
    """Return the networks that a fit begins with.

    Where the architecture allows they are those of a file `start-*.npz`, learned over many
    pictures (benchmarks/train_start.py); else random ones. The columns of the SIREN's first layer
    that belong to grids are in units of colour until `analyse` takes the grids' steps into them.
    """
    model = siren(architecture, seed=seed, device=device)
    for index, values in _learned(architecture).items():
        model.matrices[index].detach().copy_(torch.tensor(values))
    return model


def _learned(architecture: Architecture) -> dict[int, npt.NDArray[np.float32]]:
    """Return those learned matrices that fit an architecture, by their index in a Model."""
    found: dict[int, npt.NDArray[np.float32]] = {}
    if architecture.grids:
        for path in sorted(_FOLDER.glob("start-*.npz")):
            with np.load(path, allow_pickle=False) as file:
                known = {name: file[name] for name in file.files}
            grids = _grids_like(architecture, known["features"].tolist())
            found |= _siren_of(known, architecture, grids)
            found |= _context_of(known, architecture, grids)
    return found


_FOLDER = Path(__file__).parent


def _siren_of(
    known: Mapping[str, npt.NDArray[Any]], architecture: Architecture, grids: list[int]
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the learned SIREN, if it is of the architecture's kind."""
    columns = [0, 1, *(2 + grid for grid in grids), -1]
    layers = [known["siren_0"][:, columns], known["siren_1"], known["siren_2"]]
    shapes = [(n_out, n_in + 1) for n_out, n_in in architecture.shapes]
    omegas = [architecture.first_omega_0, architecture.omega_0]
    if [layer.shape for layer in layers] != shapes or omegas != known["omegas"].tolist():
        return {}
    return dict(enumerate(layers))


def _context_of(
    known: Mapping[str, npt.NDArray[Any]], architecture: Architecture, grids: list[int]
) -> dict[int, npt.NDArray[np.float32]]:
    """Return the learned context network, if it is of the architecture's kind."""
    first = known["context_0"]
    neighbours = first.shape[1] - int(known["features"].sum())
    if (neighbours, len(first)) != (architecture.neighbours, architecture.context_features):
        return {}
    columns = [*range(neighbours), *(neighbours + grid for grid in grids)]
    layers = [first[:, columns], known["context_1"], known["context_2"]]
    return {len(architecture.shapes) + index: layer for index, layer in enumerate(layers)}


def _grids_like(architecture: Architecture, features: Sequence[int]) -> list[int]:
    """Return for each grid the index of that of its level and place, or of the one nearest to it,
    among others of so many `features` a level.
    """
    starts = [sum(features[:level]) for level in range(len(features))]
    found = []
    for level, count in enumerate(architecture.features):
        near = min(level, len(features) - 1)
        found += [starts[near] + min(feature, features[near] - 1) for feature in range(count)]
    return found


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
    if architecture.grids:
        _share_directions(architecture, matrices[0], generator)
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


def _share_directions(
    architecture: Architecture, first: Tensor, generator: torch.Generator
) -> None:
    """Give all grids of a colour one direction of +-1/first_omega_0: the SIREN adds them up."""
    size = (architecture.hidden_features, max(architecture.features))
    directions = (torch.rand(size, generator=generator) * 2 - 1) / architecture.first_omega_0
    columns = [feature for count in architecture.features for feature in range(count)]
    first[:, 2:-1] = directions[:, columns].to(first)


@torch.no_grad()
def analyse(model: Model, latents: Latents, samples: Tensor, lambda_: float) -> Tensor:
    """Begin with what a linear pyramid makes of a picture, instead of with empty grids.

    `samples` are (channels, height, width) in [-1, 1]. From the coarsest level to the finest each
    level's grids take, by least squares, what the ones before left of the picture's colours. The
    quantisation step of level 0 is that of an orthonormal transform at high rates; a coarser
    level's falls by the square root of its scale, half as fast as in such a transform, for the
    finer levels see its errors too. The columns of the SIREN's first layer, which begin with one
    direction for each colour, take the steps in.
    """
    architecture = model.architecture
    channels, height, width = samples.shape
    rest = _colours(channels).to(samples) @ samples.reshape(channels, -1)
    rest = rest.reshape(samples.shape)
    first = model.matrices[0]
    steps = torch.empty(architecture.grids)
    column = architecture.inputs
    for level, grids in reversed(list(enumerate(latents.levels()))):
        column -= len(grids)
        known = min(len(grids), channels)
        down = _spline(height, level).to(samples)
        across = _spline(width, level).to(samples)
        step = _step(lambda_, channels) / (_norm(down) * _norm(across)) * 2 ** (level / 2)
        values = _projection(down) @ rest[:known] @ _projection(across).T
        grids[:known] = values / step
        rest[:known] -= down @ values @ across.T
        first[:, column : column + len(grids)] *= step
        steps[column - 2 : column - 2 + len(grids)] = step
    return steps


_RIDGE = 0.02
"""Keeps detail that a spline hardly passes from making coefficients that cost much."""


def _step(lambda_: float, channels: int) -> float:
    """Return the step of an orthonormal coefficient of one colour where d error / d bpp = lambda.

    error = step^2 / (12 channels), and it falls by a factor of 4 for a bit.
    """
    return math.sqrt(12 * channels * lambda_ / (2 * math.log(2)))


def _colours(channels: int) -> Tensor:
    """Return the (channels, channels) orthonormal colours of grids: luma and chroma first."""
    colours = torch.eye(channels)
    if channels >= 3:
        rows = [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]
        colours[:3, :3] = torch.nn.functional.normalize(torch.tensor(rows))
    return colours


def _spline(length: int, level: int) -> Tensor:
    cells = level_shape(length, 1, level)[1]
    pixels = cell_centres(0, length, length)
    _, matrix = spline_matrix(pixels, level, cells)
    return torch.from_numpy(matrix)


def _norm(matrix: Tensor) -> float:
    """Return the norm of a cell's spline."""
    return math.sqrt(float(matrix.square().sum(dim=0).mean()))


def _projection(matrix: Tensor) -> Tensor:
    """Return the (cells, points) least-squares inverse of a (points, cells) matrix."""
    gram = matrix.T.double() @ matrix.double()
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    inverse: Tensor = torch.linalg.solve(gram + ridge.to(gram), matrix.T.double())
    return inverse.to(matrix)
