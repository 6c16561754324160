"""What time a fit has taken, and has left."""

import time

from siren_codec.fit.schedule import Schedule
from siren_codec.progress import Progress

__all__ = ["Clock"]


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

    def tick(self, points: int, *, psnr: float, bits: float) -> Progress:
        """Count a step over so many points, and return how far the fit has come."""
        self.step += 1
        self.done = min(self.done + points, self.total)
        seconds = self.seconds()
        left = seconds * (self.total - self.done) / max(self.done, 1.0)
        steps = max(self.step, self._steps)
        return Progress(self.step, steps, psnr, bits / self._pixels, seconds, left)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.began

    def resume(self, step: int, done: float, seconds: float) -> None:
        """Go on from where an earlier clock was."""
        self.step, self.done = step, done
        self.began = time.monotonic() - seconds
