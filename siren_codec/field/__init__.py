"""The continuous picture: numpy only, and nothing of the layers above."""

from siren_codec.field.field import (
    BYPASS_SCALE,
    Architecture,
    Field,
    Layer,
    PriorName,
    QuantisedTensor,
)

__all__ = ["BYPASS_SCALE", "Architecture", "Field", "Layer", "PriorName", "QuantisedTensor"]
