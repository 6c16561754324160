"""A server for one page and its pictures, which nothing but this machine can reach."""

from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from siren_codec.errors import SirenError

__all__ = ["HOST", "Resource", "Server"]

HOST = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True)
class Resource:
    """What a path is answered with: the bytes and their type."""

    type: str
    data: bytes


class Server(ThreadingHTTPServer):
    """Serves the resources that it is given, by their paths, on loopback."""

    daemon_threads = True
    # Another process that listens on the same port would get the requests.
    allow_reuse_address = False

    def __init__(self, resources: Mapping[str, Resource], port: int = 0) -> None:
        """Listen on a port, 0 for any that is free. Raises SirenError."""
        self.resources = dict(resources)
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            raise SirenError(f"port {port}: {error.strerror or error}") from None

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone away."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD of the server's own paths."""

    server: Server
    server_version = "siren-view"
    sys_version = ""
    # A client that says nothing keeps no thread.
    timeout = 30

    def do_GET(self) -> None:
        """Send a resource."""
        resource = self._begin()
        if resource is not None:
            self.wfile.write(resource.data)

    def do_HEAD(self) -> None:
        """Send a resource's headers."""
        self._begin()

    def _begin(self) -> Resource | None:
        """Send the headers; return what comes after them unless that is an error."""
        # A page of another site whose name leads here (DNS rebinding) has its own name as Host.
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self.send_error(421)
            return None
        resource = self.server.resources.get(self.path)
        if resource is None:
            self.send_error(404)
            return None
        self.send_response(200)
        self.send_header("Content-Type", resource.type)
        self.send_header("Content-Length", str(len(resource.data)))
        self.end_headers()
        return resource

    def end_headers(self) -> None:
        """Add what every answer says."""
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing."""
