"""siren-view without a browser: what the server answers, what an HTML file holds."""

import base64
import hashlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from conftest import Command, make_field
from goldens import GOLDEN

import siren_codec
from siren_codec import stream, viewer
from siren_codec.errors import FormatError, SirenError, UsageError
from siren_codec.viewer import Viewer, server
from siren_codec.viewer.page import decoder

LAYERS = GOLDEN / "rgb_8_layers.siren"
WEB = Path(__file__).parent.parent / "web"
GREY = GOLDEN / "grey_8.siren"


@pytest.fixture
def shown() -> Iterator[Viewer]:
    with siren_codec.view(LAYERS, GREY, browser=False) as found:
        yield found


def _ask(
    shown: Viewer, path: str, *, method: str = "GET", host: str | None = ""
) -> tuple[int, bytes, http.client.HTTPMessage]:
    """Send a request as it is written; with `host` None without that header."""
    port = int(shown.url.rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.putrequest(method, path, skip_host=True)
    if host is not None:
        connection.putheader("Host", host or f"127.0.0.1:{port}")
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers
    connection.close()
    return found


def test_the_page_and_the_files_are_served(shown: Viewer) -> None:
    status, page, headers = _ask(shown, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"<siren-img" in page
    for index, path in enumerate((LAYERS, GREY)):
        status, data, headers = _ask(shown, f"/pictures/{index}")
        assert (status, data) == (200, path.read_bytes())
        assert headers["Content-Type"] == "image/x-siren"
    status, data, headers = _ask(shown, "/pictures/0", method="HEAD")
    assert (status, data) == (200, b"")
    assert int(headers["Content-Length"]) == LAYERS.stat().st_size


@pytest.mark.parametrize(
    "path",
    [
        "/pictures/2",
        "/pictures/-1",
        "/pictures/00",
        "/pictures/0/",
        "/pictures/0?x",
        "/pictures",
        f"/{LAYERS.name}",
        str(LAYERS),
        f"/../../../../../..{LAYERS}",
        f"/pictures/..%2f..%2f{LAYERS.name}",
        "/page.js",
        "*",
    ],
)
def test_nothing_else_is_served(shown: Viewer, path: str) -> None:
    status, body, _ = _ask(shown, path)
    assert status == 404
    assert LAYERS.read_bytes() not in body


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "[::1]", None]
)
def test_other_hosts_are_refused(shown: Viewer, host: str | None) -> None:
    """A page whose name was bound to 127.0.0.1 could read everything otherwise."""
    port = shown.url.rstrip("/").rpartition(":")[2]
    status, body, _ = _ask(shown, "/pictures/0", host=host and host.format(port=port))
    assert status == 421
    assert LAYERS.read_bytes() not in body
    assert _ask(shown, "/pictures/0", host=f"localhost:{port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(shown: Viewer, method: str) -> None:
    assert _ask(shown, "/", method=method)[0] == 501


def test_only_this_machine_is_served(shown: Viewer) -> None:
    assert shown.url.startswith("http://127.0.0.1:")
    with server.Server({}) as listening:
        assert listening.server_address[0] == "127.0.0.1"


def test_files_are_served_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "a.siren"
    path.write_bytes(GREY.read_bytes())
    with siren_codec.view(path, browser=False) as shown:
        path.write_bytes(b"other")
        assert _ask(shown, "/pictures/0")[1] == GREY.read_bytes()


def test_a_port_that_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SirenError, match=f"^port {port}: Address already in use$"):
            siren_codec.view(GREY, port=port, browser=False)


def test_the_viewer_is_gone_when_closed() -> None:
    with siren_codec.view(GREY, browser=False) as shown:
        url = shown.url
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(url, timeout=5)
    shown.wait()


def test_what_view_takes(tmp_path: Path) -> None:
    field = make_field()
    data = stream.write(field)
    with siren_codec.view(field, data, GREY, browser=False) as shown:
        assert [_ask(shown, f"/pictures/{k}")[1] for k in (0, 1)] == [data, data]
    with pytest.raises(UsageError, match="at least one picture"):
        siren_codec.view()
    broken = tmp_path / "b.siren"
    broken.write_bytes(data[:-1])
    with pytest.raises(FormatError, match=f"^{re.escape(str(broken))}: corrupt or truncated"):
        siren_codec.view(GREY, broken)


class _References(HTMLParser):
    """Collects what a page would load, and its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.references: list[str] = []
        self.scripts: dict[str, str] = {}
        self.policy = ""
        self.srcdoc = ""
        self._script: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.references += [found[name] for name in ("src", "href", "srcset") if name in found]
        self.policy = found.get("content", "") if "http-equiv" in found else self.policy
        self.srcdoc = found.get("srcdoc", self.srcdoc)
        self._script = found.get("id", found.get("type")) if tag == "script" else None

    def handle_data(self, data: str) -> None:
        if self._script is not None:
            self.scripts[self._script] = data
            self._script = None


def _parsed(page: str) -> _References:
    found = _References()
    found.feed(page)
    return found


def _bytes_of(url: str) -> bytes:
    head, _, text = url.partition(",")
    assert head.endswith(";base64")
    return base64.b64decode(text)


def test_an_html_file_holds_everything(tmp_path: Path) -> None:
    odd = tmp_path / 'a<!--<script>\u00e9"&.siren'
    odd.write_bytes(GREY.read_bytes())
    page = viewer.page(LAYERS, odd)
    found = _parsed(page)
    assert found.references == []
    assert "url(" not in page
    assert "connect-src data: blob:;" in found.policy
    pictures = json.loads(found.scripts["pictures-data"])
    assert [each["name"] for each in pictures] == [LAYERS.name, odd.name]
    assert [_bytes_of(each["url"]) for each in pictures] == [
        LAYERS.read_bytes(),
        GREY.read_bytes(),
    ]
    assert set(json.loads(found.scripts["priors-data"])) == {"1", "2"}
    imports = json.loads(found.scripts["importmap"])["imports"]
    scripts = [found.scripts["module"], *(_bytes_of(url).decode() for url in imports.values())]
    wanted = re.findall(r"""(?:from|import)\s*['"]([^'"]+)['"]""", "\n".join(scripts))
    assert set(wanted) == set(imports)


@pytest.mark.parametrize(
    ("name", "folders"), [("siren-img.js", ("element",)), ("siren-sw.js", ("element", "src"))]
)
def test_built_files_are_of_their_sources(name: str, folders: tuple[str, ...]) -> None:
    """If not: npm run build, in web."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((WEB / folder).glob("*.js")):
            digest.update(path.read_bytes())
    assert f"of the sources {digest.hexdigest()[:16]} " in decoder(name).decode()


def test_a_served_page_loads_its_pictures_alone(shown: Viewer) -> None:
    found = _parsed(_ask(shown, "/")[1].decode())
    assert found.references == []
    assert "connect-src 'self' data: blob:;" in found.policy
    pictures = json.loads(found.scripts["pictures-data"])
    assert [each["url"] for each in pictures] == ["pictures/0", "pictures/1"]


def test_a_fragment_for_notebooks() -> None:
    field = make_field(width=30, height=20)
    outer = _parsed(viewer.html(field, alt='an "x" & <y>'))
    assert outer.references == []
    inner = _parsed(outer.srcdoc)
    assert inner.references == []
    (picture,) = json.loads(inner.scripts["pictures-data"])
    assert picture["name"] == 'an "x" & <y>'
    assert _bytes_of(picture["url"]) == stream.write(field)
    assert json.loads(inner.scripts["priors-data"]) == {}
    named = siren_codec.open(GOLDEN / "rgb_8_prior_2.siren")
    priors = json.loads(_parsed(_parsed(viewer.html(named)).srcdoc).scripts["priors-data"])
    assert list(priors) == ["2"]


def test_a_field_without_its_finer_grids_has_no_file() -> None:
    field = siren_codec.open(LAYERS)
    for part in (replace(field, first_level=1), replace(field, whole=False)):
        with pytest.raises(SirenError, match="expected all of the picture"):
            viewer.html(part)


def test_command_writes_html(run: Command, tmp_path: Path) -> None:
    target = tmp_path / "out.html"
    assert run("view", "--html", target, LAYERS, GREY) == (0, "", "")
    assert target.read_text(encoding="utf-8") == viewer.page(LAYERS, GREY)
    again = run("view", "--html", target, GREY)
    assert again.code == 1
    assert again.err == f"siren-view: {target}: exists already; --force overwrites it\n"
    assert run("view", "--html", target, GREY, "--force").code == 0
    assert target.read_text(encoding="utf-8") == viewer.page(GREY)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{broken}"], 1, "{broken}: corrupt or truncated: expected CRC"),
        (["{good}", "{broken}"], 1, "{broken}: corrupt or truncated: expected CRC"),
        (["--html", "{out}", "{broken}"], 1, "{broken}: corrupt or truncated: expected CRC"),
        (["{missing}"], 1, "{missing}: No such file or directory"),
        (["--max-pixels", "5", "{good}"], 1, "{good}: 88x64: expected at most 5"),
        (["--html", "{good}", "--force", "{good}"], 1, "{good}: is the input itself"),
        (["--html", "{out}", "--port", "80", "{good}"], 2, "--html: expected neither"),
        (["--html", "{out}", "--no-browser", "{good}"], 2, "--html: expected neither"),
        (["--port", "65536", "{good}"], 2, "Invalid value for '--port'"),
        ([], 2, "Missing argument 'FILE...'"),
    ],
)
def test_what_the_command_refuses(
    run: Command, tmp_path: Path, arguments: list[str], code: int, message: str
) -> None:
    """All of it before anything is served or written."""
    good, broken = tmp_path / "good.siren", tmp_path / "broken.siren"
    good.write_bytes(LAYERS.read_bytes())
    broken.write_bytes(LAYERS.read_bytes()[:-1])
    names = {"good": good, "broken": broken, "out": tmp_path / "o.html", "missing": tmp_path / "m"}
    ran = run("view", *(each.format(**names) for each in arguments))
    assert ran.code == code
    assert ran.out == ""
    assert ran.err.startswith(f"siren-view: {message.format(**names)}")
    assert ran.err.count("\n") == 1
    assert not (tmp_path / "o.html").exists()
    assert good.read_bytes() == LAYERS.read_bytes()


_COMMAND = "from siren_codec.cli import view_main; view_main()"


def _started(*arguments: str, **environment: str) -> tuple[subprocess.Popen[str], str]:
    """Start siren-view; return it and the line that it prints."""
    plain = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    command = subprocess.Popen(
        [sys.executable, "-c", _COMMAND, *arguments],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**plain, **environment},
    )
    assert command.stderr is not None
    return command, command.stderr.readline()


def test_command_serves_until_ctrl_c() -> None:
    command, line = _started("--no-browser", str(GREY))
    try:
        found = re.fullmatch(
            r"siren-view: (http://127\.0\.0\.1:\d+/) \(open it in a browser; Ctrl-C ends it\)\n",
            line,
        )
        assert found, line
        with urllib.request.urlopen(f"{found[1]}pictures/0", timeout=10) as answer:
            assert answer.read() == GREY.read_bytes()
    finally:
        command.send_signal(signal.SIGINT)
        _, rest = command.communicate(timeout=10)
    assert (command.returncode, rest) == (0, "")


def test_command_opens_the_browser(tmp_path: Path) -> None:
    browser, seen = tmp_path / "browser", tmp_path / "seen"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" >"{seen}"\n')
    browser.chmod(0o755)
    command, line = _started(str(GREY), BROWSER=f"{browser} %s")
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=10)
    url = seen.read_text()
    assert line == f"siren-view: {url} (Ctrl-C ends it)\n"


def test_neither_torch_nor_numba_is_imported() -> None:
    code = f"""
import sys
import siren_codec
from siren_codec import viewer
viewer.page({str(LAYERS)!r})
siren_codec.view({str(LAYERS)!r}, browser=False).close()
viewer.html(siren_codec.open({str(LAYERS)!r}))
print({{'torch', 'numba'}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
