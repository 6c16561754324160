"""The continuous picture: numpy only, and nothing of the layers above."""

from siren_codec.field.field import Architecture, Field, Layer, PriorName, QuantisedTensor

__all__ = ["Architecture", "Field", "Layer", "PriorName", "QuantisedTensor"]
