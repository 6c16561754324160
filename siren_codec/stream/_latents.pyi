"""`c/module.c`: the arguments are those of `siren_decode` and `siren_predict`, in another order."""

from typing import Any

import numpy.typing as npt

def decode(first: int, last: int, stride: int, /, *arrays: npt.NDArray[Any]) -> bool:
    """Tell whether all was as an encoder writes it."""

def predict(first: int, last: int, stride: int, /, *arrays: npt.NDArray[Any]) -> int:
    """Return the number of cells."""
