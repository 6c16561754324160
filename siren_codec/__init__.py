"""siren_codec: pictures stored as functions.

    data = siren_codec.encode(pixels)                # bytes of a .siren file
    pixels = siren_codec.decode(data, scale=4)       # a numpy array, at any size
    field = siren_codec.open("picture.siren")        # the function itself
    field.at(1.2, 200.5), field.gradient(1.2, 200.5)
    for each in siren_codec.encode_many("photos", "small", workers=4):
        print(each.output, each.bytes, each.psnr, each.error)

Everything is imported when it is first used; torch only by `encode`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "DecodedFile",
    "EncodedFile",
    "Field",
    "Limits",
    "SirenError",
    "__version__",
    "decode",
    "decode_many",
    "encode",
    "encode_many",
    "info",
    "open",
    "register_pillow",
]

if TYPE_CHECKING:
    from siren_codec.decoding import decode
    from siren_codec.decoding import open_field as open
    from siren_codec.encoding import encode
    from siren_codec.errors import SirenError
    from siren_codec.field import Field
    from siren_codec.limits import Limits
    from siren_codec.many.api import decode_many, encode_many
    from siren_codec.many.results import DecodedFile, EncodedFile
    from siren_codec.pillow_plugin import register_pillow
    from siren_codec.summary import info

_WHERE = {
    "DecodedFile": ("siren_codec.many.results", "DecodedFile"),
    "EncodedFile": ("siren_codec.many.results", "EncodedFile"),
    "Field": ("siren_codec.field", "Field"),
    "Limits": ("siren_codec.limits", "Limits"),
    "SirenError": ("siren_codec.errors", "SirenError"),
    "decode": ("siren_codec.decoding", "decode"),
    "decode_many": ("siren_codec.many.api", "decode_many"),
    "encode": ("siren_codec.encoding", "encode"),
    "encode_many": ("siren_codec.many.api", "encode_many"),
    "info": ("siren_codec.summary", "info"),
    "open": ("siren_codec.decoding", "open_field"),
    "register_pillow": ("siren_codec.pillow_plugin", "register_pillow"),
}


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _WHERE[name]
    value = globals()[name] = getattr(import_module(module), attribute)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
