"""The latent grids while they are fitted: real numbers, noise, and what the loss sees of them.

They are rounded softly, s(y) = floor(y) + 1/2 + tanh((y - floor(y) - 1/2) / T) / (2 tanh(1 / 2 T))
(Agustsson and Theis 2020, arXiv 2006.09952); the loss sees s(s(y) + noise), as in C3 (arXiv
2312.02753), but with Gaussian noise (docs/EXPERIMENTS.md).
"""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from siren_codec.field import Architecture
from siren_codec.stream.latents import shapes

__all__ = ["Latents", "Noise"]

_CHUNK = 1 << 17
_POOL = 1 << 20


class Latents:
    """All grids in one flat tensor, finest level first, and each level's view of it."""

    def __init__(self, shapes_: Sequence[tuple[int, int, int]], device: str) -> None:
        """Begin with zeros, given each level's (features, rows, columns)."""
        self.shapes = tuple(shapes_)
        sizes = [math.prod(shape) for shape in self.shapes]
        self.starts = [sum(sizes[:level]) for level in range(len(sizes) + 1)]
        self.flat = torch.zeros(self.starts[-1], device=device)

    @classmethod
    def of_picture(
        cls, architecture: Architecture, width: int, height: int, device: str
    ) -> "Latents":
        """Return the grids of a picture, all 0."""
        return cls(shapes(architecture, width, height), device)

    @classmethod
    def of(cls, levels: Sequence[Tensor]) -> "Latents":
        """Return the grids of each level's (features, rows, columns) values."""
        device = levels[0].device.type if levels else "cpu"
        found = cls([(len(x), x.shape[1], x.shape[2]) for x in levels], device)
        for level, values in zip(found.levels(), levels, strict=True):
            level.copy_(values)
        return found

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
    """Normal numbers from a pool, from places in it that are drawn.

    Each draw is used twice, the second time with the other sign: what noise does to gradients to
    the first order then cancels out (antithetic variates, Hammersley and Morton 1956).
    """

    def __init__(self, *, seed: int, device: str) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.pool = torch.randn(_POOL, generator=self.generator).to(device)
        self._range = torch.arange(_CHUNK, device=device)
        self.places = torch.zeros(0, dtype=torch.int64, device=device)
        """Where in the pool each chunk begins that takes part in a step."""
        self._used = 0
        """Steps since places were drawn."""

    def next(self, count: int, turns: int = 1) -> int:
        """Let `places` be those of `count` chunks in the next step; return the numbers' sign.

        Where parts of a picture take `turns`, it stays for as long as each has one.
        """
        if self._used >= 2 * turns or len(self.places) < count:
            self._used = 0
        if not self._used:
            self._draw(count)
        self._used += 1
        return 1 if self._used <= turns else -1

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next numbers depend on."""
        return {
            "noise": self.generator.get_state(),
            "noise.places": self.places,
            "noise.used": torch.tensor(self._used),
        }

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        self.generator.set_state(state["noise"].cpu())
        self.places = state["noise.places"].to(self.pool.device)
        self._used = int(state["noise.used"])

    def _draw(self, count: int) -> None:
        drawn = torch.randint(_POOL - _CHUNK, (count,), generator=self.generator)
        if len(self.places) < count:
            self.places = torch.zeros(count, dtype=torch.int64, device=self.pool.device)
        self.places[:count].copy_(drawn)

    def take(self, index: int, count: int) -> Tensor:
        """Return so many numbers, of a chunk at most, from a place on, which is not read back."""
        return torch.take(self.pool, self.places[index] + self._range[:count])
