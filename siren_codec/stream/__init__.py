"""Field <-> bytes: numpy, zstandard and constriction, never torch."""

from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.stream.format import is_whole, read, write

__all__ = ["DEFAULT_LIMITS", "Limits", "is_whole", "read", "write"]
