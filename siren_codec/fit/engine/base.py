"""What an engine is asked, and what it answers."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import torch
from torch import Tensor

from siren_codec.fit.course import Settings
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.optimiser import Adam
from siren_codec.fit.rate import to_unit

__all__ = ["Engine", "Grids", "Loss", "finite"]

S = TypeVar("S")
T = TypeVar("T")

_AHEAD = 32
"""Parts whose results may wait for their turn: they take memory."""


@dataclass(frozen=True)
class Loss:
    """What a fit minimises: the mean squared error over [-1, 1], plus a price on the bits."""

    error: float
    """Not a number where a gradient is not finite."""
    bits: float
    """Of the latent grids; their weights come on top."""
    price: float = 0.0

    @property
    def objective(self) -> float:
        """Error + price * bits"""
        return self.error + self.price * self.bits

    @property
    def psnr(self) -> float:
        """In dB."""
        error = to_unit(self.error)
        return math.inf if error == 0 else -10 * math.log10(error)

    @property
    def j(self) -> float:
        """1000 (MSE + lambda bpp) over [0, 1], the grids' bits alone."""
        return 1000 * to_unit(self.objective)


@dataclass(frozen=True)
class Grids:
    """The latent grids as the loss sees them, whether noisy or rounded."""

    latents: Latents
    """Whose shapes they have."""
    values: Tensor
    """All of them, flat."""
    first_level: int = 0
    """Levels below it count as 0, and cost nothing."""
    price: float = 0.0
    """What a bit is worth, in mean squared error."""
    gradient: Tensor | None = None
    """Where the gradient goes, flat; None leaves the grids alone."""

    @classmethod
    def of(cls, levels: Sequence[Tensor], price: float = 0.0) -> "Grids":
        """Return grids that stay as they are, given each level's (features, rows, columns)."""
        latents = Latents.of(levels)
        return cls(latents, latents.flat, 0, price)


class Engine(ABC):
    """Computes the loss of a model, its gradients, and what goes with the grids, part by part.

    Parts are tiles of the picture and bands of the grids. On a CPU each core takes whole parts,
    single-threaded: that is faster than to split each small product between the cores, and,
    summed in the order of the parts, the same for any number of threads.
    """

    def __init__(self, device: str, pool: ThreadPoolExecutor | None) -> None:
        self.device = device
        self._pool = pool

    @abstractmethod
    def settings(self, now: Settings) -> Settings:
        """Return a step's settings in the form that this engine's other methods take."""

    @abstractmethod
    def soften(
        self, latents: Latents, noise: Noise, now: Settings, first: int, soft: Tensor, slope: Tensor
    ) -> None:
        """Set what the loss sees of the latents from level `first` on, and its derivative.

        The noise of each chunk begins at a place that has been drawn.
        """

    @abstractmethod
    def backward(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None = None,
    ) -> Tensor:
        """Set the gradients of the model's matrices and of the grids.

        Return a (2,) tensor, still on the device, of a Loss's error and bits.
        """

    @abstractmethod
    def loss(
        self,
        model: Model,
        lattice: Lattice,
        grids: Grids,
        exponents: Exponents | None = None,
        *,
        clip: bool = False,
        tiles: int | None = None,
        distortion: bool = True,
        rate: bool = True,
    ) -> Loss:
        """Return the loss, if asked for with samples clipped to their range, or a part of it.

        With `tiles` about so many of the picture, and as large a share of the grids, stand for all.
        """

    @abstractmethod
    def move(
        self, adam: Adam, gradients: Sequence[Tensor], slopes: Sequence[Tensor], now: Settings
    ) -> None:
        """Take a step of Adam on the grids, along gradients times slopes.

        These are of the last tensors of `adam`, as many as there are.
        """

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Return the function of each item, in order."""
        return list(self.each(function, items))

    def each(self, function: Callable[[S], T], items: Iterable[S]) -> Iterator[T]:
        """Yield the function of each item, in order, with no more than _AHEAD of them waiting."""
        if not self._pool:
            yield from map(function, items)
            return
        items = iter(items)
        waiting = deque(self._pool.submit(function, item) for item in islice(items, _AHEAD))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(self._pool.submit(function, item) for item in islice(items, 1))
            yield result


def finite(matrices: Sequence[Tensor]) -> Tensor:
    """Tell, on the device, whether the gradients of matrices are; set them to 0 if not.

    Of their squares: SOAP takes the eigenvectors of G G^T, whose entries these bound.
    """
    gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
    total = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    fine = torch.isfinite(total)
    for gradient in gradients:
        gradient.copy_(torch.where(fine, gradient, torch.zeros_like(gradient)))
    return fine
