"""What a reader accepts."""

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "QUALITIES", "UNBOUNDED", "Limits"]

QUALITIES = range(1, 101)
"""What a file can name; no limit moves them."""


@dataclass(frozen=True)
class Limits:
    """What a reader accepts; the defaults bound its time and memory (docs/FORMAT.md, section 8)."""

    pixels: int = 89_478_485
    """Pixels of the stored picture and of what is decoded; as Pillow's own limit."""
    side: int = 65_535
    """Pixels of a side of the stored picture."""
    hidden_layers: int = 16
    """Layers with a sine."""
    hidden_features: int = 512
    """Of each of them."""
    omega_0: float = 4096.0
    """Of the sines: the largest frequency."""
    levels: int = 10
    """Of latent grids."""
    features: int = 16
    """Latent grids of each level."""
    grids: int = 32
    """Latent grids of all levels."""
    context_features: int = 64
    """Of the context network's layers."""
    symbols_per_pixel: int = 4
    """Integers of latent grids for each pixel of the picture, and 4,096 more."""
    multiply_adds: int = 1 << 42
    """For reading the grids, and again for what is decoded."""
    metadata_bytes: int = 16 << 20
    """Bytes of each metadata section."""
    file_bytes: int = 64 << 20
    """Bytes of a whole file."""


DEFAULT_LIMITS = Limits()
UNBOUNDED = Limits(pixels=1 << 32, multiply_adds=1 << 62)
"""As large a picture as the format holds, whatever time and memory that takes."""
