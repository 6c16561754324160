"""What an encoder can be asked for: one frozen object, without torch, checked as it is made."""

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any, Literal, get_args

from siren_codec.errors import UsageError
from siren_codec.limits import DEFAULT_LIMITS, QUALITIES

__all__ = [
    "ALPHAS",
    "DECODERS",
    "DEFAULT_QUALITY",
    "DEVICES",
    "EFFORTS",
    "HIDDEN_FEATURES",
    "HIDDEN_LAYERS",
    "MODELS",
    "SEEDS",
    "STARTS",
    "TARGETS",
    "Alpha",
    "Device",
    "Model",
    "Options",
    "Start",
    "check_choice",
]

Model = Literal["grid", "coordinate"]
"""`grid` or `coordinate`: see `Options.model`."""
Start = Literal["zero", "prior", "analysis"]
"""`zero`, `prior` or `analysis`: see `Options.start`."""
Alpha = Literal["auto", "lossless", "lossy"]
"""`auto`, `lossless` or `lossy`: see `Options.alpha`."""
Device = Literal["auto", "cpu", "cuda"]
"""`auto`, `cpu` or `cuda`: see `Options.device`."""
MODELS = get_args(Model)
STARTS = get_args(Start)
ALPHAS = get_args(Alpha)
DEVICES = get_args(Device)
"""Where a fit can run; `auto` is a GPU where there is one."""
DECODERS = ("cpu", "cuda")
"""Where a picture can be evaluated: without torch, or by it on a GPU."""
TARGETS = ("target_bpp", "target_size", "target_psnr", "max_error")
EFFORTS = range(1, 10)
DEFAULT_QUALITY = 50
"""Where neither a quality nor a target is asked for."""
HIDDEN_LAYERS = range(1, DEFAULT_LIMITS.hidden_layers + 1)
HIDDEN_FEATURES = range(1, DEFAULT_LIMITS.hidden_features + 1)
"""What a reader accepts, unless it is told otherwise."""
SEEDS = range(2**63)


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to encode a picture. Raises UsageError for anything out of its range."""

    model: str = "grid"
    """`grid`: latent grids feed the SIREN; `coordinate`: it is stored alone."""
    quality: int | None = None
    """1 to 100: what a bit is worth to the `grid` model; 50 unless there is a target, which decides
    it. `coordinate` does not know it.
    """
    target_bpp: float | None = None
    """Bits per pixel of the whole file, instead of a quality (`grid` only, as all targets)."""
    target_size: int | None = None
    """Bytes of the whole file, never to be exceeded, instead of a quality."""
    target_psnr: float | None = None
    """dB, instead of a quality."""
    max_error: int | None = None
    """What no decoded sample may differ by, in the picture's own levels, instead of a quality."""
    effort: int = 4
    """1 (quick) to 9 (best): how long the fit runs."""
    start: str | None = None
    """Where the fit begins: `zero` is random networks, `prior` those of the prior, `analysis` these
    and the grids of its analysis network. By default `analysis` for `grid`, `zero` for
    `coordinate`. Of a size that has no prior the networks are random.
    """
    alpha: str = "auto"
    """How alpha is stored: `lossy` is an output of the network, `lossless` a section of its own,
    `auto` whichever is cheaper at this quality.
    """
    hidden_layers: int | None = None
    """Layers with a sine; by default what the model and the picture call for."""
    hidden_features: int | None = None
    """Their width; the same."""
    steps: int | None = None
    """The fit's length, instead of the effort's."""
    device: str = "auto"
    """`auto` is a GPU where there is one."""
    memory: int | None = None
    """Bytes that the fit may take; by default most of what the machine or the GPU has free."""
    seed: int = 0
    """Of all random numbers; it repeats on one machine."""

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> "Options":
        """Return the options among the arguments of a function that takes each by its name."""
        return cls(**{each.name: arguments[each.name] for each in fields(cls)})

    def __post_init__(self) -> None:
        for name, choices in (
            ("model", MODELS),
            ("start", STARTS),
            ("device", DEVICES),
            ("alpha", ALPHAS),
        ):
            found = getattr(self, name)
            if name == "start" and found is None:
                object.__setattr__(self, name, "analysis" if self.model == "grid" else "zero")
            else:
                check_choice(name, found, choices)
        self._check_targets()
        ranges = {
            "quality": (QUALITIES[0], QUALITIES[-1]),
            "target_size": (1, None),
            "max_error": (1, None),
            "effort": (EFFORTS[0], EFFORTS[-1]),
            "hidden_layers": (HIDDEN_LAYERS[0], HIDDEN_LAYERS[-1]),
            "hidden_features": (HIDDEN_FEATURES[0], HIDDEN_FEATURES[-1]),
            "steps": (1, None),
            "memory": (1, None),
            "seed": (SEEDS[0], SEEDS[-1]),
        }
        for field in fields(self):
            found = getattr(self, field.name)
            if field.name in ranges and not (field.default is None and found is None):
                number = _integer(field.name, found, *ranges[field.name])
                object.__setattr__(self, field.name, number)

    @property
    def target(self) -> str | None:
        """The name of the target that there is: one of TARGETS."""
        return next((name for name in TARGETS if getattr(self, name) is not None), None)

    def _check_targets(self) -> None:
        """Settle the quality: a target's business, or 50."""
        chosen = [name for name in ("quality", *TARGETS) if getattr(self, name) is not None]
        if len(chosen) > 1:
            names = " and ".join(name.replace("_", " ") for name in chosen)
            raise UsageError(f"expected one of quality and the targets, found {names}")
        if self.target is None:
            if self.quality is None:
                object.__setattr__(self, "quality", DEFAULT_QUALITY)
            return
        if self.model != "grid":
            raise UsageError(f"target: expected the grid model, found {self.model}")
        for name in ("target_bpp", "target_psnr"):
            found = getattr(self, name)
            if found is None:
                continue
            if not (_is_real(found) and 0 < found < math.inf):
                raise UsageError(f"{name.replace('_', ' ')}: expected above 0, found {found!r}")
            object.__setattr__(self, name, float(found))


def check_choice(name: str, found: Any, choices: Sequence[str]) -> None:
    """Raise UsageError if an option is none of its choices."""
    if found not in choices:
        expected = ", ".join(choices[:-1]) + " or " + choices[-1]
        raise UsageError(f"{name}: expected {expected}, found {found!r}")


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _integer(name: str, value: Any, least: int, most: int | None) -> int:
    name = name.replace("_", " ")
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise UsageError(f"{name}: expected an integer, found {value!r}") from None
    if number < least or (most is not None and number > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        raise UsageError(f"{name}: expected {expected}, found {number}")
    return number
