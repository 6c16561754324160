"""How far a fit has come, and what time it has left."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from siren_codec.fit.schedule import Schedule

__all__ = ["Clock", "Progress", "ProgressCallback"]


@dataclass(frozen=True)
class Progress:
    """How far a fit has come. PSNR, in dB, is of the step's own samples, before clipping."""

    step: int
    steps: int
    psnr: float
    bpp: float | None
    """Bits per pixel of the latent grids; the weights come on top. None where there are no grids:
    what the weights alone take is known when they are rounded, at the end."""
    seconds: float
    seconds_left: float


ProgressCallback = Callable[[Progress], None]


class Clock:
    """Counts steps and foretells the time left from the points that steps have still to visit."""

    def __init__(self, schedule: Schedule, pixels: int) -> None:
        work = [
            stage.visits * pixels / 4**stage.level
            for stage in schedule.stages + schedule.rounded_stages
        ]
        self.total = sum(work)
        self._steps, self._pixels = schedule.steps, pixels
        self.done = 0.0
        self.step = 0
        self.began = time.monotonic()

    def tick(self, points: int, *, psnr: float, bits: float | None) -> Progress:
        """Count a step over so many points, and return how far the fit has come."""
        self.step += 1
        self.done = min(self.done + points, self.total)
        seconds = self.seconds()
        left = seconds * (self.total - self.done) / max(self.done, 1.0)
        steps = max(self.step, self._steps)
        bpp = None if bits is None else bits / self._pixels
        return Progress(self.step, steps, psnr, bpp, seconds, left)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.began

    def resume(self, step: int, done: float, seconds: float) -> None:
        """Go on from where an earlier clock was."""
        self.step, self.done = step, done
        self.began = time.monotonic() - seconds
