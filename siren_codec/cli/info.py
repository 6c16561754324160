"""siren-info."""

import json
from collections.abc import Iterator
from typing import Any

import click

from siren_codec.cli import console, files, usage
from siren_codec.cli.usage import MESSAGES, option
from siren_codec.errors import SirenError
from siren_codec.limits import Limits

__all__ = ["info_command"]

_NAME = "siren-info"


@usage.command(
    _NAME,
    usages=("[OPTIONS] FILE...",),
    examples=(
        ("siren-info a.siren", "a line for each part"),
        ("siren-info --json a.siren | jq .bpp", "for machines"),
        ("siren-info --json *.siren | jq -r '[.input, .bytes] | @tsv'", "a table of many"),
    ),
)
@click.argument("sources", metavar="FILE...", type=usage.FILE, nargs=-1, required=True)
@usage.max_pixels
@usage.max_work
@option(MESSAGES, "--json", "as_json", is_flag=True, help="Print a line of JSON for each file.")
@usage.the_version
def info_command(sources: tuple[str, ...], as_json: bool, max_pixels: int, max_work: int) -> int:
    """Print what .siren files (- is standard input) hold, and how many bytes each part takes.

    With several files each listing begins with the file's name. If one of them cannot be read, the
    others are still shown, and the exit code is 1.
    """
    limits = Limits(pixels=max_pixels, multiply_adds=max_work)
    files.standard_output()
    failed = False
    for index, source in enumerate(sources):
        source = files.dashed(source, files.INPUT)
        try:
            found = _info(source, limits)
        except SirenError as error:
            if len(sources) == 1:
                raise
            failed = True
            console.say(f"{_NAME}: {' '.join(str(error).split())}", error=True)
            if as_json:
                _write(json.dumps({"input": source, "error": str(error)}))
        else:
            named = {"input": source, **found} if as_json or len(sources) > 1 else found
            text = json.dumps(named) if as_json else "\n".join(_table(named))
            _write(text if as_json or index == 0 else f"\n{text}")
    return 1 if failed else 0


def _info(source: str, limits: Limits) -> dict[str, Any]:
    """Return what a file holds. Raises SirenError, with its name."""
    from siren_codec import summary

    data = files.read(source)
    return files.parse(source, data, lambda data: summary.info(data, limits=limits))


def _write(text: str) -> None:
    files.write_output("-", f"{text}\n".encode(), force=False)


def _table(found: dict[str, Any]) -> list[str]:
    return [f"{name:22} {text}" for name, text in _lines(found)]


def _lines(found: dict[str, Any]) -> Iterator[tuple[str, object]]:
    from siren_codec.picture import METADATA

    for key, value in found.items():
        if key == "sections":
            yield from ((f"bytes, {name}", count) for name, count in value.items())
            metadata = sum(value.get(name, 0) for name in METADATA)
            yield "metadata and picture", f"{metadata} bytes and {sum(value.values()) - metadata}"
        elif key == "layers":
            for layer in value:
                first, last = layer["levels"][0], layer["levels"][-1]
                levels = f"level {first}" if first == last else f"levels {first} to {last}"
                yield f"layer of {levels}", f"{layer['bytes']} bytes"
        elif key == "tensors":
            for tensor in value:
                shape = "x".join(map(str, tensor["shape"]))
                yield (
                    f"layer {tensor['layer']} {tensor['kind']}",
                    f"{shape}, step {tensor['step']:g}, largest {tensor['largest']}",
                )
        elif key == "multiply_adds":
            yield from ((f"multiply-adds, {name}", f"{count:.4g}") for name, count in value.items())
        elif key == "prior" and value:
            yield key, f"{value['id']} ({value['hash']}) at quality {value['quality']}"
            yield "differences", value["differences"]
            yield "bytes without prior", f"{value['bytes_without']}, of the weights alone"
        elif key == "latents":
            for grid in value:
                shape = "x".join(map(str, grid["shape"]))
                yield (
                    f"grid on level {grid['level']}",
                    f"{shape}, {grid['bytes']} bytes, {grid['nonzero']:.1%} not 0, "
                    f"largest {grid['largest']}",
                )
        else:
            yield key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else value
