"""Pixels -> Field: the only place that imports torch."""

from siren_codec.fit.model import sampler
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.trainer import Fit, Progress, ProgressCallback, choose_device, fit

__all__ = [
    "Fit",
    "Progress",
    "ProgressCallback",
    "Schedule",
    "Stage",
    "choose_device",
    "fit",
    "sampler",
]
