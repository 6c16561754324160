"""All optimisers of a fit together."""

from collections.abc import Mapping

from torch import Tensor

from siren_codec.fit.latents import Latents
from siren_codec.fit.model import Model
from siren_codec.fit.soap import SOAP, Adam
from siren_codec.fit.step_settings import StepSettings

__all__ = ["Optimisers", "restore", "state_of"]


class Optimisers:
    """SOAP on the SIREN, Adam on the context network and on the grids.

    The grids' moves are the engine's business, which takes them chunk by chunk.
    """

    def __init__(self, model: Model, latents: Latents, betas: tuple[float, float]) -> None:
        self.siren = SOAP(model.matrices[: model.depth], betas=betas)
        self.context = Adam(model.matrices[model.depth :])
        self.grids = Adam([latents.flat[part] for _, part in latents.chunks()])

    def step_networks(self, settings: StepSettings) -> None:
        """Take one step along the gradients that the matrices hold."""
        self.siren.step(settings.weight_rate)
        gradients = [matrix.grad for matrix in self.context.parameters]
        self.context.step([grad for grad in gradients if grad is not None], settings.context_rate)

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
        return state_of(self._parts())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` returned."""
        restore(self._parts(), state)

    def _parts(self) -> dict[str, SOAP | Adam]:
        return {"siren": self.siren, "context": self.context, "grids": self.grids}


def state_of(parts: Mapping[str, SOAP | Adam]) -> dict[str, Tensor]:
    """Return what named optimisers remember, by "name.what"."""
    return {f"{name}.{k}": t for name, part in parts.items() for k, t in part.state().items()}


def restore(parts: Mapping[str, SOAP | Adam], state: Mapping[str, Tensor]) -> None:
    """Let named optimisers take back what `state_of` returned; the rest of a state is left."""
    for name, part in parts.items():
        prefix = f"{name}."
        part.restore({k.removeprefix(prefix): t for k, t in state.items() if k.startswith(prefix)})
