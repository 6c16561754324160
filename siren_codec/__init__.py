"""siren_codec: pictures stored as functions.

    data = siren_codec.encode(pixels)                # bytes of a .siren file
    pixels = siren_codec.decode(data, scale=4)       # a numpy array, at any size
    field = siren_codec.open("picture.siren")        # the function itself
    field.at(1.2, 200.5), field.gradient(1.2, 200.5)
    siren_codec.view("picture.siren")                # in the browser

Everything is imported when it is first used; torch only by `encode`.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Field",
    "Limits",
    "SirenError",
    "__version__",
    "decode",
    "encode",
    "info",
    "open",
    "register_pillow",
    "view",
]

if TYPE_CHECKING:
    from siren_codec.decoding import decode
    from siren_codec.decoding import open_field as open
    from siren_codec.encoding import encode
    from siren_codec.errors import SirenError
    from siren_codec.field import Field
    from siren_codec.limits import Limits
    from siren_codec.pillow_plugin import register_pillow
    from siren_codec.summary import info
    from siren_codec.viewer import view

_WHERE = {
    "Field": ("siren_codec.field", "Field"),
    "Limits": ("siren_codec.limits", "Limits"),
    "SirenError": ("siren_codec.errors", "SirenError"),
    "decode": ("siren_codec.decoding", "decode"),
    "encode": ("siren_codec.encoding", "encode"),
    "info": ("siren_codec.summary", "info"),
    "open": ("siren_codec.decoding", "open_field"),
    "register_pillow": ("siren_codec.pillow_plugin", "register_pillow"),
    "view": ("siren_codec.viewer", "view"),
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
