"""All optimisers of a fit together."""

from collections.abc import Mapping

from torch import Tensor

from siren_codec.fit.course import Settings
from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model
from siren_codec.fit.optimiser import SOAP, Adam

__all__ = ["Optimisers"]


class Optimisers:
    """SOAP on the SIREN, Adam on the context network and on the grids.

    The grids' moves are the engine's business, which takes them chunk by chunk.
    """

    def __init__(self, model: Model, latents: Latents, betas: tuple[float, float]) -> None:
        self.siren = SOAP(model.matrices[: model.depth], betas=betas)
        self.context = Adam(model.matrices[model.depth :])
        self.grids = Adam([latents.flat[part] for _, part in latents.chunks()])

    def step_networks(self, now: Settings) -> None:
        """Take one step along the gradients that the matrices hold."""
        self.siren.step(now.weight_rate)
        gradients = [matrix.grad for matrix in self.context.parameters]
        self.context.step([grad for grad in gradients if grad is not None], now.context_rate)

    def forget(self) -> None:
        """Forget all moments, as after a step that was taken back."""
        for optimiser in self._parts().values():
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
