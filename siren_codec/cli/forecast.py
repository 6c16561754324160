"""A dry run: what would be done with a file, and about how long it would take."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from siren_codec import effort
from siren_codec.cli import console
from siren_codec.many.recipes import Decode, Encode, Recipe

if TYPE_CHECKING:
    from siren_codec.field import Field
    from siren_codec.picture import Picture

__all__ = ["line", "of_field", "of_file", "of_picture", "say"]

_CORES = 2
"""Those of the machine on which the following was measured (docs/RESULTS.md, how long things take).

A machine of another generation can be three times as slow.
"""
_START, _PER_PIXEL, _PER_VISIT = 1.3, 4.4e-6, 0.19e-6
"""Seconds of a fit: at its start and end, and for each pixel, and for each time it is seen."""
_STEERED = 1.5
"""How much longer a fit with a target takes, at most."""
_READ, _PER_STORED, _PER_SHOWN = 0.2, 0.25e-6, 0.19e-6
"""Seconds of decoding: of a process, of a pixel of the picture, and of the output."""


def of_file(recipe: Recipe, source: Path) -> dict[str, Any]:
    """Return what a recipe would make of a file. Raises SirenError."""
    if isinstance(recipe, Encode):
        return of_picture(recipe, recipe.load(source))
    assert isinstance(recipe, Decode)
    from siren_codec import decoding

    return of_field(recipe, recipe.load(decoding.read_bytes(source, recipe.limits)))


def of_picture(recipe: Encode, picture: "Picture") -> dict[str, Any]:
    """Return what would be made of a picture, as --json has it; the fit is not imported.

    `seconds` is None where nobody has measured: on a GPU, and with the coordinate model.
    """
    from siren_codec.picture import MODES

    options = recipe.options
    height, width, channels = picture.pixels.shape
    target = options.target or ("quality" if options.model == "grid" else None)
    return {
        "width": width,
        "height": height,
        "channels": MODES[channels - 1],
        "depth": 8 * picture.pixels.itemsize,
        "metadata": sorted(picture.metadata),
        "notices": list(picture.notices),
        "model": options.model,
        **({target: getattr(options, target)} if target else {}),
        **({"steps": options.steps} if options.steps else {"effort": options.effort}),
        "seconds": _of_fit(recipe, width * height),
    }


def of_field(recipe: Decode, field: "Field") -> dict[str, Any]:
    """Return what would be made of a `.siren` file, as --json has it."""
    from siren_codec.field import evaluate
    from siren_codec.picture import MODES, check_writable

    check_writable(recipe.format)
    _, (width, height) = evaluate.frame(field, recipe.view, recipe.limits)
    stored, shown = field.width * field.height, width * height
    return {
        "width": width,
        "height": height,
        "channels": MODES[field.channels - 1],
        "depth": field.depth,
        "metadata": sorted(field.metadata),
        "model": field.model,
        "format": recipe.format,
        "show": recipe.show,
        "seconds": _READ + _PER_STORED * stored + _PER_SHOWN * shown,
    }


def line(facts: Mapping[str, Any]) -> str:
    """Return it in words."""
    what = [f"{facts['width']}x{facts['height']} {facts['channels']} of {facts['depth']} bits"]
    what += [facts["format"]] if "format" in facts else [f"{facts['model']} model"]
    for name in ("quality", "target_bpp", "target_size", "target_psnr", "max_error"):
        what += [f"{name.replace('_', ' ')} {facts[name]}"] if name in facts else []
    what += [f"{name} {facts[name]}" for name in ("steps", "effort") if name in facts]
    seconds = facts["seconds"]
    time = "time not known" if seconds is None else f"about {console.duration(max(1, seconds))}"
    return ", ".join([*what, time])


def say(source: str, target: str, facts: Mapping[str, Any], *, as_json: bool) -> None:
    """Say on standard output what would be made of one file."""
    overwrites = target != "-" and Path(target).is_file()
    if as_json:
        found = {"input": source, "output": target, "overwrites": overwrites, **facts}
        console.say_json({"dry_run": True, **found})
    else:
        again = " (would be overwritten)" if overwrites else ""
        console.say(f"would make {target}{again}: {line(facts)}", error=False)


def _of_fit(recipe: Encode, pixels: int) -> float | None:
    from siren_codec.field.threads import available_cores

    options = recipe.options
    if options.model != "grid" or options.device == "cuda":
        return None
    if options.steps:
        visits = options.steps / effort.parts(pixels)
    else:
        visits = effort.grid_visits(options.effort, pixels)
    seconds = _START + (_PER_PIXEL + _PER_VISIT * visits) * pixels * _CORES / available_cores()
    return seconds * (_STEERED if options.target else 1)
