"""The weights of a fit as integers: chosen by the loss's curvature, then led down its slope."""

import math

import numpy as np

from siren_codec.fit.curvature import curvatures
from siren_codec.fit.descent import Descent, Rounding
from siren_codec.fit.engine import Engine, Grids
from siren_codec.fit.lattice import Lattice
from siren_codec.fit.model import Exponents, Model

__all__ = ["Integers"]

_DAMPING = 8.0
_LEAST_DAMPING = 0.5
_BOLDER, _MORE_CAREFUL = 0.7, 2.0
"""What the damping is multiplied by after a step that helped, and after one that did not."""


class Integers:
    """The best integers yet, of which the model's weights are multiples of their steps.

    The loss is that of a lattice and of grids that stay as they are. Then it falls into two, the
    SIREN's error and the context network's bits, and each network takes its steps by itself.
    """

    def __init__(self, model: Model, lattice: Lattice, grids: Grids, engine: Engine) -> None:
        """Choose steps, and round the model's weights."""
        self._model, self._lattice, self._grids, self._engine = model, lattice, grids, engine
        found = curvatures(model, lattice, grids.latents, grids.price)
        self._descents = [
            Descent(
                curvature.cpu().double().numpy(),
                model.parts(index),
                model.expected[2 * index : 2 * index + 2] if model.expected else None,
                grids.price,
            )
            for index, curvature in enumerate(found)
        ]
        self._best = [
            descent.choose(model.moved(index)) for index, descent in enumerate(self._descents)
        ]
        self._place(self._best)

    @property
    def exponents(self) -> Exponents:
        """The exponents of all steps."""
        return [rounding.exponents for rounding in self._best]

    def refine(self, count: int) -> None:
        """Take so many steps down the slope of the loss, each from the best integers yet.

        A step is a descent on the loss to the second order (a proximal Newton step, Lee et al.
        2014, arXiv 1206.1623), its curvature multiplied by a damping, for what units do together
        is not in it. What does not lower the loss and the price of the bits is taken back.
        """
        networks = range(self._model.depth), range(self._model.depth, len(self._best))
        least, damping = [math.inf] * 2, [_DAMPING] * 2
        slopes = [np.zeros(rounding.values.shape) for rounding in self._best]
        tried = list(self._best)
        for step in range(count + 1):
            self._place(tried)
            losses = self._losses()
            for number, network in enumerate(networks):
                loss = losses[number] + self._grids.price * sum(tried[i].bits for i in network)
                if loss < least[number]:
                    least[number] = loss
                    damping[number] = max(_LEAST_DAMPING, damping[number] * _BOLDER)
                    for index in network:
                        self._best[index] = tried[index]
                        slopes[index] = self._model.slope(index)
                else:
                    damping[number] *= _MORE_CAREFUL
                if step < count:
                    for index in network:
                        tried[index] = self._descents[index].move(
                            self._best[index], slopes[index], damping[number]
                        )
        self._place(self._best)

    def _losses(self) -> tuple[float, float]:
        """Set the gradients, and return the error, and the bits' price."""
        found = self._engine.backward(self._model, self._lattice, self._grids)
        error, bits = found.tolist()
        return error, bits * self._grids.price

    def _place(self, roundings: list[Rounding]) -> None:
        """Let the model's weights be these."""
        for index, (descent, rounding) in enumerate(zip(self._descents, roundings, strict=True)):
            self._model.move(index, descent.real(rounding))
