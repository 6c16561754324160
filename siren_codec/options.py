"""What an encoder can be asked for: one frozen object, without torch, checked as it is made."""

import operator
from dataclasses import dataclass, fields
from typing import Any

from siren_codec.errors import UsageError

__all__ = ["DEVICES", "EFFORTS", "MODELS", "QUALITIES", "STARTS", "Options"]

MODELS = ("grid", "coordinate")
DEVICES = ("auto", "cpu", "cuda")
STARTS = ("zero", "prior", "analysis")
EFFORTS = range(1, 10)
QUALITIES = range(1, 101)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to encode a picture. Raises UsageError for anything out of its range."""

    model: str = "grid"
    """`grid`: latent grids feed the SIREN; `coordinate`: it is stored alone."""
    quality: int = 50
    """1 to 100: what a bit is worth to the `grid` model. `coordinate` does not know it."""
    effort: int = 4
    """1 (quick) to 9 (best): how long the fit runs."""
    start: str | None = None
    """Where the fit begins: `zero` is random networks, `prior` those of the prior, `analysis` these
    and the grids of its analysis network. By default `analysis` for `grid`, `zero` for
    `coordinate`. Of a size that has no prior the networks are random.
    """
    hidden_layers: int | None = None
    """Layers with a sine; by default what the model and the picture call for."""
    hidden_features: int | None = None
    """Their width; the same."""
    steps: int | None = None
    """The fit's length, instead of the effort's."""
    device: str = "auto"
    """`auto` is a GPU where there is one."""
    seed: int = 0
    """Of all random numbers; it repeats on one machine."""

    def __post_init__(self) -> None:
        for name, choices in (("model", MODELS), ("start", STARTS), ("device", DEVICES)):
            found = getattr(self, name)
            if name == "start" and found is None:
                object.__setattr__(self, name, "analysis" if self.model == "grid" else "zero")
            elif found not in choices:
                expected = ", ".join(choices[:-1]) + " or " + choices[-1]
                raise UsageError(f"{name}: expected {expected}, found {found}")
        ranges = {
            "quality": (QUALITIES.start, QUALITIES.stop - 1),
            "effort": (EFFORTS.start, EFFORTS.stop - 1),
            "hidden_layers": (1, 16),
            "hidden_features": (1, 512),
            "steps": (1, None),
            "seed": (0, 2**63 - 1),
        }
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name in ranges and not (field.default is None and found is None):
                number = _integer(field.name, found, *ranges[field.name])
                object.__setattr__(self, field.name, number)


def _integer(name: str, value: Any, least: int, most: int | None) -> int:
    name = name.replace("_", " ")
    try:
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: expected an integer, found {value!r}") from None
    if number < least or (most is not None and number > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        raise UsageError(f"{name}: expected {expected}, found {number}")
    return number
