"""The golden files: their names, bytes, and the digests of the integers that each one holds."""

import hashlib
import json
from pathlib import Path

import numpy as np

from siren_codec.field import Field

__all__ = ["DIGESTS", "GOLDEN", "GOLDEN_FILES", "golden", "tensors_digest"]

GOLDEN = Path(__file__).parent / "golden"
DIGESTS = json.loads((GOLDEN / "digests.json").read_text())
GOLDEN_FILES = sorted(DIGESTS)


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.siren").read_bytes()


def tensors_digest(field: Field) -> str:
    """Return the SHA-256 of all tensors: each one's exponent, then its values, as `<i4`.

    The integers of the latent grids follow.
    """
    digest = hashlib.sha256()
    for tensor in field.tensors():
        digest.update(np.int32(tensor.exponent).astype("<i4").tobytes())
        digest.update(tensor.values.astype("<i4").tobytes())
    for grids in field.latents:
        digest.update(grids.astype("<i4").tobytes())
    return digest.hexdigest()
