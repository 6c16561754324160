"""siren_codec: pictures stored as functions.

    encoded = siren_codec.encode_file("photo.png")         # writes photo.siren
    pixels = siren_codec.decode("photo.siren", scale=4)    # a numpy array, at any size
    field = siren_codec.open("photo.siren")                # the function itself
    field.at(1.2, 200.5), field.gradient(1.2, 200.5)
    for each in siren_codec.encode_many("photos", "small", workers=4):
        print(each.output, each.bytes, each.psnr, each.error)
    siren_codec.view("photo.siren")                        # in the browser

Everything is imported when it is first used; torch only to encode, which needs the extra `encode`:
pip install 'siren-codec[encode]'.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = [
    "DecodedFile",
    "Encoded",
    "EncodedFile",
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
    "decode_many",
    "encode",
    "encode_file",
    "encode_many",
    "info",
    "open",
    "register_pillow",
    "view",
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
    from siren_codec.many.api import decode_many, encode_many
    from siren_codec.many.results import DecodedFile, EncodedFile
    from siren_codec.options import Options
    from siren_codec.pillow_plugin import register_pillow
    from siren_codec.progress import Progress
    from siren_codec.summary import info
    from siren_codec.viewer import view

_WHERE = {
    "DecodedFile": "many.results",
    "Encoded": "encoding",
    "EncodedFile": "many.results",
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
    "decode_many": "many.api",
    "encode": "encoding",
    "encode_file": "encoding",
    "encode_many": "many.api",
    "info": "summary",
    "open": "decoding",
    "register_pillow": "pillow_plugin",
    "view": "viewer",
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
