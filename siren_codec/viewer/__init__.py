"""Pictures in a browser: a page of 127.0.0.1, a file to send to anyone, a cell of a notebook.

view("a.siren")        opens the browser; the page lives until the viewer is closed
page("a.siren")        the same page as one file that needs no server and no network
html(field)            a picture as a fragment of HTML
"""

import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from siren_codec import stream
from siren_codec.decoding import Source, read_bytes
from siren_codec.errors import SirenError, UsageError
from siren_codec.field import Field
from siren_codec.limits import DEFAULT_LIMITS, Limits
from siren_codec.viewer.page import Entry, document, fragment
from siren_codec.viewer.server import Resource, Server

__all__ = ["File", "Viewer", "check", "html", "page", "view"]

MIME_TYPE = "image/x-siren"
_POLL_SECONDS = 0.05
"""How long the server may take to notice that it is to end."""


@dataclass(frozen=True)
class File:
    """A `.siren` file that was found to be sound, and what it is called."""

    name: str
    data: bytes


class Viewer:
    """The viewer's page, served from 127.0.0.1 until `close`; a context manager."""

    def __init__(self, files: Sequence[File], port: int = 0) -> None:
        """Serve the page at a port, 0 for any that is free. Raises SirenError."""
        paths = [f"/pictures/{index}" for index in range(len(files))]
        entries = [
            Entry(file.name, len(file.data), path.lstrip("/"))
            for file, path in zip(files, paths, strict=True)
        ]
        text = document(entries, is_served=True).encode()
        resources = {"/": Resource("text/html; charset=utf-8", text)}
        for file, path in zip(files, paths, strict=True):
            resources[path] = Resource(MIME_TYPE, file.data)
        self._server = Server(resources, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address."""
        return self._server.url

    def open_browser(self) -> bool:
        """Open the page in a browser with windows; tell whether there seems to be one."""
        if not _has_windows():
            return False
        try:
            return webbrowser.open(self.url)
        except (webbrowser.Error, OSError):
            return False

    def wait(self) -> None:
        """Wait until it is closed, or for Ctrl-C (KeyboardInterrupt)."""
        while self._thread.is_alive():
            self._thread.join(1)

    def close(self) -> None:
        """Serve no longer."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Viewer":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Serve no longer."""
        self.close()


def view(*sources: "Source | Field", port: int = 0, browser: bool = True) -> Viewer:
    """Show pictures, given as paths, bytes or Fields, in a browser; return at once.

    The page is there until the Viewer is closed or the program ends: `view(...).wait()` waits.
    Without a window to open one in, or without `browser`, the page is served all the same: its
    address is the Viewer's `url`. Raises SirenError.

    >>> with siren_codec.view("photo.siren", browser=False) as viewer:
    ...     viewer.url.startswith("http://127.0.0.1:")
    True
    """
    if not sources:
        raise UsageError("expected at least one picture, found none")
    viewer = Viewer([_read(source) for source in sources], port)
    if browser:
        viewer.open_browser()
    return viewer


def page(*sources: "Source | Field | File") -> str:
    """Return the viewer with pictures as one HTML file, which loads nothing. Raises SirenError."""
    files = [each if isinstance(each, File) else _read(each) for each in sources]
    return document([Entry.inlined(file.name, file.data) for file in files], is_served=False)


def html(field: Field, *, alt: str = "picture") -> str:
    """Return a picture as a fragment of HTML that loads nothing and can be zoomed.

    As wide as the picture, or as there is room. Raises SirenError, for instance for a Field whose
    finer grids were not read.
    """
    priors = [field.prior.id] if field.prior else []
    entry = Entry.inlined(alt, _bytes_of(field))
    return fragment(entry, field.width, field.height, priors)


def _read(source: "Source | Field", *, limits: Limits = DEFAULT_LIMITS) -> File:
    """Return a `.siren` file that is sound as far as its first layer. Raises SirenError."""
    if isinstance(source, Field):
        return File("picture", _bytes_of(source))
    if not isinstance(source, str | os.PathLike):
        return check("picture", read_bytes(source, limits), limits)
    path = os.fspath(source)
    data = read_bytes(path, limits)
    try:
        return check(Path(path).name, data, limits)
    except SirenError as error:
        raise type(error)(f"{path}: {error}") from None


def check(name: str, data: bytes, limits: Limits = DEFAULT_LIMITS) -> File:
    """Return a file if it is sound as far as its first layer. Raises SirenError."""
    # The others take time, and the browser reads them anyway.
    stream.read(data, limits, first_level=limits.levels)
    return File(name, data)


def _bytes_of(field: Field) -> bytes:
    """Return the file of a Field. Raises SirenError if it is not all of it."""
    if field.first_level > 0 or not field.whole:
        raise SirenError("expected all of the picture, found one without its finer grids")
    return stream.write(field)


def _has_windows() -> bool:
    """Tell whether a browser can open a window: in a console alone one would take it over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(name in os.environ for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY"))
