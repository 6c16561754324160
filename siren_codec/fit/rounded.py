"""The state of a fit as it would be stored: steps chosen, weights and grids rounded."""

from dataclasses import replace

import numpy as np

from siren_codec.field import Field
from siren_codec.fit import rate
from siren_codec.fit.engine import Engine, Grids, Loss
from siren_codec.fit.integers import Integers
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Exponents, Model
from siren_codec.fit.quantise import choose_exponents
from siren_codec.fit.samples import Samples
from siren_codec.fit.state import State
from siren_codec.stream.latents import is_exact

__all__ = ["Rounded"]

_SEARCH_TILES = 4
"""Of the picture, which stand for all while steps are chosen."""


class Rounded:
    """Looks at a state as a file would hold it."""

    def __init__(self, state: State, samples: Samples, engine: Engine, template: Field) -> None:
        """`template` is the Field that lacks the state."""
        self._state = state
        self._samples = samples
        self._engine = engine
        self._template = template

    def round_weights(self, steps: int = 0) -> Exponents:
        """Choose the weights' quantisation steps.

        Where bits have a price, the weights become multiples of these, and so many steps more are
        taken on them. Without one they stay as they are.
        """
        state = self._state
        if state.price:
            integers = Integers(state.model, self._samples.at(0), self._grids(), self._engine)
            integers.refine(steps)
            return _exact(state.model, integers.exponents)
        most_bits = rate.MOST_BITS_PER_WEIGHT * state.model.architecture.weight_count
        return choose_exponents(state.model, self._error, rate.coordinate_lambda, most_bits)

    def _error(self) -> float:
        """Return the error of a sample of the picture."""
        state, lattice, grids = self._state, self._samples.at(0), self._grids()
        return self._engine.loss(state.model, lattice, grids, tiles=_SEARCH_TILES).error

    def field(self, exponents: Exponents) -> Field:
        """Return the Field of the state as it is."""
        model, latents = self._state.model, self._state.latents
        layers = model.quantised(_exact(model, exponents))
        return replace(
            self._template,
            prior=self._state.prior,
            layers=layers[: model.depth],
            latents=tuple(
                level.cpu().numpy().astype(np.int32)
                for level in latents.levels(latents.flat.round())
            ),
            context=layers[model.depth :],
        )

    def loss(self, exponents: Exponents | None = None) -> Loss:
        """Return the loss of the picture, its samples clipped; grids are seen as they are."""
        return self._loss(self._samples.at(0), exponents, clip=True)

    def loss_of(self, lattice: Lattice, exponents: Exponents | None = None) -> Loss:
        """Return the loss of a lattice as a step finds it: samples are not clipped."""
        return self._loss(lattice, exponents, clip=False)

    def _loss(self, lattice: Lattice, exponents: Exponents | None, *, clip: bool) -> Loss:
        return self._engine.loss(self._state.model, lattice, self._grids(), exponents, clip=clip)

    def _grids(self) -> Grids:
        return Grids(self._state.latents, self._state.latents.flat, 0, self._state.price)


def _exact(model: Model, exponents: Exponents) -> Exponents:
    """Return exponents at which the context network is exact: its own, or as many coarser."""
    while not is_exact(model.quantised(exponents)[model.depth :]):
        of_context = [(weight + 1, bias + 1) for weight, bias in exponents[model.depth :]]
        exponents = [*exponents[: model.depth], *of_context]
    return exponents
