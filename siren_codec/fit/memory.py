"""What a fit may take of the machine's memory, or of the GPU's."""

import os
from pathlib import Path

import torch

from siren_codec.errors import LimitError

__all__ = ["left_for_tiles"]

_BYTES_PER_PIXEL = {True: 125, False: 80}
"""What a fit holds for each pixel of the whole picture, with grids and without: 102 were measured
on 24 megapixels, before parts took turns, whose samples are 12 more.
"""
_SHARE = 0.8
"""Of what is free, by default."""


def left_for_tiles(pixels: int, *, grids: bool, device: str, memory: int | None) -> int | None:
    """Return the bytes that a fit's tiles may take; None if there is no need to know.

    Raises LimitError if what it holds of the whole picture exceeds `memory` bytes, by default most
    of what is free.
    """
    if memory is None:
        free = _free(device)
        memory = None if free is None else int(_SHARE * free)
    if memory is None:
        return None
    needed = pixels * _BYTES_PER_PIXEL[grids]
    if needed > memory:
        raise LimitError(
            f"{pixels} pixels: expected {needed / 1e9:.3g} GB for the fit, found {memory / 1e9:.3g}"
        )
    return memory - needed


def _free(device: str) -> int | None:
    """Return the free bytes of a device; None where the system does not say."""
    if device != "cpu":
        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None
