"""What the kernels and those who call them agree on: where things lie, and in what portions.

A network is a flat float32 array of parameters and a table with a row for each layer. The values
of a block of points lie in a thread's flat float32 scratch: a row for each input or output of a
layer, STRIDE numbers apart. Outputs and inputs are made up to multiples of OUTS by zeros, which
change nothing.
"""

import os
from enum import IntEnum

from llvmlite import binding

__all__ = [
    "BLOCK",
    "INS",
    "LANES",
    "OUTS",
    "PANEL",
    "STRIDE",
    "STRIP",
    "TAPS",
    "ZEROS",
    "Band",
    "ContextPlace",
    "Layer",
    "Level",
    "NetworkPlace",
    "Seen",
    "SirenPlace",
    "Source",
    "features",
]


def features() -> str:
    """Return the processor's features as numba sees them (NUMBA_CPU_FEATURES)."""
    return os.environ.get("NUMBA_CPU_FEATURES") or binding.get_host_cpu_features().flatten()


LANES = 16 if "+avx512f" in features() else 8
"""float32 numbers of a vector."""
OUTS = 4
"""Rows of a block of results."""
PANEL = 2 * LANES
"""Points of a block of results: 4 x 2 vectors and what they are made of fit into 16 registers."""
INS = 2
"""Columns of a block of weights' gradients."""
BLOCK = 128
"""Points that go through all layers together, at most: activations stay in a core's own cache."""
STRIDE = BLOCK + 48
"""What lies between rows: more than a block, for vectors at its end; no power of 2, for those share
the cache's places."""
STRIP = 32
"""Rows of the picture that are sampled together, at most."""
TAPS = 6
"""Cells of an axis that a point sees."""
ZEROS = 0
"""Where in a scratch OUTS zeros lie."""


class Layer(IntEnum):
    """The columns of a network's table.

    Sizes; places in the parameters; and in the scratch the places of the sums of the weights'
    gradients, of the outputs and of the activation's slopes.
    """

    OUTPUTS = 0
    INPUTS = 1
    WEIGHT = 2
    BIAS = 3
    SUMS = 4
    OUT = 5
    SLOPE = 6


class Level(IntEnum):
    """Of a level's grids: place in the flat latents, number, size, row among the inputs."""

    START = 0
    FEATURES = 1
    ROWS = 2
    COLUMNS = 3
    INPUT = 4


class Seen(IntEnum):
    """Of what a tile sees of a level: rows, columns, place of the gradient in the tile's patch, and
    the columns of the levels before it, of all their grids.
    """

    LOW_ROW = 0
    HIGH_ROW = 1
    LOW_COLUMN = 2
    HIGH_COLUMN = 3
    PATCH = 4
    CELLS = 5


class Band(IntEnum):
    """Of a band, rows of a grid: the grid's index, place in the flat latents and columns; the first
    row that the gradient touches; its own rows; the gradient's place in the patch.
    """

    GRID = 0
    START = 1
    COLUMNS = 2
    TOP = 3
    FIRST = 4
    STOP = 5
    PATCH = 6


class NetworkPlace(IntEnum):
    """What else a network has in the scratch: its inputs, and the gradients of layers' inputs: of
    the last one, and of the others in turn.

    With a bypass the network's inputs follow the outputs of the last hidden layer, so that both
    together are the inputs of the last one.
    """

    X = 0
    LAST = 1
    EVEN = 2
    ODD = 3


class SirenPlace(IntEnum):
    """What lies in the scratch of a tile after that: samples and their weights; of all grids that
    it sees the cells beside a strip, and their gradients; a row of cells.
    """

    TARGET = 4
    VISIBLE = 5
    NARROW = 6
    SLOPES = 7
    LINE = 8


class ContextPlace(IntEnum):
    """The same of bands: gradients of symbols."""

    SYMBOLS = 4


class Source(IntEnum):
    """Of another grid that a grid's symbols are predicted from: place in the flat latents, or -1
    for none, columns, and how many octaves coarser it is.
    """

    START = 0
    COLUMNS = 1
    OCTAVES = 2
