"""The loss and its gradients over many points, in bands that a core's cache holds."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from siren_codec.field.threads import available_cores, shared
from siren_codec.fit.model import Exponents, Model

__all__ = ["Points", "Worker", "worker"]

T = TypeVar("T")

_CPU_ACTIVATIONS = 1 << 19
"""Activations of one layer in a band: 2 MiB in float32. Smaller and larger bands are slower."""
_GPU_ACTIVATIONS = 1 << 26


@dataclass(frozen=True)
class Points:
    """Where a picture is sampled and what it is there."""

    inputs: Tensor
    """(2, points) unit coordinates."""
    target: Tensor
    """(channels, points) samples in [-1, 1]."""

    @property
    def count(self) -> int:
        """The number of points."""
        return self.target.shape[1]

    def take(self, index: Tensor) -> "Points":
        """Return the points of an index."""
        return Points(self.inputs[:, index], self.target[:, index])


class Worker:
    """Computes the mean squared error of a model, and its gradients, band by band.

    On a CPU each core takes whole bands, single-threaded: that is faster than to split each small
    product between the cores, and, summed in the order of the bands, as repeatable.
    """

    def __init__(self, device: str, pool: ThreadPoolExecutor | None) -> None:
        self.device = device
        self._pool = pool

    def backward(self, model: Model, points: Points, exponents: Exponents | None = None) -> float:
        """Set the gradients of the model's layers and return the mean squared error.

        It is not a number where a gradient is not finite.
        """

        def band(part: slice) -> tuple[Tensor, tuple[Tensor, ...]]:
            loss = _squared_error(model, points, part, exponents) / points.target.numel()
            return loss.detach(), torch.autograd.grad(loss, model.layers)

        results = self._map(band, model, points)
        loss = float(torch.stack([loss for loss, _ in results]).sum())
        for index, layer in enumerate(model.layers):
            layer.grad = torch.stack([gradients[index] for _, gradients in results]).sum(0)
            if not torch.isfinite(layer.grad).all():
                loss = math.nan
        return loss

    @torch.no_grad()
    def error(
        self,
        model: Model,
        points: Points,
        exponents: Exponents | None = None,
        *,
        clip: bool = False,
    ) -> float:
        """Return the mean squared error, if asked for that of samples clipped to their range."""
        losses = self._map(
            lambda part: _squared_error(model, points, part, exponents, clip), model, points
        )
        return float(torch.stack(losses).sum()) / points.target.numel()

    def _map(self, function: Callable[[slice], T], model: Model, points: Points) -> list[T]:
        activations = _CPU_ACTIVATIONS if self._pool else _GPU_ACTIVATIONS
        size = max(1, activations // model.architecture.hidden_features)
        parts = [slice(start, start + size) for start in range(0, points.count, size)]
        return list((self._pool.map if self._pool else map)(function, parts))


@contextmanager
def worker(device: str) -> Iterator[Worker]:
    """Yield the Worker of a device; its threads end with the context."""
    if device != "cpu":
        yield Worker(device, None)
        return
    pool = ThreadPoolExecutor(available_cores(), initializer=_prepare_thread)
    with _one_torch_thread(), pool:
        yield Worker(device, pool)


def _limit_torch() -> Callable[[], object]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    return lambda: torch.set_num_threads(threads)


_one_torch_thread = contextmanager(shared(_limit_torch))


def _prepare_thread() -> None:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)


def _squared_error(
    model: Model, points: Points, part: slice, exponents: Exponents | None, clip: bool = False
) -> Tensor:
    outputs = model(points.inputs[:, part], exponents)
    if clip:
        outputs = outputs.clamp(-1, 1)
    return (outputs - points.target[:, part]).square().sum()
