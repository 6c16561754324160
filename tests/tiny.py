"""The smallest pictures and fits, for tests that are about other things."""

from pathlib import Path

from PIL import Image

__all__ = ["TINY", "draw"]

TINY = ["--model", "coordinate", "--hidden-layers", "2", "--hidden-features", "8", "--steps", "10"]
TINY += ["--device", "cpu"]
"""Options of siren-encode."""


def draw(path: Path, level: int = 99) -> None:
    """Write a picture of 6 x 4 pixels of one colour, which follows from the level."""
    Image.new("RGB", (6, 4), (level, 2 * level % 256, 0)).save(path)
