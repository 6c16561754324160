"""The latent grids while they are fitted: soft rounding and noise."""

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.stream.latents import shapes

__all__ = ["Latents", "Noise", "Softener"]

_CHUNK = 1 << 17
_POOL = 1 << 20

Map = Callable[[Callable[[slice], object], Iterable[slice]], Iterable[object]]


class Latents:
    """All grids in one flat tensor, finest level first, and each level's view of it."""

    def __init__(self, architecture: Architecture, width: int, height: int, device: str) -> None:
        self.shapes = shapes(architecture, width, height)
        sizes = [math.prod(shape) for shape in self.shapes]
        self.starts = [sum(sizes[:level]) for level in range(len(sizes) + 1)]
        self.flat = torch.zeros(self.starts[-1], device=device)

    def levels(self, flat: Tensor | None = None) -> list[Tensor]:
        """Return each level's (features, rows, columns), of another flat tensor if given."""
        flat = self.flat if flat is None else flat
        return [
            flat[start:stop].view(shape)
            for start, stop, shape in zip(self.starts, self.starts[1:], self.shapes, strict=False)
        ]

    def chunks(self, first_level: int = 0) -> list[tuple[int, slice]]:
        """Return (level, part of the flat tensor) from a level on."""
        return [
            (level, slice(start, min(start + _CHUNK, self.starts[level + 1])))
            for level in range(first_level, len(self.shapes))
            for start in range(self.starts[level], self.starts[level + 1], _CHUNK)
        ]


class Noise:
    """Noise on (-1/2, 1/2), from Kumaraswamy's distribution around 0 (C3, arXiv 2312.02753).

    Its density is a b x^(a - 1) (1 - x^a)^(b - 1) on (0, 1), with b such that the mode is 1/2:
    a = 1 is uniform. Numbers come from a pool, each time from another place in it.
    """

    def __init__(self, *, seed: int, device: str) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        ranks = torch.randperm(_POOL, generator=self.generator)
        self._uniform = ((ranks + 0.5) / _POOL).to(device)
        self._pool = self._uniform
        self.now = math.nan
        """The shape that was chosen last."""

    def shape(self, a: float) -> None:
        """Choose the distribution; changes of less than 2% are not followed."""
        if abs(a - self.now) < 0.02 * a:
            return
        self.now = a
        b = (2**a * (a - 1) + 1) / a
        self._pool = (1 - (1 - self._uniform) ** (1 / b)) ** (1 / a) - 0.5

    def places(self, count: int) -> list[int]:
        """Draw where in the pool to begin, `count` times."""
        places: list[int] = torch.randint(
            _POOL - _CHUNK, (count,), generator=self.generator
        ).tolist()
        return places

    def take(self, place: int, count: int) -> Tensor:
        """Return so many numbers from a place on."""
        return self._pool[place : place + count]


class Softener:
    """Makes of the real latents what the fit sees: rounded softly, with noise, and once more.

    s(y) = floor(y) + 1/2 + tanh((y - floor(y) - 1/2) / T) / (2 tanh(1 / (2 T))) (Agustsson and
    Theis 2020, arXiv 2006.09952); the fit sees s(s(y) + noise), as in C3 (arXiv 2312.02753).
    """

    def __init__(self, latents: Latents, noise: Noise) -> None:
        self.latents = latents
        self.noise = noise
        self.soft = torch.zeros_like(latents.flat)
        self.slope = torch.zeros_like(latents.flat)

    def __call__(self, map_: Map, temperature: float, shape: float, first_level: int) -> None:
        """Set `soft` and its derivative `slope` from a level on."""
        self.noise.shape(shape)
        chunks = [part for _, part in self.latents.chunks(first_level)]
        places = dict(zip((c.start for c in chunks), self.noise.places(len(chunks)), strict=True))

        @torch.no_grad()
        def soften(part: slice) -> None:
            noise = self.noise.take(places[part.start], part.stop - part.start)
            once, slope_once = _soft_round(self.latents.flat[part], temperature)
            twice, slope = _soft_round(once.add_(noise), temperature)
            self.soft[part] = twice
            torch.mul(slope_once, slope, out=self.slope[part])

        list(map_(soften, chunks))


def _soft_round(values: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the softly rounded values and the derivative."""
    gain = 0.5 / math.tanh(0.5 / temperature)
    base = values.floor()
    curve = (values - base).sub_(0.5).mul_(1 / temperature).tanh_()
    slope = curve.square().neg_().add_(1).mul_(gain / temperature)
    return curve.mul_(gain).add_(base).add_(0.5), slope
