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
    "siren-bench": ("torch", "numba", "scikit-image", "ssimulacra2"),
}
"""What a command can do without, or does not always need; siren-bench has codecs' packages too."""


def of_command(name: str) -> Sequence[str]:
    """Return the lines of a command's --version; only what decoding needs is imported."""
    from siren_codec.stream import by_c

    compiled, numpy_only = "compiled (C)", "numpy (no C extension was built)"
    packages = (
        *_ALWAYS,
        *_IF_THERE.get(name, ()),
        *(_of_codecs() if name == "siren-bench" else ()),
    )
    versions = {package: _version(package) for package in packages}
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


def _of_codecs() -> Sequence[str]:
    """Return the packages of the codecs that siren-bench compares."""
    from siren_codec.bench.codecs import CODECS, Library

    return [codec.package for codec in CODECS if isinstance(codec, Library)]


def _version(package: str) -> str | None:
    # It takes long to import, and only --version needs it.
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
