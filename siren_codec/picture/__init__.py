"""Picture files <-> Picture: pixels with their depth, and the metadata that goes with them."""

from siren_codec.picture.picture import METADATA, MODES, Picture, from_array, strip
from siren_codec.picture.read import from_pil, load
from siren_codec.picture.write import OUTPUT_FORMATS, check_writable, lossless_webp, save_bytes

__all__ = [
    "METADATA",
    "MODES",
    "OUTPUT_FORMATS",
    "Picture",
    "check_writable",
    "from_array",
    "from_pil",
    "load",
    "lossless_webp",
    "save_bytes",
    "strip",
]
