"""Pixels -> Field: the only place that imports torch."""

from siren_codec.fit.checkpoint import Checkpoint
from siren_codec.fit.kernels import load_ahead as load_kernels_ahead
from siren_codec.fit.kernels import on_standard_error
from siren_codec.fit.model import sampler
from siren_codec.fit.plan import Plan, architecture_for, plan_for, prior_for
from siren_codec.fit.rate import quality_lambda
from siren_codec.fit.schedule import Schedule, Stage
from siren_codec.fit.target import Target, missed
from siren_codec.fit.trainer import Control, Fit, choose_device, fit

__all__ = [
    "Checkpoint",
    "Control",
    "Fit",
    "Plan",
    "Schedule",
    "Stage",
    "Target",
    "architecture_for",
    "choose_device",
    "fit",
    "load_kernels_ahead",
    "missed",
    "on_standard_error",
    "plan_for",
    "prior_for",
    "quality_lambda",
    "sampler",
]
