"""How long a fit runs and at what rates: frozen presets, one for each effort."""

from dataclasses import dataclass

from siren_codec.errors import UsageError

__all__ = ["DEFAULT_EFFORT", "EFFORTS", "Schedule", "Stage"]

EFFORTS = range(1, 10)
DEFAULT_EFFORT = 4


@dataclass(frozen=True)
class Stage:
    """Steps at one resolution: level l is the picture averaged over areas of 2**l x 2**l pixels."""

    level: int
    steps: int


@dataclass(frozen=True)
class Schedule:
    """The course of a fit: real weights from coarse to fine, then rounded ones."""

    stages: tuple[Stage, ...]
    """The last stage fits the picture itself."""
    rounded_steps: int
    """Steps with the weights rounded in the forward pass, at level 0."""
    learning_rate: float = 2e-3
    """SOAP's; it warms up, then falls along a cosine over all stages."""
    rounded_learning_rate: float = 2e-4
    warmup_steps: int = 20
    batch: int | None = None
    """Points of a minibatch of the last stage and of the rounded steps; None takes them all."""

    @property
    def steps(self) -> int:
        """Steps in all."""
        return sum(stage.steps for stage in self.stages) + self.rounded_steps

    @classmethod
    def preset(
        cls, effort: int = DEFAULT_EFFORT, *, steps: int | None = None, batch: int | None = None
    ) -> "Schedule":
        """Return the schedule of an effort, 1 (quick) to 9; `steps` overrides its length."""
        if effort not in EFFORTS:
            raise UsageError(f"effort: expected 1 to 9, found {effort}")
        if steps is None:
            steps = _STEPS[effort - 1]
        if steps < 1:
            raise UsageError(f"steps: expected at least 1, found {steps}")
        if batch is not None and batch < 1:
            raise UsageError(f"batch: expected at least 1 point, found {batch}")
        shares = [(level, round(steps * share)) for level, share in _COARSE]
        rounded = round(steps * _ROUNDED)
        fine = max(1, steps - rounded - sum(count for _, count in shares))
        stages = [Stage(level, count) for level, count in [*shares, (0, fine)] if count]
        return cls(tuple(stages), rounded, batch=batch)


_STEPS = (100, 200, 300, 500, 800, 1200, 2000, 4000, 10000)
_COARSE = ((3, 0.2), (2, 0.3), (1, 0.2))
_ROUNDED = 0.1
