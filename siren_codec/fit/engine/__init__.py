"""What computes a step of the fit: torch, or compiled kernels on a CPU."""

from siren_codec.fit.engine.base import Engine, Grids, Loss
from siren_codec.fit.engine.by_torch import is_of_memory
from siren_codec.fit.engine.choice import engine, one_torch_thread

__all__ = ["Engine", "Grids", "Loss", "engine", "is_of_memory", "one_torch_thread"]
