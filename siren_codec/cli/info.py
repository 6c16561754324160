"""siren-info."""

import json
from collections.abc import Iterator
from typing import Any

import click

from siren_codec.cli import files, usage
from siren_codec.cli.usage import SAID, option
from siren_codec.limits import Limits

__all__ = ["info_command"]


@usage.command(
    "siren-info",
    usages=("[OPTIONS] FILE",),
    examples=(
        ("siren-info a.siren", "a line for each part"),
        ("siren-info --json a.siren | jq .bpp", "for machines"),
    ),
)
@click.argument("source", metavar="FILE", type=usage.FILE)
@usage.max_pixels
@usage.max_work
@option(SAID, "--json", "as_json", is_flag=True, help="Print a line of JSON.")
@usage.the_version
def info_command(source: str, as_json: bool, max_pixels: int, max_work: int) -> None:
    """Print what the .siren file FILE (- is standard input) holds, and what each part costs."""
    from siren_codec import summary

    limits = Limits(pixels=max_pixels, multiply_adds=max_work)
    source = files.dashed(source, files.INPUT)
    files.standard_output()
    data = files.read(source)
    found = files.parse(source, data, lambda data: summary.info(data, limits=limits))
    lines = [f"{name:22} {text}" for name, text in _lines(found)]
    text = json.dumps(found) if as_json else "\n".join(lines)
    files.write_output("-", f"{text}\n".encode(), force=False)


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
                    f"{shape}, step {tensor['step']:g}, to {tensor['largest']}",
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
                    f"to {grid['largest']}",
                )
        else:
            yield key.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else value
