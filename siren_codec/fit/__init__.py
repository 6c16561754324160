"""Pixels -> Field: the only place that imports torch."""

from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.model import sampler
from siren_codec.fit.progress import Progress, ProgressCallback
from siren_codec.fit.rate import quality_lambda
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.target import Target, first_cost, first_quality
from siren_codec.fit.trainer import Control, Fit, choose_device, fit

__all__ = [
    "Checkpoint",
    "Control",
    "Fit",
    "Progress",
    "ProgressCallback",
    "Schedule",
    "Stage",
    "Target",
    "choose_device",
    "first_cost",
    "first_quality",
    "fit",
    "quality_lambda",
    "sampler",
]
