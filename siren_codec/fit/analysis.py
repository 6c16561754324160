"""Pixels -> the grids that a fit begins with: a linear pyramid, and a network that refines it."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, interpolate, pad, pixel_shuffle, pixel_unshuffle

from siren_codec.errors import FitError
from siren_codec.field.spline import cell_centres, level_shape, spline_matrix
from siren_codec.fit.rate import quality_lambda, to_signed
from siren_codec.stream import prior
from siren_codec.stream.prior import SPACING

__all__ = [
    "KNOTS",
    "WIDTHS",
    "Analysis",
    "base_steps",
    "between",
    "colours_of",
    "forget",
    "largest_part",
    "load",
    "path_of",
    "pyramid",
    "scaled",
]

KNOTS = (2, 34, 66, 98)
"""The qualities at which the prior of the grid model holds weights."""

WIDTHS = (32, 48, 48)
"""Channels of the analysis network on levels 1, 2 and all coarser ones, which share weights."""
_SIDE, _AROUND = 2048, 256
"""Pixels a side of a part that the network takes at a time, and beside it: whole cells of all
levels."""
_RIDGE = 0.02
"""Keeps detail that a spline hardly passes from making coefficients that cost much."""


def colours_of(samples: Tensor) -> Tensor:
    """Return (3, height, width) of (1 or 3, height, width) samples: grey is repeated."""
    return samples if len(samples) == 3 else samples.repeat(3, 1, 1)


def pyramid(samples: Tensor, features: Sequence[int]) -> list[Tensor]:
    """Return for each level (features, rows, columns) coefficients, in units of colour.

    `samples` are (channels, height, width) in [-1, 1]. From the coarsest level to the finest each
    level's grids take, by least squares, what the ones before left of the picture's colours; grids
    beyond the number of channels are 0.
    """
    channels, height, width = samples.shape
    rest = (_opponents(channels).to(samples) @ samples.reshape(channels, -1)).view_as(samples)
    found = []
    for level, count in reversed(list(enumerate(features))):
        out = samples.new_zeros(count, *level_shape(width, height, level))
        known = min(count, channels)
        out[:known] = _along_both(_inverse, rest[:known], level, (height, width))
        rest[:known] -= _along_both(_spline, out[:known], level, (height, width))
        found.append(out)
    return found[::-1]


def forget() -> None:
    """Let go of what the pyramid keeps for the next picture of the same size."""
    _inverse.cache_clear()
    _spline.cache_clear()


def between(knots: Tensor, quality: float) -> Tensor:
    """Return what lies at a quality between the KNOTS (the first axis)."""
    position = min(max((quality - KNOTS[0]) / SPACING, 0.0), len(KNOTS) - 1.0)
    low = min(int(position), len(KNOTS) - 2)
    share = position - low
    return (1 - share) * knots[low] + share * knots[low + 1]


def base_steps(features: Sequence[int], lambda_: float) -> list[float]:
    """Return each grid's quantisation step, in units of colour, that theory puts near the optimum.

    `lambda_` is over [0, 1]. The step of level 0 is an orthonormal transform's at high rates, where
    d error / d bpp = -lambda (error = step^2 / (12 * 3 channels), and it falls by a factor of 4 for
    a bit; over [-1, 1]). A coarser level's falls by the square root of its scale, half as fast as
    in such a transform, for the finer levels see its errors too.
    """
    orthonormal = math.sqrt(12 * 3 * to_signed(lambda_) / (2 * math.log(2)))
    steps = []
    for level, count in enumerate(features):
        ((_, _, matrix),) = _spline(8 << level, level)
        norm = math.sqrt(float(matrix.square().sum(dim=0).mean()))
        steps += [orthonormal / norm**2 * 2 ** (level / 2)] * count
    return steps


def scaled(coefficients: Sequence[Tensor], gains: Tensor) -> list[Tensor]:
    """Return levels of grids, each grid multiplied by a gain of its own."""
    parts = torch.split(gains, [len(level) for level in coefficients])
    return [level * part[:, None, None] for level, part in zip(coefficients, parts, strict=True)]


class Analysis:
    """A convolutional network that gives all grids in one pass, for any quality.

    It goes down the levels by strided convolutions, where the pyramid's coefficients join, and up
    again; on each level it adds to the coefficients, in quantisation steps. Every layer's channels
    have gains and biases that depend on the quality.
    """

    def __init__(self, parameters: Mapping[str, Tensor], features: Sequence[int]) -> None:
        self.parameters = dict(parameters)
        self.features = tuple(features)

    @classmethod
    def untrained(cls, features: Sequence[int], *, seed: int) -> "Analysis":
        """Return a network that leaves the pyramid as it is."""
        generator = torch.Generator().manual_seed(seed)
        parameters = {}
        for name, (n_out, n_in, size) in _layers(features).items():
            scale = 0.0 if name.startswith("head") else math.sqrt(2 / (n_in * size * size))
            weight = torch.randn(n_out, n_in, size, size, generator=generator) * scale
            parameters[name] = weight
            parameters[name + ".bias"] = torch.zeros(2, n_out)
            parameters[name + ".gain"] = torch.zeros(n_out)
        for level in range(1, len(features)):
            parameters[f"level{level}"] = torch.zeros(2, _width(level))
        parameters["scale"] = torch.zeros(len(KNOTS), sum(features))
        return cls(parameters, features)

    @classmethod
    def of_file(cls, path: Path, features: Sequence[int], device: str) -> "Analysis":
        """Return the network of a file of arrays. Raises FitError if there is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: torch.from_numpy(file[name]) for name in file.files}
        except OSError as error:
            raise FitError(f"{path}: {error.strerror}") from None
        return cls({name: array.float().to(device) for name, array in arrays.items()}, features)

    def scaled(self, coefficients: Sequence[Tensor], quality: float) -> list[Tensor]:
        """Return a `pyramid` in the quantisation steps of a quality."""
        gains = between(self.parameters["scale"], quality).exp2()
        steps = base_steps(self.features, quality_lambda(quality))
        return scaled(coefficients, gains / torch.tensor(steps).to(gains))

    def __call__(self, colours: Tensor, latents: Sequence[Tensor], quality: float) -> list[Tensor]:
        """Return each level's (features, rows, columns) real latents.

        `colours` are (3, height, width) in [-1, 1], `latents` their pyramid, `scaled`.
        """
        t = (quality - 50) / 32
        latents = [*latents]
        down: list[Tensor] = []
        fine = pixel_unshuffle(_even(torch.cat([colours, torch.asinh(latents[0])])[None]), 2)
        for level, values in enumerate(latents[1:], start=1):
            kind = _kind(level)
            below = self._conv("down0", fine, t) if level == 1 else None
            if below is None:
                below = self._conv(f"down{kind}", _even(down[-1]), t, stride=2)
            hidden = below + self._conv(f"in{kind}", torch.asinh(values[None]), t)
            extra = self.parameters[f"level{level}"]
            down.append(torch.relu_(hidden + (extra[0] + t * extra[1])[:, None, None]))
        above: Tensor | None = None
        for level in reversed(range(1, len(latents))):
            kind = _kind(level)
            hidden = self._conv(f"up{kind}", down[level - 1], t)
            if above is not None:
                rows, columns = hidden.shape[2:]
                coarse = self._conv(f"across{kind}", above, t)
                hidden = hidden + interpolate(coarse, scale_factor=2)[:, :, :rows, :columns]
            above = torch.relu_(hidden)
            latents[level] = latents[level] + self._conv(f"head{level}", above, t)[0]
        assert above is not None
        finest = pixel_shuffle(self._conv("head0", above, t), 2)[0]
        rows, columns = latents[0].shape[1:]
        latents[0] = latents[0] + finest[:, :rows, :columns]
        return latents

    def in_parts(self, colours: Tensor, latents: Sequence[Tensor], quality: float) -> list[Tensor]:
        """Return the same, part by part where the whole would take much memory.

        A part also sees what lies around it, if not as far as the coarsest levels would.
        """
        height, width = colours.shape[1:]
        out = [torch.empty_like(level) for level in latents]
        for top in range(0, height, _SIDE):
            for left in range(0, width, _SIDE):
                first = max(0, top - _AROUND), max(0, left - _AROUND)
                last = min(height, top + _SIDE + _AROUND), min(width, left + _SIDE + _AROUND)
                seen = [
                    values[:, first[0] >> n : -(-last[0] >> n), first[1] >> n : -(-last[1] >> n)]
                    for n, values in enumerate(latents)
                ]
                found = self(colours[:, first[0] : last[0], first[1] : last[1]], seen, quality)
                for n, (values, whole) in enumerate(zip(found, out, strict=True)):
                    part = whole[:, top >> n : top + _SIDE >> n, left >> n : left + _SIDE >> n]
                    y, x = (top - first[0]) >> n, (left - first[1]) >> n
                    part.copy_(values[:, y : y + part.shape[1], x : x + part.shape[2]])
        return out

    def _conv(self, name: str, hidden: Tensor, t: float, stride: int = 1) -> Tensor:
        weight = self.parameters[name]
        bias, gain = self.parameters[name + ".bias"], self.parameters[name + ".gain"]
        weight = weight * (1 + t * gain)[:, None, None, None]
        padding = (weight.shape[2] - 1) // 2
        return conv2d(hidden, weight, bias[0] + t * bias[1], stride=stride, padding=padding)


def largest_part(width: int, height: int) -> int:
    """Return the most pixels of a picture that `Analysis.in_parts` looks at together."""
    most = _SIDE + 2 * _AROUND
    return min(width, most) * min(height, most)


def path_of(id_: int) -> Path:
    """Return where the network that goes with a prior lies."""
    return Path(__file__).parent / f"analysis-{id_}.npz"


@lru_cache(maxsize=2)
def load(id_: int, device: str) -> Analysis:
    """Return the network that goes with a prior. Raises FitError if there is none."""
    return Analysis.of_file(path_of(id_), prior.load(id_).architecture.features, device)


def _kind(level: int) -> int:
    """Return which of the levels that share weights a level belongs to."""
    return min(level, len(WIDTHS)) - 1


def _width(level: int) -> int:
    return WIDTHS[_kind(level)]


def _layers(features: Sequence[int]) -> dict[str, tuple[int, int, int]]:
    """Return each convolution's outputs, inputs and size."""
    found = {"down0": (WIDTHS[0], 4 * (3 + features[0]), 3)}
    for kind, width in enumerate(WIDTHS):
        found[f"in{kind}"] = (width, features[kind + 1], 3)
        if kind:
            found[f"down{kind}"] = (width, WIDTHS[kind - 1], 4)
        found[f"up{kind}"] = (width, width, 3)
        found[f"across{kind}"] = (width, WIDTHS[min(kind + 1, len(WIDTHS) - 1)], 1)
    found["head0"] = (4 * features[0], WIDTHS[0], 3)
    for level, count in enumerate(features[1:], start=1):
        found[f"head{level}"] = (count, _width(level), 3)
    return found


def _even(planes: Tensor) -> Tensor:
    """Return planes with the last row and column repeated where their number is odd."""
    rows, columns = planes.shape[2:]
    return pad(planes, (0, columns % 2, 0, rows % 2), mode="replicate")


def _opponents(channels: int) -> Tensor:
    """Return the (channels, channels) orthonormal colours of grids: luma and chroma first."""
    colours = torch.eye(channels)
    if channels >= 3:
        rows = [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]]
        colours[:3, :3] = torch.nn.functional.normalize(torch.tensor(rows))
    return colours


_Banded = tuple[tuple[slice, slice, Tensor], ...]
"""A matrix in parts: rows, the columns that they see, and what stands there."""
_PART = 1024
"""Pixels of a part."""
_MARGIN = 24
"""Cells on each side of a part whose pixels have a say in its coefficients: the others' is nil."""


def _along_both(
    matrix: Callable[[int, int], _Banded], planes: Tensor, level: int, size: tuple[int, int]
) -> Tensor:
    """Return `matrix` of a (height, width) applied to the rows and the columns of planes."""
    height, width = size
    down, across = matrix(height, level), matrix(width, level)
    planes = torch.cat([part.to(planes) @ planes[:, seen] for _, seen, part in down], dim=1)
    return torch.cat([planes[:, :, seen] @ part.to(planes).T for _, seen, part in across], dim=2)


@lru_cache(maxsize=64)
def _spline(length: int, level: int) -> _Banded:
    """Return the matrix that takes cells to the pixels of a length."""
    cells = level_shape(length, 1, level)[1]
    pixels = cell_centres(0, length, length)
    known: dict[tuple[int, ...], Tensor] = {}
    found = []
    for start in range(0, length, _PART):
        part = slice(start, min(start + _PART, length))
        seen, matrix = spline_matrix(pixels[part], level, cells)
        alike = (*matrix.shape, start - (seen.start << level), seen.stop == cells)
        found.append((part, seen, known.setdefault(alike, torch.from_numpy(matrix))))
    return tuple(found)


@lru_cache(maxsize=64)
def _inverse(length: int, level: int) -> _Banded:
    """Return the least-squares inverse: the matrix that takes pixels to cells."""
    cells = level_shape(length, 1, level)[1]
    pixels = cell_centres(0, length, length)
    step = max(1, _PART >> level)
    known: dict[tuple[int, ...], Tensor] = {}
    found = []
    for start in range(0, cells, step):
        stop = min(start + step, cells)
        first, last = max(0, start - _MARGIN) << level, min((stop + _MARGIN) << level, length)
        around, matrix = spline_matrix(pixels[first:last], level, cells)
        alike = (*matrix.shape, start - around.start, stop - start, first > 0, last < length)
        if alike not in known:
            inverse = _ridge_inverse(torch.from_numpy(matrix))
            known[alike] = inverse[start - around.start : stop - around.start].clone()
        found.append((slice(start, stop), slice(first, last), known[alike]))
    return tuple(found)


def _ridge_inverse(matrix: Tensor) -> Tensor:
    gram = matrix.T @ matrix
    ridge = _RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    inverse: Tensor = torch.linalg.solve(gram + ridge, matrix.T)
    return inverse
