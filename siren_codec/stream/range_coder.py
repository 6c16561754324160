"""constriction's range coder: its errors as ours, its models with exactly our frequencies."""

from collections.abc import Iterator
from contextlib import contextmanager

import constriction
import numpy as np

from siren_codec.errors import FormatError
from siren_codec.stream.tables import Family, frequencies

__all__ = ["errors", "model"]


@contextmanager
def errors() -> Iterator[None]:
    """Turn what constriction raises into FormatError: its PanicException is no Exception."""
    try:
        yield
    except FormatError:
        raise
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise FormatError(f"range coder: {' '.join(str(error).split())}") from None
        raise


def model(family: Family, index: int) -> constriction.stream.model.Categorical:
    """Return constriction's model with exactly our frequencies.

    Its fast quantisation gives each symbol 1 and shares out the rest of 2**24 in proportion; for
    weights that are integers of that very sum it multiplies by 1.0 and rounds nothing.
    """
    weights = (frequencies(family, index) - 1).astype(np.float64)
    return constriction.stream.model.Categorical(weights, perfect=False)
