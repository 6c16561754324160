"""siren-decode."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from siren_codec import output
from siren_codec.cli import bars, files, hints, usage
from siren_codec.cli.jobs import Decode
from siren_codec.cli.usage import BATCH, PICTURE, option
from siren_codec.errors import UsageError
from siren_codec.limits import Limits

if TYPE_CHECKING:
    from siren_codec.decoding import Show

__all__ = ["decode_command"]

_NAME = "siren-decode"
_EXTENSIONS = ("png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "avif", "jxl")
"""What --format knows: the keys of `image.OUTPUT_FORMATS`, which takes long to import."""
_NOTES = (
    (
        "Folders",
        "With -r the tree of OUTDIR becomes that of DIR: a.siren is a.png. Other files, hidden "
        "ones and links to folders are passed over and counted; -v and --json name them. Each "
        "folder of OUTDIR has a hidden file, .siren-record.jsonl, which says what its outputs "
        "were made of and with which options. A PNG of this very .siren file with these options "
        "is left; one that was made of another or with others is made again. A PNG that is not "
        "as the record says is a failure, for it could be an original; --force makes all again. "
        "Failures are listed at the end.",
    ),
    (
        "Mode and date",
        "OUT has the mode (without set-user-id and the like), the group where possible, and the "
        "modification time of IN, and folders that are made have the mode of theirs. --no-preserve "
        "leaves that to the umask and the clock. While it is written a file is its owner's alone.",
    ),
    usage.STREAMS,
)


@usage.command(
    _NAME,
    usages=("[OPTIONS] IN [OUT]", "[OPTIONS] -r DIR OUTDIR"),
    examples=(
        ("siren-decode a.siren", "writes a.png"),
        ("siren-decode a.siren a.jpg --scale 2", "twice as wide and high"),
        ("siren-decode a.siren b.png --crop 10,20,64,64", "a part of it"),
        ("siren-decode -r small photos", "a folder, and what lies in it, as PNG"),
        ("siren-decode - - <a.siren | display", "from a pipe to a pipe, as PNG"),
    ),
    notes=_NOTES,
    hints=hints.DECODE,
)
@click.argument("source", metavar="IN", type=usage.FILE)
@click.argument("target", metavar="[OUT]", type=usage.FILE, required=False)
@option(PICTURE, "--scale", type=float, metavar="S", help="Size of the output, a multiple of IN's.")
@option(
    PICTURE,
    "--size",
    type=usage.Integers("WxH", "x", 2),
    metavar="WxH",
    help="Size of the output. A larger one is sampled between the pixels, a smaller one averaged.",
)
@option(
    PICTURE,
    "--crop",
    type=usage.Integers("X,Y,W,H", ",", 4),
    metavar="X,Y,W,H",
    help="The part to decode, in pixels of the original; --scale and --size apply to it.",
)
@option(
    PICTURE,
    "--show",
    type=click.Choice(["colour", "gradient", "laplacian"]),
    default="colour",
    show_default=True,
    help="The picture, its gradient's magnitude (black is 0) or its Laplacian (mid-grey is 0).",
)
@option(
    PICTURE,
    "--partial",
    is_flag=True,
    help="Make do with what a file that was cut short still has: a coarser picture.",
)
@option(
    PICTURE,
    "--format",
    "extension",
    type=click.Choice(_EXTENSIONS, case_sensitive=False),
    metavar="FORMAT",
    help=f"What OUT is, whatever its name: {', '.join(_EXTENSIONS)}.  [OUT's extension; else "
    f"{_EXTENSIONS[0]}]",
)
@usage.device(PICTURE, "auto is cpu: decoding needs neither a GPU nor torch.")
@usage.max_pixels
@usage.max_work
@option(
    BATCH,
    *("-r", "--recursive"),
    is_flag=True,
    help="IN and OUT are folders: decode the .siren files of the one, and of the folders in it, "
    "into the other as PNG. What is done already is left, and a failure is no end.",
)
@usage.jobs("Decode N files at a time with -r; the cores are shared.")
@usage.dry_run
@usage.force
@usage.no_preserve
@usage.verbose
@usage.said
@usage.the_version
def decode_command(
    source: str,
    target: str | None,
    scale: float | None,
    size: tuple[int, int] | None,
    crop: tuple[int, int, int, int] | None,
    show: "Show",
    partial: bool,
    extension: str | None,
    device: str,
    max_pixels: int,
    max_work: int,
    recursive: bool,
    jobs: int | None,
    dry_run: bool,
    force: bool,
    no_preserve: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
) -> int:
    """Decode the .siren file IN to the picture OUT, at any size.

    OUT is a PNG, JPEG, WebP, TIFF, BMP, AVIF or JPEG XL, as --format or its extension says; IN
    with .png by default. - is standard input or output; this, devices and pipes take PNG by
    default.
    """
    limits = Limits(pixels=max_pixels, multiply_adds=max_work)
    recipe = Decode("PNG", size, scale, crop, show, _cpu_if_auto(device), limits, partial)
    if recursive:
        from siren_codec.cli.batch import Batch
        from siren_codec.cli.folders import SIRENS

        if target is None:
            raise UsageError("-r: expected two folders, found one")
        if extension is not None:
            raise UsageError("--format: expected one picture, found -r")
        usage.check_folders(source, target)
        return Batch(
            _NAME,
            Path(source),
            Path(target),
            SIRENS,
            recipe,
            count=jobs or 1,
            dry_run=dry_run,
            force=force,
            preserve=not no_preserve,
            verbose=verbose,
            quiet=quiet,
            as_json=as_json,
        ).run()
    from siren_codec.picture import check_writable

    if jobs is not None:
        raise UsageError("-j: expected -r, for there is one picture")
    source = files.dashed(source, files.INPUT)
    target = _target(source, target, extension)
    format_ = _format(target, extension)
    check_writable(format_)
    data = files.read(source)
    files.check_output(source, target, force=force)
    like = None if no_preserve else files.model(source)
    field = files.parse(source, data, recipe.load)
    recipe = recipe.to(format_)
    if dry_run:
        from siren_codec.cli import forecast

        forecast.say(source, target, forecast.of_field(recipe, field), as_json=as_json)
        return 0
    product = recipe.render(field)
    if not quiet:
        for notice in product.notices:
            bars.say(f"{_NAME}: {files.name(target)}: {notice}", error=True)
    files.write_output(target, product.data, force=force, like=like)
    if as_json:
        import json

        facts = {"input": source, "output": target, **product.facts}
        bars.say(json.dumps(facts), error=target == "-")
    return 0


def _cpu_if_auto(device: str) -> str:
    return "cpu" if device == "auto" else device


def _target(source: str, target: str | None, extension: str | None) -> str:
    """Return where the picture goes: beside the file, if nothing else is said."""
    if target is not None:
        return files.dashed(target, files.OUTPUT)
    if source == "-":
        return "-"
    if not Path(source).name:
        raise UsageError(f"{source or 'IN'}: expected a file")
    if output.is_special(Path(source)):
        raise UsageError(f"{source}: expected OUT too, for this is no file that has a folder")
    return str(Path(source).with_suffix(f".{extension or _EXTENSIONS[0]}"))


def _format(target: str, extension: str | None) -> str:
    """Return the format that --format or a name's extension say, which must be the same."""
    from siren_codec.picture import OUTPUT_FORMATS

    wanted = OUTPUT_FORMATS.get(f".{extension}")
    named = Path(target).suffix.lower()
    found = OUTPUT_FORMATS.get(named)
    if wanted and found and wanted != found:
        raise UsageError(f"{target}: expected an extension of {wanted}, found {named}")
    if format_ := wanted or found:
        return format_
    if target == "-" or output.is_special(Path(target)):
        return OUTPUT_FORMATS[f".{_EXTENSIONS[0]}"]
    raise UsageError(
        f"{target}: expected an extension of {', '.join(OUTPUT_FORMATS)}, or --format, "
        f"found {named or 'none'}"
    )
