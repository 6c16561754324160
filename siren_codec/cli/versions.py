"""What --version says: the command, and the libraries that decide what it makes and can read."""

import platform
from collections.abc import Sequence

from siren_codec import __version__

__all__ = ["of_command"]

_ALWAYS = ("numpy", "pillow", "constriction", "zstandard")
_IF_THERE = {
    "siren-encode": ("torch", "numba", "imagecodecs", "pillow-heif", "pillow-jxl-plugin"),
    "siren-decode": ("torch", "imagecodecs", "pillow-jxl-plugin"),
    "siren-info": (),
    "siren-bench": ("torch", "numba", "imagecodecs", "scikit-image"),
}
"""What a command can do without, or does not always need."""


def of_command(name: str) -> Sequence[str]:
    """Return the lines of a command's --version; only what decoding needs is imported."""
    from siren_codec.stream import by_c

    compiled, numpy_only = "compiled (C)", "numpy (no C extension was built)"
    versions = {package: _version(package) for package in (*_ALWAYS, *_IF_THERE.get(name, ()))}
    libraries = [
        f"{package} {version or 'not installed'}"
        for package, version in versions.items()
        if version or package in _ALWAYS
    ]
    return (
        f"{name} {__version__}",
        f"Python {platform.python_version()}",
        *libraries,
        f"range decoder: {compiled if by_c.available() else numpy_only}",
    )


def _version(package: str) -> str | None:
    # It takes long to import, and only --version needs it.
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
