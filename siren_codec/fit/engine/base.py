"""What an engine is asked, and what it answers."""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.rate import to_unit
from siren_codec.fit.soap import Adam
from siren_codec.fit.step_settings import StepSettings

__all__ = ["Engine", "Grids", "Loss"]

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
        """In dB; not a number where the error is none."""
        if not self.error > 0:
            return math.inf if self.error == 0 else math.nan
        return -10 * math.log10(to_unit(self.error))

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

    def __init__(self, device: str, pool: ThreadPoolExecutor | None, threads: int = 1) -> None:
        self.device = device
        self._pool = pool
        self._threads = threads

    @abstractmethod
    def prepared(self, settings: StepSettings) -> StepSettings:
        """Return a step's settings in the form that this engine's other methods take."""

    @abstractmethod
    def soften(
        self,
        latents: Latents,
        noise: Noise,
        settings: StepSettings,
        first: int,
        soft: Tensor,
        slope: Tensor,
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

        A lattice of some stripes stands for the picture: only the symbols that begin in these are
        counted, and so many times as the picture is larger.

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
        self,
        adam: Adam,
        gradients: Sequence[Tensor],
        slopes: Sequence[Tensor],
        settings: StepSettings,
    ) -> None:
        """Take a step of Adam on the grids, along gradients times slopes.

        These are of the last tensors of `adam`, as many as there are.
        """

    def map(self, function: Callable[[S], T], items: Iterable[S]) -> list[T]:
        """Return the function of each item, in order."""
        found: list[T] = []
        self.run(function, items, found.append)
        return found

    def run(
        self, function: Callable[[S], T], items: Iterable[S], take: Callable[[T], object]
    ) -> None:
        """Give the function of each item to `take`, in order, in whichever thread has it next."""
        work = _OrderedWork(function, items, take)
        if not self._pool:
            work.do()
            return
        working = [self._pool.submit(work.do) for _ in range(self._threads)]
        # All of them, so that after a failure nobody is left who would still take a result.
        wait(working)
        for future in working:
            future.result()


class _OrderedWork(Generic[S, T]):
    """Items that threads take as they come, and results that are taken in the items' order.

    A thread takes its next item without waiting for anybody: to wake one costs as much as a small
    part takes.
    """

    def __init__(
        self, function: Callable[[S], T], items: Iterable[S], take: Callable[[T], object]
    ) -> None:
        self._function = function
        self._take = take
        # Iterators of lists, and their enumeration, can be shared by threads.
        self._items = enumerate(list(items))
        self._done: dict[int, T] = {}
        self._next = 0
        self._taking = threading.Lock()
        self._room = threading.Semaphore(_AHEAD)
        self._failed = False

    def do(self) -> None:
        """Take items until there are none left, or one has failed."""
        try:
            while True:
                # First, so that the next one to be taken has room whatever the others do.
                self._room.acquire()
                found = next(self._items, None)
                if found is None or self._failed:
                    self._room.release()
                    return
                index, item = found
                self._done[index] = self._function(item)
                self._hand_over()
        except BaseException:
            self._failed = True
            self._room.release(_AHEAD)
            raise

    def _hand_over(self) -> None:
        """Take what is next, unless another thread is about to."""
        while self._next in self._done and self._taking.acquire(blocking=False):
            try:
                while self._next in self._done:
                    self._take(self._done.pop(self._next))
                    self._next += 1
                    self._room.release()
            finally:
                self._taking.release()
