"""The viewer's page: one HTML file that holds all it needs, with the pictures or without."""

import base64
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from siren_codec.errors import SirenError
from siren_codec.stream import prior as priors

__all__ = ["Entry", "decoder", "document", "fragment"]

_PAGE = Path(__file__).parent / "page"
_MODULES = ("bicubic", "grid", "readout")
_ROOT = Path(__file__).parent.parent
_DECODERS = (_ROOT / "web", _ROOT.parent / "web" / "dist")
"""Where siren.js and the priors are: in an installation, in a checkout."""
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' data: blob:; "
    "worker-src data: blob:; style-src 'unsafe-inline'; img-src data: blob:; "
    "connect-src {sources} data: blob:; form-action 'none'; base-uri 'none'"
)
_FRAGMENT = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
{policy}
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden; }}
siren-img {{ width: 100%; height: 100%; object-fit: contain; }}
</style>
<siren-img id="picture" alt="{title}" zoomable></siren-img>
{scripts}
</html>
"""
_SHOW = """\
import { SirenImage } from 'siren-img';
const read = (id) => JSON.parse(document.getElementById(`${id}-data`).textContent);
const bytesOf = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
SirenImage.priors = Object.fromEntries(
  Object.entries(read('priors')).map(([id, text]) => [id, bytesOf(text)]),
);
document.getElementById('picture').src = read('pictures')[0].url;"""


@dataclass(frozen=True)
class Entry:
    """A picture of a page: its name, the length of its file, and the address of its bytes."""

    name: str
    size: int
    url: str

    @classmethod
    def inlined(cls, name: str, data: bytes) -> "Entry":
        """Return an entry whose address is the file itself."""
        return cls(name, len(data), _data_url("application/octet-stream", data))


def document(entries: Sequence[Entry], *, is_served: bool) -> str:
    """Return the viewer's page for some pictures.

    It loads nothing but the addresses of its entries, which a served page may have on its server.
    Raises SirenError if siren.js is not there.
    """
    modules = {f"viewer/{name}": _text(_PAGE / f"{name}.js") for name in _MODULES}
    title = entries[0].name if len(entries) == 1 else "siren-view"
    head = [
        _policy("'self'" if is_served else ""),
        f"<title>{html.escape(title)}</title>",
        f"<style>\n{_text(_PAGE / 'page.css')}</style>",
    ]
    scripts = _scripts(entries, priors.IDS, modules, _text(_PAGE / "page.js"))
    page = _text(_PAGE / "page.html")
    for mark, lines in (("<!-- head -->", head), ("<!-- scripts -->", scripts)):
        before, after = page.split(mark)
        page = before + "\n".join(lines) + after
    return page


def fragment(entry: Entry, width: int, height: int, ids: Iterable[int]) -> str:
    """Return a picture as HTML to put into another page: a frame that loads nothing.

    It is `width` pixels wide, or as wide as there is room, and has the priors of these ids. Raises
    SirenError.
    """
    inner = _FRAGMENT.format(
        policy=_policy(""),
        title=html.escape(entry.name),
        scripts="\n".join(_scripts([entry], ids, {}, _SHOW)),
    )
    return (
        f'<iframe srcdoc="{html.escape(inner)}" title="{html.escape(entry.name)}" '
        f'sandbox="allow-scripts" style="display: block; border: 0; width: {width}px; '
        f'max-width: 100%; aspect-ratio: {width} / {height};"></iframe>'
    )


def _scripts(
    entries: Sequence[Entry], ids: Iterable[int], modules: Mapping[str, str], main: str
) -> list[str]:
    """Return a page's data, the priors of some ids, and its scripts, the last of which begins."""
    pictures = [{"name": each.name, "bytes": each.size, "url": each.url} for each in entries]
    sources = {**_element(), **modules}
    imports = {name: _data_url("text/javascript", text.encode()) for name, text in sources.items()}
    return [
        _json("application/json", pictures, "pictures-data"),
        _json("application/json", {id_: _prior(id_) for id_ in ids}, "priors-data"),
        _json("importmap", {"imports": imports}),
        f'<script type="module">\n{main}\n</script>',
    ]


def _element() -> dict[str, str]:
    """Return the modules of <siren-img> by their names; they are no files that lie side by side."""
    element = decoder("siren-img.js").decode().replace('"./siren.js"', '"siren-codec"')
    return {"siren-codec": decoder("siren.js").decode(), "siren-img": element}


def _json(kind: str, value: Any, id_: str | None = None) -> str:
    """Return a script element that holds JSON, in which nothing can end it."""
    name = f' id="{id_}"' if id_ else ""
    text = json.dumps(value).replace("<", "\\u003c")
    return f'<script type="{kind}"{name}>{text}</script>'


def _policy(sources: str) -> str:
    """Return the tag that keeps a page from loading anything else."""
    policy = " ".join(_POLICY.format(sources=sources).split())
    return f'<meta http-equiv="Content-Security-Policy" content="{policy}">'


def _prior(id_: int) -> str:
    return base64.b64encode(decoder(f"prior-{id_}.bin")).decode()


def decoder(name: str) -> bytes:
    """Return a file of the decoder for browsers. Raises SirenError."""
    for folder in _DECODERS:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise SirenError(f"{name}: expected it in {_DECODERS[0]}, found nothing")


def _data_url(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")
