"""What a fit may take of the machine's memory, or of the GPU's."""

import os
from pathlib import Path

import torch

from siren_codec.errors import LimitError
from siren_codec.fit import analysis

__all__ = ["left_for_tiles"]

_BYTES_PER_PIXEL = {True: 125, False: 80}
"""What a fit holds for each pixel of the whole picture, with grids and without: 102 were measured
on 24 megapixels, before parts took turns, whose samples are 12 more.
"""
_AT_THE_START, _OF_A_PART = 80, 200
"""What is held for each pixel of the picture while the analysis network runs, and for each pixel of
the part that it looks at. Measured on 2026-11-29, largest resident memory: an encode of 768 x 512
takes 110 MB more than one of 64 x 64, of 2048 x 1536 0.81 GB, of 4096 x 3072 1.78 GB (1.05 GB
without the network); the first grids alone of 5120 x 5120 2.7 GB.
"""
_SHARE = 0.8
"""Of what is free, by default."""


def left_for_tiles(
    width: int, height: int, *, grids: bool, refine: bool, device: str, memory: int | None
) -> int | None:
    """Return the bytes that a fit's tiles may take; None if there is no need to know.

    With `refine` the analysis network runs before the first step. Raises LimitError if what either
    takes for the whole picture exceeds `memory` bytes, by default most of what is free.
    """
    if memory is None:
        free = _free(device)
        memory = None if free is None else int(_SHARE * free)
    if memory is None:
        return None
    pixels = width * height
    steps = pixels * _BYTES_PER_PIXEL[grids]
    first = 0
    if refine:
        part = analysis.largest_part(width, height)
        first = pixels * _AT_THE_START + part * _OF_A_PART
    needed = max(steps, first)
    if needed > memory:
        raise LimitError(
            f"{pixels} pixels: expected {needed / 1e9:.3g} GB for the fit, found {memory / 1e9:.3g}"
        )
    return memory - steps


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
