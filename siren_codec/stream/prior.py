"""The prior: the weights that pictures have in common, of which a file holds the differences.

A prior is a file `prior-ID.npz` beside this one. It holds an architecture, its weights at a few
qualities, and how far the weights of single pictures lie from these. Between the qualities the
weights are interpolated by integer arithmetic, so that every machine gets the same; section 9 of
`docs/FORMAT.md` specifies it.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from siren_codec.errors import FormatError, SirenError
from siren_codec.field import Architecture, PriorName, QuantisedTensor

__all__ = [
    "DEFAULT_PRIORS",
    "FOLDER",
    "IDS",
    "SPACING",
    "SPREAD_OF_ONE",
    "Expected",
    "Prior",
    "arrays_of",
    "expected",
    "growth",
    "load",
    "path_of",
]

Integers = npt.NDArray[np.int32]

FOLDER = Path(__file__).parent
IDS = (1, 2)
"""Those that come with the package."""
DEFAULT_PRIORS = {"grid": 1, "coordinate": 2}
"""The prior that the encoder takes for each kind of model."""
SPREAD_OF_ONE = 128
"""A spread of s stands for 2**((s - SPREAD_OF_ONE) / 4)."""
SPACING = 32
"""Knots lie so many qualities apart."""
_ROOTS = (
    *(65536, 68438, 71468, 74632, 77936, 81386, 84990, 88752),
    *(92682, 96785, 101070, 105545, 110218, 115098, 120194, 125515),
)
"""2**16 times 2**(k/16), rounded."""


@dataclass(frozen=True, eq=False)
class Expected:
    """What the prior says of a tensor."""

    tensor: QuantisedTensor
    spreads: npt.NDArray[np.uint8]
    """For each weight how far pictures' weights lie from it: see SPREAD_OF_ONE."""


@dataclass(frozen=True, eq=False)
class Prior:
    """A prior: an RGB architecture and, for each of its tensors, weights at knots and spreads."""

    id: int
    digest: bytes
    """The first 4 bytes of the file's SHA-256."""
    architecture: Architecture
    first_knot: int
    values: tuple[Integers, ...]
    """(knots, *shape) of each tensor."""
    exponents: tuple[int, ...]
    spreads: tuple[npt.NDArray[np.uint8], ...]

    def architecture_for(self, channels: int) -> Architecture | None:
        """Return the architecture for pictures of so many channels; None with alpha."""
        return replace(self.architecture, channels=channels) if channels in (1, 3) else None

    def expect(self, channels: int, quality: int) -> list[Expected]:
        """Return what to expect of each tensor, in the order of the file, for 1 or 3 channels."""
        found = []
        for index, (values, exponent, spreads) in enumerate(
            zip(self.values, self.exponents, self.spreads, strict=True)
        ):
            # In units of 2**exponent / 32.
            between_knots = _interpolated(values, quality - self.first_knot)
            scale, shift = np.full(spreads.shape, 1 << 16, np.int64), np.full(spreads.shape, 21)
            # The columns of the grids: the last ones of the first layer and of the bypass.
            grids = self.architecture.grids
            if grids and index in (0, 2 * self.architecture.hidden_layers):
                octaves, sixteenths = divmod(50 - quality, 16)
                scale[:, -grids:] = _ROOTS[sixteenths]
                shift[:, -grids:] -= octaves
            rounded = (between_knots * scale + (1 << (shift - 1))) >> shift
            if channels == 1 and index // 2 == self.architecture.hidden_layers:
                red, green, blue = rounded
                rounded, spreads = (red + 2 * green + blue + 2 >> 2)[None], spreads[1:2]
            found.append(Expected(QuantisedTensor(rounded.astype(np.int32), exponent), spreads))
        return found


def growth(before: int, after: int) -> float:
    """Return how much larger the columns of the grids are at a quality than at another one."""
    return float(2.0 ** ((before - after) / 16))


def _interpolated(values: Integers, position: int) -> npt.NDArray[np.int64]:
    """Return 32 times what lies at a position between the knots."""
    position = min(max(position, 0), SPACING * (len(values) - 1))
    low, share = divmod(position, SPACING)
    high = min(low + 1, len(values) - 1)
    found: npt.NDArray[np.int64] = values[low].astype(np.int64) * (SPACING - share)
    found += values[high].astype(np.int64) * share
    return found


def path_of(id_: int) -> Path:
    """Return where a prior lies."""
    return FOLDER / f"prior-{id_}.npz"


_BROKEN = (
    *(BadZipFile, zlib.error, NotImplementedError, EOFError),
    *(AttributeError, KeyError, TypeError, ValueError),
)
"""What numpy raises for a file that is not an archive of arrays, or not of these."""


@lru_cache(maxsize=4)
def load(id_: int) -> Prior:
    """Return a prior of the package.

    Raises FormatError for one that there is not, SirenError for one that cannot be read.
    """
    path = path_of(id_)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        stems = [found.stem[6:] for found in FOLDER.glob("prior-*.npz")]
        known = sorted(int(stem) for stem in stems if stem.isdecimal())
        raise FormatError(f"prior: expected one of {known}, found {id_}") from None
    except OSError as error:
        raise SirenError(f"{path}: {error.strerror}") from None
    try:
        with np.load(BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        for array in arrays.values():
            array.setflags(write=False)
        return _prior(id_, hashlib.sha256(data).digest()[:4], arrays)
    except _BROKEN as error:
        raise SirenError(f"{path}: expected a prior, found {error}") from None


def _prior(id_: int, digest: bytes, arrays: Mapping[str, npt.NDArray[Any]]) -> Prior:
    layers, features, first_omega, omega, neighbours, context = arrays["network"].tolist()
    grids = tuple(arrays["features"].tolist())
    architecture = Architecture(
        3, layers, features, first_omega / 4, omega / 4, grids, neighbours, context
    )
    exponents = tuple(arrays["exponents"].tolist())
    return Prior(
        id_,
        digest,
        architecture,
        int(arrays["first_knot"]),
        tuple(arrays[f"values_{index}"] for index in range(len(exponents))),
        exponents,
        tuple(arrays[f"spreads_{index}"] for index in range(len(exponents))),
    )


def arrays_of(
    architecture: Architecture,
    first_knot: int,
    values: Sequence[Integers],
    exponents: Sequence[int],
    spreads: Sequence[npt.NDArray[np.uint8]],
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a prior's file."""
    network = (
        *(architecture.hidden_layers, architecture.hidden_features),
        *(round(4 * architecture.first_omega_0), round(4 * architecture.omega_0)),
        *(architecture.neighbours, architecture.context_features),
    )
    arrays: dict[str, npt.NDArray[Any]] = {
        "network": np.array(network, np.int32),
        "features": np.array(architecture.features, np.uint8),
        "exponents": np.array(exponents, np.int8),
        "first_knot": np.array(first_knot, np.int32),
    }
    arrays |= {f"values_{index}": array.astype(np.int32) for index, array in enumerate(values)}
    return arrays | {f"spreads_{index}": array for index, array in enumerate(spreads)}


def expected(name: PriorName | None, channels: int) -> list[Expected] | None:
    """Return what the prior that a Field names says of its tensors."""
    return None if name is None else load(name.id).expect(channels, name.quality)
