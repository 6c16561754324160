"""Steps of the fit, and their parts, to be timed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

from benchmarks.timing import Actions, Row, finished, in_turn
from siren_codec.field import Architecture
from siren_codec.fit import rate, start
from siren_codec.fit.engine import Grids, engine
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.samples import averaged
from siren_codec.fit.state import State
from siren_codec.fit.step import Step
from siren_codec.fit.step_settings import StepSettings
from siren_codec.options import DEFAULT_QUALITY

__all__ = ["STEP", "begun", "compared", "name"]

STEP = "step"
_NOW = StepSettings(
    weight_rate=1e-6, context_rate=1e-6, latent_rate=1e-6, temperature=0.2, noise=1.5
)
"""Rates so low that whatever is timed stays as it is."""


def compared(architecture: Architecture, width: int, height: int, runs: int) -> list[Row]:
    """Time a step on the CPU, and its parts, by torch and by the kernels in turn."""
    of_step = name(architecture, width, height)
    with ExitStack() as stack:
        found = {
            by: stack.enter_context(begun(architecture, width, height, "cpu", compiled=compiled))
            for by, compiled in (("torch", False), ("kernels", True))
        }
        rows: list[Row] = []
        for what in found["kernels"]:
            medians, least = in_turn({by: actions[what] for by, actions in found.items()}, runs)
            rows += [
                {"what": f"fit {of_step}: {what}, {by}", "median": medians[by], "least": least[by]}
                for by in found
            ]
            ratio = round(medians["torch"] / medians["kernels"], 2)
            rows.append({"what": f"fit {of_step}: {what}", "ratio": ratio})
    return rows


def name(architecture: Architecture, width: int, height: int) -> str:
    """Return what a step is of."""
    model = "grid" if architecture.grids else "coordinate"
    layers = f"{architecture.hidden_layers}x{architecture.hidden_features}"
    return f"{model} {layers}, {width}x{height}"


@contextmanager
def begun(
    architecture: Architecture, width: int, height: int, device: str, *, compiled: bool = True
) -> Iterator[Actions]:
    """Begin a fit of noise with random grids; yield its step and the parts of it, by name."""
    model = start.siren(architecture, seed=0, device=device)
    latents = Latents.of_picture(architecture, width, height, device)
    generator = torch.Generator().manual_seed(0)
    signs = torch.rand(latents.flat.shape, generator=generator) - 0.5
    size = torch.empty(latents.flat.shape).exponential_(1 / 0.7, generator=generator)
    latents.flat.copy_(signs.sign() * size)
    samples = torch.rand(3, height, width, generator=generator) * 2 - 1
    state = State(
        model,
        latents,
        pixels=width * height,
        betas=(0.9, 0.99),
        lambda_=rate.quality_lambda(DEFAULT_QUALITY) if architecture.grids else 0.0,
        noise=Noise(seed=0, device=device) if architecture.grids else None,
    )
    lattice = averaged(samples.to(device), 0, levels=len(latents.shapes))
    with engine(device, compiled=compiled) as computing:
        step = Step(state, computing)
        now = step.prepare(_NOW)
        grids = Grids(latents, latents.flat, 0, state.price, torch.zeros_like(latents.flat))
        unpriced = Grids(latents, latents.flat, 0, 0.0, torch.zeros_like(latents.flat))
        actions: Actions = {
            STEP: lambda: step(lattice, _NOW),
            "loss and gradients": lambda: computing.backward(model, lattice, grids),
            "loss alone": lambda: computing.loss(model, lattice, grids),
            "the networks' moves": lambda: step.move_networks(now),
        }
        if architecture.grids:
            actions |= {
                "loss and gradients without rate": lambda: computing.backward(
                    model, lattice, unpriced
                ),
                "soft rounding and noise": lambda: step.soften(now),
                "the grids' moves": lambda: step.move_latents(now),
            }
        step(lattice, _NOW)
        yield {name: finished(action, device) for name, action in actions.items()}
