"""siren_codec: pictures stored as functions.

    encoded = siren_codec.encode_file("photo.png")         # writes photo.siren
    pixels = siren_codec.decode("photo.siren", scale=4)    # a numpy array, at any size
    field = siren_codec.open("photo.siren")                # the function itself
    field.at(1.2, 200.5), field.gradient(1.2, 200.5)

Everything is imported when it is first used; torch only to encode, which needs the extra `encode`:
pip install 'siren-codec[encode]'.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "Encoded",
    "Field",
    "FitError",
    "FormatError",
    "LimitError",
    "Limits",
    "NotInstalledError",
    "Options",
    "PictureError",
    "Progress",
    "SirenError",
    "SirenWarning",
    "UsageError",
    "View",
    "__version__",
    "decode",
    "encode",
    "encode_file",
    "info",
    "open",
    "register_pillow",
]

if TYPE_CHECKING:
    from siren_codec.decoding import decode
    from siren_codec.decoding import open_field as open
    from siren_codec.encoding import Encoded, encode, encode_file
    from siren_codec.errors import (
        FitError,
        FormatError,
        LimitError,
        NotInstalledError,
        PictureError,
        SirenError,
        SirenWarning,
        UsageError,
    )
    from siren_codec.field import Field
    from siren_codec.framing import View
    from siren_codec.limits import Limits
    from siren_codec.options import Options
    from siren_codec.pillow_plugin import register_pillow
    from siren_codec.progress import Progress
    from siren_codec.summary import info

_WHERE = {
    "Encoded": "encoding",
    "Field": "field",
    "FitError": "errors",
    "FormatError": "errors",
    "LimitError": "errors",
    "Limits": "limits",
    "NotInstalledError": "errors",
    "Options": "options",
    "PictureError": "errors",
    "Progress": "progress",
    "SirenError": "errors",
    "SirenWarning": "errors",
    "UsageError": "errors",
    "View": "framing",
    "decode": "decoding",
    "encode": "encoding",
    "encode_file": "encoding",
    "info": "summary",
    "open": "decoding",
    "register_pillow": "pillow_plugin",
}
"""The module of each public name."""
_CALLED = {"open": "open_field"}
"""What a name is in its module, where that is not the same."""


def __getattr__(name: str) -> Any:
    """Import a public name on its first use (PEP 562)."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = import_module(f"siren_codec.{_WHERE[name]}")
    value = globals()[name] = getattr(module, _CALLED.get(name, name))
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
