"""Extras: packages that not everybody needs. Decoding needs none of them.

`pyproject.toml` says which packages an extra installs; here are the modules by which it is known.
"""

from importlib.util import find_spec

from siren_codec.errors import NotInstalledError

__all__ = ["EXTRAS", "need"]

_ENCODE = ("torch", "numba", "llvmlite", "tqdm", "imagecodecs", "simplejpeg", "tifffile")
EXTRAS = {
    "encode": _ENCODE,
    "bench": (*_ENCODE, "jinja2", "matplotlib", "skimage", "scipy"),
    "ray": (*_ENCODE, "ray"),
}


def need(extra: str, what: str) -> None:
    """Raise NotInstalledError, which says what to install, if an extra is not there.

    `what` needs it. Nothing is imported.
    """
    missing = [module for module in EXTRAS[extra] if find_spec(module) is None]
    if missing:
        raise NotInstalledError(
            f"{what} needs {', '.join(missing)}: pip install 'siren-codec[{extra}]'"
        )
