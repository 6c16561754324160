"""The state of a fit: all that its next step depends on, but for its place in the schedule."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from siren_codec.field import PriorName
from siren_codec.fit.latents import Latents, Noise
from siren_codec.fit.model import Model
from siren_codec.fit.optimisers import Optimisers
from siren_codec.fit.rate import quality_lambda, to_signed
from siren_codec.stream import prior as priors
from siren_codec.stream.prior import Expected

__all__ = ["State"]


class State:
    """Networks, grids, moments and random numbers, and what a bit is worth.

    It saves and restores itself, as facts that JSON can hold and tensors by name.
    """

    def __init__(
        self,
        model: Model,
        latents: Latents,
        *,
        pixels: int,
        betas: tuple[float, float] = (0.9, 0.999),
        quality: float = 50.0,
        lambda_: float = 0.0,
        noise: Noise | None = None,
        prior: PriorName | None = None,
    ) -> None:
        self.model = model
        self.latents = latents
        self.optimisers = Optimisers(model, latents, betas)
        self.noise = noise
        """On the grids; without it they are rounded hard, with gradients straight through."""
        self.quality = quality
        self._pixels = pixels
        self.price = to_signed(lambda_) / pixels
        """What a bit is worth, in mean squared error over [-1, 1]."""
        self.prior = prior

    def is_finite(self) -> bool:
        """Tell whether all weights and grids are."""
        return all(bool(x.isfinite().all()) for x in (*self.model.matrices, self.latents.flat))

    def save(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the facts and the tensors."""
        facts = {
            "quality": self.quality,
            "price": self.price,
            "prior": self.prior.quality if self.prior else None,
        }
        tensors = {
            "latents": self.latents.flat,
            **{f"matrix{i}": m.detach() for i, m in enumerate(self.model.matrices)},
            **self.optimisers.state(),
        }
        if self.noise:
            tensors |= self.noise.state()
        return facts, tensors

    @torch.no_grad()
    def restore(self, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take back what `save` returned."""
        self.latents.flat.copy_(tensors["latents"])
        for index, matrix in enumerate(self.model.matrices):
            matrix.copy_(tensors[f"matrix{index}"])
        device = self.latents.flat.device
        self.optimisers.restore({name: tensor.to(device) for name, tensor in tensors.items()})
        if self.noise:
            self.noise.restore(tensors)
        self.quality, self.price = facts["quality"], facts["price"]
        if self.prior and facts["prior"]:
            self.model.expect(self._name(facts["prior"]))

    def price_at(self, quality: float) -> None:
        """Let a bit be worth what it is at a quality."""
        self.quality = quality
        self.price = to_signed(quality_lambda(quality)) / self._pixels

    @torch.no_grad()
    def rebase(self, quality: int) -> None:
        """Go over to the prior of another quality: to its quantisation steps above all."""
        if self.prior is None or self.prior.quality == quality:
            return
        growth = priors.growth(self.prior.quality, quality)
        self.model.rebase(self._name(quality), growth)
        self.latents.flat /= growth
        self.optimisers.grids.scale(growth)

    def _name(self, quality: int) -> list[Expected]:
        """Let the prior be that of a quality, and return what it expects."""
        assert self.prior is not None
        self.prior = replace(self.prior, quality=quality)
        expected = priors.expected(self.prior, self.model.architecture.channels)
        assert expected is not None
        return expected
