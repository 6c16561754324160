"""Write docs/API.md from the docstrings of the public names.

python docs/api.py

A name without a docstring, and whatever pdoc warns of, is an error. `tests/test_api_pages.py` fails
while the page is not what this would write, and runs its examples.
"""

import inspect
import re
import textwrap
import warnings
from importlib import import_module
from pathlib import Path

import pdoc.doc

import siren_codec

PAGE = Path(__file__).parent / "API.md"
HEAD = """\
# The Python API

Made from the docstrings by `python docs/api.py`. `import siren_codec` imports nothing heavy. Only \
encoding imports torch; it needs the extra `encode`: `pip install 'siren-codec[encode]'`. Every \
error is a `siren_codec.SirenError`, every warning a `siren_codec.SirenWarning`.

In the examples `photo.png` is a photograph of 96 x 64 pixels, `photo.siren` is made of it, and \
`import siren_codec` comes first.
"""
ROOMS = {
    "Encoding": ("encode", "encode_file", "Encoded", "Options", "Progress"),
    "Decoding": ("decode", "open", "info", "Field", "View", "Limits"),
    "Many pictures": ("encode_many", "EncodedFile", "decode_many", "DecodedFile"),
    "In a browser": ("view",),
    "Pillow": ("register_pillow",),
    "Errors and warnings": (
        *("SirenError", "FitError", "FormatError", "LimitError", "NotInstalledError"),
        *("PictureError", "UsageError", "SirenWarning"),
    ),
}
"""Every public name, in the order of the page."""
TYPES = {
    "siren_codec.encoding": ("AnyPicture",),
    "siren_codec.decoding": ("Source", "Readable"),
    "siren_codec.many.api": ("Paths",),
    "siren_codec.framing": ("Size", "Crop", "Show"),
    "siren_codec.field.evaluate": ("Sampler",),
    "siren_codec.progress": ("ProgressCallback",),
    "siren_codec.options": ("Model", "Start", "Alpha", "Device"),
}
"""What signatures call types that have no public name, by module."""
_INNER = {
    "Encoded": {"fit"},
    "Field": {"architecture", "context", "latents", "layers", "prior", "tensors"},
    "Options": {"among", "target"},
}
"""Attributes that are not a user's."""


def page() -> str:
    """Return the page. Raises what pdoc warns of."""
    for name in siren_codec.__all__:  # They are imported when they are first used.
        getattr(siren_codec, name)
    parts = [HEAD]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for title, names in ROOMS.items():
            parts.append(f"\n## {title}\n")
            parts += [_entry(name) for name in names]
        parts.append("\n## What the signatures call it\n\n| | |\n|---|---|\n")
        parts += [
            f"| `{name}` | {' '.join(_documented(pdoc.doc.Module(found).get(name)).split())} |\n"
            for found, names in ((import_module(name), names) for name, names in TYPES.items())
            for name in names
        ]
    return "".join(parts)


def _entry(name: str) -> str:
    """Return what is said of a public name."""
    found = getattr(siren_codec, name)
    if inspect.isclass(found):
        return _class(pdoc.doc.Class(found.__module__, name, found, (found.__module__, name)))
    where = (found.__module__, found.__name__)
    return _function(pdoc.doc.Function(*where, found, where), f"siren_codec.{name}", "###")


def _class(found: pdoc.doc.Class) -> str:
    parts = [f"\n### `siren_codec.{found.name}`\n\n", _text(found)]
    hidden = _INNER.get(found.name, set())
    members = [one for one in found.own_members if one.name not in hidden and one.name[0] != "_"]
    inherited = [one for one in _of_bases(found) if one.name[0] != "_"]
    rows = []
    for member in [*inherited, *members]:
        if isinstance(member, pdoc.doc.Variable):
            about = " ".join(_documented(member).split())
            rows.append(f"| `{_declared(member)}` | {about.replace('|', chr(92) + '|')} |\n")
    if rows:
        parts += ["\n| | |\n|---|---|\n", *rows]
    for member in members:
        if isinstance(member, pdoc.doc.Function):
            parts.append(_function(member, f"{found.name}.{member.name}", "####"))
    return "".join(parts)


def _of_bases(found: pdoc.doc.Class) -> list[pdoc.doc.Doc[object]]:
    """Return the attributes that a dataclass has from another of ours."""
    return [
        member
        for base in found.obj.__mro__[1:-1]
        if base.__module__.startswith("siren_codec") and "__dataclass_fields__" in vars(base)
        for member in pdoc.doc.Class(base.__module__, base.__name__, base, ("", "")).own_members
    ]


def _declared(member: pdoc.doc.Variable) -> str:
    type_ = re.sub(r"siren_codec(\.\w+)*\.", "", member.annotation_str.removeprefix(": "))
    default = member.default_value_str
    text = f"{member.name}: {type_}" if type_ else member.name
    return (f"{text} = {default}" if default else text).replace("|", "\\|")


def _function(found: pdoc.doc.Function, name: str, level: str) -> str:
    lines = textwrap.indent(_signature(found, name), "    ")
    return f"\n{level} `{name}`\n\n{lines}\n\n{_text(found)}"


def _signature(found: pdoc.doc.Function, name: str) -> str:
    """Return a function's parameters, as they stand in the source, a line each if they are many."""
    text = inspect.getsource(inspect.unwrap(found.obj))
    declared = re.search(r"def \w+\((.*?)\) -> (.*?):\n", text, re.DOTALL)
    assert declared, name
    inside = [part.strip() for part in declared[1].split("\n")]
    flat = " ".join(inside).removeprefix("self").strip().removeprefix(",").strip().rstrip(",")
    result = declared[2].strip('"')
    short = f"{name.split('.')[-1]}({flat}) -> {result}"
    if len(short) <= 88:
        return short
    rows = [f"    {part}" for part in inside if part and part != "self,"]
    return "\n".join([f"{name.split('.')[-1]}(", *rows, f") -> {result}"])


def _documented(found: pdoc.doc.Doc[object]) -> str:
    """Return a docstring. Raises ValueError without one."""
    if not found.docstring:
        raise ValueError(f"{found.fullname}: expected a docstring")
    return found.docstring


def _text(found: pdoc.doc.Doc[object]) -> str:
    """Return a docstring, its examples in fences."""
    paragraphs = [
        f"```pycon\n{part}\n```" if part.startswith(">>>") else " ".join(part.split())
        for part in _documented(found).split("\n\n")
    ]
    return "\n\n".join(paragraphs) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
