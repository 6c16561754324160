"""Picture files <-> Picture: pixels with their depth, and the metadata that goes with them."""

from siren_codec.picture.picture import METADATA, MODES, Picture, from_array, strip
from siren_codec.picture.read import from_pil, load
from siren_codec.picture.write import OUTPUT_FORMATS, save_bytes

__all__ = [
    "METADATA",
    "MODES",
    "OUTPUT_FORMATS",
    "Picture",
    "from_array",
    "from_pil",
    "load",
    "save_bytes",
    "strip",
]
