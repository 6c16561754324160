"""siren-decode."""

from pathlib import Path

import click

from siren_codec import output
from siren_codec.cli import console, files, hints, usage
from siren_codec.cli.common import MODE_AND_DATE, CommonOptions, common_options
from siren_codec.cli.operands import default_output, parse_operands
from siren_codec.cli.usage import PICTURE, option
from siren_codec.errors import UsageError
from siren_codec.framing import SHOWS, Show, View
from siren_codec.limits import Limits
from siren_codec.many.recipes import Decode
from siren_codec.options import DECODERS

__all__ = ["decode_command"]

_NAME = "siren-decode"
_EXTENSIONS = ("png", "jpg", "jpeg", "tif", "tiff", "webp", "bmp", "avif", "jxl")
"""What --format knows: the keys of `picture.OUTPUT_FORMATS`, which takes long to import."""
_NOTES = (
    (
        "Folders",
        "With -r OUTDIR gets the same folders as DIR, and a.siren becomes a.png. Other files, "
        "hidden files and links to folders are skipped and counted; -v and --json name them. With "
        "-o the same rules hold for the files that are named.\n\n"
        "Each folder of OUTDIR has a hidden file, .siren-record.jsonl, which says what its outputs "
        "were made from and with which options. A PNG that was made from this very .siren file "
        "with these options is left as it is. One that was made from another file or with other "
        "options is made again. A PNG that the record does not know is a failure, because it could "
        "be an original; --force makes everything again. Failures are listed at the end.",
    ),
    MODE_AND_DATE,
    usage.STREAMS,
)


@usage.command(
    _NAME,
    usages=("[OPTIONS] IN [OUT]", "[OPTIONS] -o DIR IN...", "[OPTIONS] -r DIR OUTDIR"),
    examples=(
        ("siren-decode a.siren", "writes a.png"),
        ("siren-decode a.siren a.jpg --scale 2", "twice as wide and high"),
        ("siren-decode a.siren b.png --crop 10,20,64,64", "a part of it"),
        ("siren-decode a.siren b.siren -o pictures", "several, into the folder pictures"),
        ("siren-decode -r small photos", "a folder, and what lies in it, as PNG"),
        ("siren-decode - - <a.siren | display", "from a pipe to a pipe, as PNG"),
    ),
    notes=_NOTES,
    hints=hints.DECODE,
)
@option(PICTURE, "--scale", type=float, metavar="S", help="Size of the output: S times that of IN.")
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
    help="Decode this part only, in pixels of the original; --scale and --size apply to it.",
)
@option(
    PICTURE,
    "--show",
    type=click.Choice(SHOWS),
    default=SHOWS[0],
    show_default=True,
    help="The picture, its gradient's magnitude (black is 0) or its Laplacian (mid-grey is 0).",
)
@option(
    PICTURE,
    "--partial",
    is_flag=True,
    help="Accept a truncated file, and decode what it still holds: a coarser picture.",
)
@option(
    PICTURE,
    "--format",
    "extension",
    type=click.Choice(_EXTENSIONS, case_sensitive=False),
    metavar="FORMAT",
    help=f"Format of OUT: {', '.join(_EXTENSIONS)}.  [OUT's extension; else {_EXTENSIONS[0]}]",
)
@usage.device(PICTURE, DECODERS, "Where to evaluate the picture; cuda needs torch.")
@usage.max_pixels
@usage.max_work
@common_options(
    recursive="IN and OUT are folders: decode all .siren files in IN, subfolders included, into "
    "OUT, as PNG or as --format says. Outputs that are up to date are left as they are; a failure "
    "does not stop the others.",
    jobs="With -r or -o, decode N files at a time; they share the cores.",
)
def decode_command(
    common: CommonOptions,
    scale: float | None,
    size: tuple[int, int] | None,
    crop: tuple[int, int, int, int] | None,
    show: Show,
    partial: bool,
    extension: str | None,
    device: str,
    max_pixels: int,
    max_work: int,
) -> int:
    """Decode the .siren file IN to the picture OUT, at any size.

    OUT is a PNG, JPEG, WebP, TIFF, BMP, AVIF or JPEG XL, as --format or its extension says. By
    default it is IN with the extension .png. - is standard input or output; standard output,
    devices and pipes get PNG unless --format says otherwise.
    """
    limits = Limits(pixels=max_pixels, multiply_adds=max_work)
    recipe = Decode("PNG", View(size, scale, crop), show, device, limits, partial)
    extensions = [f".{one}" for one in _EXTENSIONS]
    found = parse_operands(
        common.operands, common.out, recursive=common.recursive, extensions=extensions
    )
    if found.is_folder:
        from siren_codec.cli.batch import Batch
        from siren_codec.many.plan import sirens

        if extension is not None:
            recipe = recipe.to(_format("-", extension))
        kind = sirens(extension or _EXTENSIONS[0])
        return Batch(_NAME, found, kind, recipe, common).run()
    if common.jobs is not None:
        raise UsageError("-j: expected several files (-r or -o)")
    source = files.dashed(found.inputs[0], files.INPUT)
    target = found.output or default_output(source, extension or _EXTENSIONS[0])
    target = files.dashed(target, files.OUTPUT)
    return _decode(source, target, recipe.to(_format(target, extension)), common)


def _decode(source: str, target: str, recipe: Decode, common: CommonOptions) -> int:
    """Decode one file, or tell what would be done, and return the exit code."""
    from siren_codec.picture import check_writable

    check_writable(recipe.format)
    data = files.read(source)
    files.check_output(source, target, force=common.force)
    like = files.attributes(source) if common.preserve else None
    field = files.parse(source, data, recipe.load)
    if common.dry_run:
        from siren_codec.cli import forecast

        forecast.say(source, target, forecast.of_field(recipe, field), as_json=common.as_json)
        return 0
    product = recipe.render(field)
    if not common.quiet:
        for notice in product.notices:
            console.say(f"{_NAME}: {files.name(target)}: {notice}", error=True)
    files.write_output(target, product.data, force=common.force, like=like)
    if common.as_json:
        facts = {"input": source, "output": target, **product.facts}
        console.say_json(facts, error=target == "-")
    return 0


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
    if named == ".siren":
        raise UsageError(f"{target}: expected a picture's name; several files take -o DIR")
    raise UsageError(
        f"{target}: expected an extension of {', '.join(OUTPUT_FORMATS)}, or --format, "
        f"found {named or 'none'}"
    )
