"""All optimisers of a fit together."""

from collections.abc import Mapping

from torch import Tensor

from siren_codec.fit.course import Now
from siren_codec.fit.latents import Latents
from siren_codec.fit.loss import Worker
from siren_codec.fit.model import Model
from siren_codec.fit.optimiser import SOAP, Adam

__all__ = ["Optimisers"]


class Optimisers:
    """SOAP on the SIREN, Adam on the context network and on the grids."""

    def __init__(self, model: Model, latents: Latents, betas: tuple[float, float]) -> None:
        self.latents = latents
        self.siren = SOAP(model.matrices[: model.depth], betas=betas)
        self.context = Adam(model.matrices[model.depth :])
        self.chunks = latents.chunks()
        self.grids = Adam([latents.flat[part] for _, part in self.chunks])

    def step_networks(self, now: Now, damping: float) -> None:
        """Take one step along the gradients that the matrices hold."""
        self.siren.step(now.weight_rate * damping)
        matrices = self.context.parameters
        gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
        self.context.step(gradients, [now.context_rate * damping] * len(gradients))

    def step_latents(self, gradient: Tensor, rate_: float, first_level: int, work: Worker) -> None:
        """Take one step along a gradient, flat as the latents, on the levels that take part."""
        rates = [rate_ if level >= first_level else 0.0 for level, _ in self.chunks]
        self.grids.step([gradient[part] for _, part in self.chunks], rates, work.map)

    def forget(self) -> None:
        """Forget all moments, as after a step that was taken back."""
        for optimiser in (self.siren, self.context, self.grids):
            optimiser.forget()

    def forget_networks(self) -> None:
        """Forget what goes with real weights, where rounded ones begin."""
        self.siren.forget()
        self.context.forget()

    def state(self) -> dict[str, Tensor]:
        """Return what all of them remember."""
        return {f"{n}.{k}": t for n, part in self._parts().items() for k, t in part.state().items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        for name, part in self._parts().items():
            of_part = {
                k.removeprefix(f"{name}."): t for k, t in state.items() if k.startswith(f"{name}.")
            }
            part.restore(of_part)

    def _parts(self) -> dict[str, SOAP | Adam]:
        return {"siren": self.siren, "context": self.context, "grids": self.grids}
