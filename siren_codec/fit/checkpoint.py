"""The state of an unfinished fit as a file: arrays and JSON, no pickle."""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from siren_codec import output
from siren_codec.errors import FitError

__all__ = ["Checkpoint"]

Arrays = Mapping[str, npt.NDArray[Any]]
_MAKER = "siren_codec checkpoint 2"
_FACTS = "facts"
_SECONDS = 30.0


class Checkpoint:
    """A file that a fit's state is saved to now and then, and that it can go on from.

    `belongs` says what picture and settings the state is of.
    """

    def __init__(self, path: Path, belongs: Mapping[str, Any]) -> None:
        self.path = path
        self.belongs = dict(belongs)
        self._next = time.monotonic() + _SECONDS

    def is_due(self) -> bool:
        """Tell whether it is time to save."""
        return time.monotonic() >= self._next

    def save(self, facts: Mapping[str, Any], arrays: Arrays) -> None:
        """Write the file; it is whole or absent. Raises SirenError."""
        text = json.dumps({"maker": _MAKER, "belongs": self.belongs, "facts": dict(facts)})
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **{_FACTS: np.array(text)}, **arrays)
        # It shows the picture, which may be for nobody else to see.
        output.write(self.path, file.getvalue(), force=True, private=True)
        self._next = time.monotonic() + _SECONDS

    def load(self) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]] | None:
        """Return the facts and arrays of the file, None if there is none.

        Raises FitError for a file that is no checkpoint, or is one of another fit.
        """
        try:
            with open(self.path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            text = json.loads(str(arrays.pop(_FACTS)))
            maker, owner, facts = text["maker"], text["belongs"], dict(text["facts"])
        except FileNotFoundError:
            return None
        except Exception:
            # numpy and zipfile raise nearly anything.
            raise FitError(f"{self.path}: expected a checkpoint of a fit") from None
        if maker != _MAKER:
            raise FitError(f"{self.path}: expected a {_MAKER}, found a {maker}")
        for name, expected in json.loads(json.dumps(self.belongs)).items():
            if owner.get(name) != expected:
                raise FitError(
                    f"{self.path}: belongs to another fit: expected {name} {expected}, "
                    f"found {owner.get(name)}"
                )
        return facts, arrays

    def remove(self) -> None:
        """Remove the file, if there is one."""
        self.path.unlink(missing_ok=True)
