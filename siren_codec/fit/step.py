"""One step of a fit."""

from collections.abc import Sequence

import torch
from torch import Tensor

from siren_codec.fit.engine import Engine, Grids, Loss
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Exponents
from siren_codec.fit.state import State
from siren_codec.fit.step_settings import StepSettings

__all__ = ["Step"]


class Step:
    """Takes steps of a fit: soft rounding and noise, loss and gradients, weights' bits, moves.

    Nothing is read back from the device but the loss, at the end, so that a graph of all of it can
    be captured (but for the steps in which SOAP finds its eigenvectors).
    """

    def __init__(self, state: State, engine: Engine) -> None:
        self.state = state
        self.engine = engine
        flat = state.latents.flat
        self._soft = torch.zeros_like(flat)
        self._slope = torch.zeros_like(flat)
        self._gradient = torch.zeros_like(flat)

    def __call__(
        self,
        lattice: Lattice,
        settings: StepSettings,
        *,
        first_level: int = 0,
        exponents: Exponents | None = None,
        moving: bool = True,
    ) -> Loss:
        """Take a step and return the loss of the state before it.

        Grids below `first_level` count as 0. With `exponents` weights are rounded to these steps.
        Grids that are not `moving` are seen as they are. A loss whose gradients are not finite is
        not a number, and the networks stay as they are.
        """
        prepared = self.prepare(settings, first_level, lattice.turns)
        found = self.take(
            lattice, prepared, first_level=first_level, exponents=exponents, moving=moving
        )
        return self.loss(found)

    def prepare(self, settings: StepSettings, first_level: int = 0, turns: int = 1) -> StepSettings:
        """Find a step's random numbers, and return its settings as the engine takes them."""
        if self.state.noise and settings.noise:
            sign = self.state.noise.next(len(self.state.latents.chunks(first_level)), turns)
            settings = settings._replace(noise=sign * settings.noise)
        return self.engine.prepared(settings)

    def take(
        self,
        lattice: Lattice,
        prepared: StepSettings,
        *,
        first_level: int = 0,
        exponents: Exponents | None = None,
        moving: bool = True,
    ) -> Tensor:
        """Take a prepared step; return what `loss` reads, on the device. Nothing is read back."""
        found = self.gradients(
            lattice, prepared, first_level=first_level, exponents=exponents, moving=moving
        )
        self.state.optimisers.step_networks(prepared)
        if moving:
            self._move_latents(prepared, first_level)
        return found

    def gradients(
        self,
        lattice: Lattice,
        prepared: StepSettings,
        *,
        first_level: int = 0,
        exponents: Exponents | None = None,
        moving: bool = True,
    ) -> Tensor:
        """Set the gradients of networks and grids; return what `loss` reads, on the device."""
        state = self.state
        grids = Grids(state.latents, state.latents.flat, 0, state.price)
        if moving:
            self.soften(prepared, first_level)
            grids = Grids(state.latents, self._soft, first_level, state.price, self._gradient)
        found = self.engine.backward(state.model, lattice, grids, exponents)
        if state.model.expected and state.price:
            state.model.add_rate(state.price)
        return found

    def loss(self, found: Tensor) -> Loss:
        """Read a loss back from the device."""
        error, bits = found.tolist()
        return Loss(error, bits, self.state.price)

    def latent_gradient(self) -> Tensor:
        """Return the gradient of the latents, flat, as `gradients` found it."""
        return self._gradient * self._slope

    def soften(self, settings: StepSettings, first_level: int = 0) -> None:
        """Set what the loss sees of the grids: rounded softly, with noise.

        Without noise they are rounded hard, with gradients straight through.
        """
        state = self.state
        if state.noise is None:
            torch.round(state.latents.flat, out=self._soft)
            self._slope.fill_(1.0)
        else:
            self.engine.soften(
                state.latents, state.noise, settings, first_level, self._soft, self._slope
            )

    def _move_latents(self, settings: StepSettings, first_level: int = 0) -> None:
        """Move the grids along their gradients, from a level on."""
        parts = [part for _, part in self.state.latents.chunks(first_level)]
        if parts:
            gradients, slopes = _parts(self._gradient, parts), _parts(self._slope, parts)
            self.engine.move(self.state.optimisers.grids, gradients, slopes, settings)


def _parts(flat: Tensor, parts: Sequence[slice]) -> list[Tensor]:
    return [flat[part] for part in parts]
