"""A step of the fit, to be timed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from benchmarks.timing import synchronised
from siren_codec.field import Architecture
from siren_codec.fit import rate, start
from siren_codec.fit.engine import engine
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.samples import averaged
from siren_codec.fit.state import State
from siren_codec.fit.step import Step
from siren_codec.fit.step_settings import StepSettings
from siren_codec.options import DEFAULT_QUALITY

__all__ = ["timed_step"]

_STILL = StepSettings(
    weight_rate=1e-6, context_rate=1e-6, latent_rate=1e-6, temperature=0.2, noise=1.5
)
"""Rates so low that whatever is timed stays as it is."""


@contextmanager
def timed_step(
    architecture: Architecture,
    width: int,
    height: int,
    device: str,
    *,
    compiled: bool = True,
    captured: bool = False,
) -> Iterator[Callable[[], object]]:
    """Begin a fit of noise with random grids, and yield its step over all pixels.

    On a CPU it is taken by the `compiled` kernels or by torch; on a GPU it may be `captured` as a
    graph, which leaves out reading the loss back and the steps that renew SOAP's eigenvectors.
    """
    state = _state(architecture, width, height, device)
    samples = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0)) * 2 - 1
    lattice = averaged(samples.to(device), 0, levels=len(state.latents.shapes))
    with engine(device, compiled=compiled) as computing:
        step = Step(state, computing)
        for _ in range(3):
            step(lattice, _STILL)
        if not captured:
            yield synchronised(lambda: step(lattice, _STILL), device)
            return
        settings, graph = step.prepare(_STILL), torch.cuda.CUDAGraph()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            step.take(lattice, settings)
        yield synchronised(graph.replay, device)


def _state(architecture: Architecture, width: int, height: int, device: str) -> State:
    """Return a state of random networks and grids."""
    model = start.siren(architecture, seed=0, device=device)
    latents = Latents.of_picture(architecture, width, height, device)
    generator = torch.Generator().manual_seed(0)
    signs = torch.rand(latents.flat.shape, generator=generator) - 0.5
    size = torch.empty(latents.flat.shape).exponential_(1 / 0.7, generator=generator)
    latents.flat.copy_(signs.sign() * size)
    return State(
        model,
        latents,
        pixels=width * height,
        betas=(0.9, 0.99),
        lambda_=rate.quality_lambda(DEFAULT_QUALITY) if architecture.grids else 0.0,
        noise=Noise(seed=0, device=device) if architecture.grids else None,
    )
