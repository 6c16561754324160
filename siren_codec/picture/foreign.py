"""Kinds of pictures that Pillow does not read by itself, and the plugins that teach it some."""

from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

__all__ = ["HEAD", "KINDS", "Foreign", "import_plugin", "is_readable", "kind_of", "kind_of_file"]

HEAD = 16
"""Bytes that tell the kind."""
_HEIF = ("heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1")


@dataclass(frozen=True)
class Foreign:
    """A kind of picture: its name, extensions, and first bytes with where they begin."""

    name: str
    extensions: tuple[str, ...]
    signatures: tuple[tuple[int, bytes], ...] = ()
    package: str = ""
    """What to install so that Pillow reads it, if there is such a thing."""
    module: str = ""
    """What registers with Pillow when it is imported."""
    by_name: bool = False
    """Whether the name says more than the content: a raw picture begins as the TIFF of its
    thumbnail does."""

    @property
    def advice(self) -> str:
        """What is wrong with it, and what helps."""
        return f"not readable{f'; pip install {self.package}' if self.package else ''}"


KINDS = (
    Foreign(
        "HEIC",
        (".heic", ".heif", ".hif"),
        tuple((4, b"ftyp" + brand.encode()) for brand in _HEIF),
        "pillow-heif",
        "pillow_heif.HeifImagePlugin",
    ),
    Foreign(
        "JXL",
        (".jxl",),
        ((0, b"\0\0\0\x0cJXL \r\n\x87\n"), (0, b"\xff\x0a")),
        "pillow-jxl-plugin",
        "pillow_jxl",
    ),
    Foreign("OpenEXR", (".exr",), ((0, b"v/1\x01"),)),
    Foreign("Radiance", (".hdr",), ((0, b"#?RADIANCE"),)),
    Foreign("JPEG XR", (".jxr", ".wdp", ".hdp"), ((0, b"II\xbc\x01"),)),
    Foreign("JPEG-LS", (".jls",)),
    Foreign("XCF", (".xcf",), ((0, b"gimp xcf"),)),
    Foreign("SVG", (".svg", ".svgz")),
    Foreign("WMF", (".wmf", ".emf")),
    Foreign(
        "raw",
        (".cr2", ".cr3", ".nef", ".arw", ".dng", ".orf", ".raf", ".rw2", ".pef"),
        by_name=True,
    ),
)


def kind_of(head: bytes, extension: str = "") -> Foreign | None:
    """Return which of these kinds a file's first bytes are, or else its name's extension is."""
    for kind in KINDS:
        if any(head[at:].startswith(signature) for at, signature in kind.signatures):
            return kind
    return next((kind for kind in KINDS if extension.lower() in kind.extensions), None)


def kind_of_file(path: Path) -> Foreign | None:
    """Return which of these kinds a file is."""
    head = b""
    with suppress(OSError), open(path, "rb") as file:
        head = file.read(HEAD)
    return kind_of(head, path.suffix)


@cache
def import_plugin(kind: Foreign) -> None:
    """Let Pillow read a kind if its plugin is installed; it may be absent, or broken."""
    if kind.module and not _registered(kind):
        with suppress(Exception):
            import_module(kind.module)


def is_readable(kind: Foreign) -> bool:
    """Tell whether Pillow reads a kind, with the plugin that there may be."""
    import_plugin(kind)
    return _registered(kind)


def _registered(kind: Foreign) -> bool:
    from PIL import Image

    known = Image.registered_extensions().get(kind.extensions[0])
    return known in Image.OPEN and known != "WMF"
