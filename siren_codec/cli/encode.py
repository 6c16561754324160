"""siren-encode."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from siren_codec import extras, output
from siren_codec.cli import console, files, forecast, hints, usage
from siren_codec.cli.batch import Batch
from siren_codec.cli.common import MODE_AND_DATE, CommonOptions, common_options
from siren_codec.cli.interrupt import Interruption
from siren_codec.cli.operands import default_output, parse_operands
from siren_codec.cli.usage import BATCH, FIT, PICTURE, TARGET, option
from siren_codec.errors import UsageError
from siren_codec.limits import QUALITIES
from siren_codec.many.plan import PICTURES
from siren_codec.many.recipes import Encode, Product
from siren_codec.options import (
    ALPHAS,
    DEVICES,
    EFFORTS,
    HIDDEN_FEATURES,
    HIDDEN_LAYERS,
    MODELS,
    SEEDS,
    STARTS,
    Options,
)

__all__ = ["encode_command"]

_NAME = "siren-encode"
_INTERRUPTED = f"{_NAME}: interrupted: writing the best so far; Ctrl-C again to write nothing"
_DEFAULTS = Options()
_OTHER_PICTURES = (".heic", ".heif", ".jxl", ".jxr", ".pam", ".svg")
"""Extensions that are not of Pillow alone."""
_NOTES = (
    (
        "Folders",
        "With -r OUTDIR gets the same folders as DIR, and a.png becomes a.siren. Where two "
        "pictures of a folder would get the same name, both keep their full names: a.png.siren "
        "and a.jpg.siren. With -o the same rules hold for the pictures that are named, but none is "
        "skipped, and an output that was made from another file is not overwritten while that "
        "file still exists.\n\n"
        "A file is taken as a picture if its extension is that of a format that Pillow reads, in "
        "upper or lower case, or if its first bytes are those of AVIF, GIF, JPEG, JPEG 2000, PNG, "
        "TIFF or WebP; HEIC and JPEG XL are taken where pillow-heif or pillow-jxl-plugin is "
        "installed. Other files, hidden files and links to folders are skipped and counted. "
        "Pictures of a kind that cannot be read are counted by kind. -v and --json name them "
        "all.\n\n"
        "Each folder of OUTDIR has a hidden file, .siren-record.jsonl, which says what its outputs "
        "were made from (hashes of both) and with which options. An output that was made from this "
        "very picture with these options is left as it is. One that was made from another picture, "
        "with other options, or was cut short by Ctrl-C is made again, and a line says so. Dates "
        "do not matter, and neither do --device, --memory and --max-pixels.\n\n"
        "A file that the record does not know is not overwritten, because something else may have "
        "made it. It is kept and counted; it is a failure if it is older than its picture or is "
        "not a .siren file; a broken .siren file is made again. --force makes everything again. "
        "Failures are listed at the end.",
    ),
    MODE_AND_DATE,
    (
        "Processes",
        "-j N starts N processes. Each gets an equal share of the cores that this one may use "
        "and, where there are GPUs, one of them; see CUDA_VISIBLE_DEVICES. --memory holds for each "
        "picture. If a process dies, only the picture that it was working on is lost.",
    ),
    (
        "Ray",
        "With --ray each picture is a task of a Ray cluster (pip install 'siren-codec[ray]', the "
        "same version on all machines). Only this machine reads and writes files. A task takes "
        "the cores of the smallest machine divided by -j. It also takes a GPU if the cluster has "
        "one, unless --device is cpu. What is lost with a machine is done again, up to three "
        "times.",
    ),
    (
        "Interruption",
        "Before the fit has begun Ctrl-C ends the command. After that the first Ctrl-C ends the "
        "fit and writes the best result so far. The second one writes nothing, and neither does a "
        "SIGTERM or SIGHUP. With -r or -o the first Ctrl-C starts no more pictures, ends the fits "
        "under way, writes their files, and lists what was not done. The exit code is then 130. "
        "Whatever happens, an output is the old file, the whole new one, or absent.",
    ),
    usage.STREAMS,
)


@usage.command(
    _NAME,
    usages=("[OPTIONS] IN [OUT]", "[OPTIONS] -o DIR IN...", "[OPTIONS] -r DIR OUTDIR"),
    examples=(
        ("siren-encode a.png", "writes a.siren: about half a bit per pixel"),
        ("siren-encode -q 20 -e 1 a.png a.siren", "small and quick"),
        ("siren-encode --target-size 20KB a.png a.siren", "the best picture in 20,000 bytes"),
        ("siren-encode a.png b.jpg -o small", "several, into the folder small"),
        ("siren-encode -r photos small", "a folder, and what lies in it"),
        ("siren-encode -r -j 4 photos small", "four pictures at a time"),
        ("curl URL | siren-encode - - >a.siren", "from a pipe to a pipe"),
    ),
    notes=_NOTES,
    hints=hints.ENCODE,
    exit_codes="0 done, 1 failed, 2 wrong usage, 3 target missed, 130 interrupted, "
    "141 output not read.",
)
@option(
    TARGET,
    *("-q", "--quality"),
    type=click.IntRange(QUALITIES[0], QUALITIES[-1]),
    metavar=f"{QUALITIES[0]}..{QUALITIES[-1]}",
    help="Quality, from 1 (small file) to 100 (faithful picture); for the grid model.  "
    f"[{_DEFAULTS.quality}, unless there is a target]",
)
@option(
    TARGET,
    "--target-bpp",
    type=float,
    metavar="X",
    help="Instead of a quality: a file of X bits per pixel.",
)
@option(
    TARGET,
    "--target-size",
    type=usage.Size(),
    metavar="SIZE",
    help="Instead of a quality: a file of at most SIZE bytes; 20KB is 20,000, 20KiB is 20,480.",
)
@option(
    TARGET,
    "--target-psnr",
    type=float,
    metavar="DB",
    help="Instead of a quality: a file whose pixels have a PSNR of DB decibels. If a target is "
    "missed, the nearest file is written, with a message and exit code 3.",
)
@option(
    TARGET,
    "--max-error",
    type=click.IntRange(min=1),
    metavar="E",
    help="Instead of a quality: a file in which no sample is wrong by more than E levels (of "
    "0..255, or of 0..65535 for 16 bits).",
)
@option(
    TARGET,
    *("-e", "--effort"),
    type=click.IntRange(EFFORTS[0], EFFORTS[-1]),
    default=_DEFAULTS.effort,
    show_default=True,
    metavar=f"{EFFORTS[0]}..{EFFORTS[-1]}",
    help="How long to fit, from 1 (quick) to 9 (best).",
)
@option(
    PICTURE,
    "--alpha",
    type=click.Choice(ALPHAS),
    default=_DEFAULTS.alpha,
    show_default=True,
    help="How alpha is stored: auto (whichever is cheaper), lossless, or lossy: by the network, "
    "like the colours.",
)
@option(PICTURE, "--strip", is_flag=True, help="Leave out ICC profile, EXIF and XMP.")
@usage.max_pixels
@option(
    FIT,
    "--model",
    type=click.Choice(MODELS),
    default=_DEFAULTS.model,
    show_default=True,
    help="What is stored: latent grids and the weights of a SIREN, or the weights alone.",
)
@option(
    FIT,
    "--start",
    type=click.Choice(STARTS),
    help="Where the fit begins: zero is random networks, prior is the prior's, analysis is the "
    "prior's and grids by its analysis network.  "
    "[grid: analysis; coordinate: zero]",
)
@option(
    FIT,
    "--hidden-layers",
    type=click.IntRange(HIDDEN_LAYERS[0], HIDDEN_LAYERS[-1]),
    metavar="N",
    help="Hidden layers of the SIREN.  [grid: 2; coordinate: 5 below 5,000 weights, else 10]",
)
@option(
    FIT,
    "--hidden-features",
    type=click.IntRange(HIDDEN_FEATURES[0], HIDDEN_FEATURES[-1]),
    metavar="N",
    help="Width of a hidden layer.  [grid: 48; coordinate: 4 to 64, for at most 12 sqrt(pixels) "
    "weights]",
)
@option(
    FIT,
    "--steps",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of steps of the fit, instead of what -e chooses.",
)
@usage.device(FIT, DEVICES, "Where to fit; auto is a GPU if there is one.")
@option(
    FIT,
    "--memory",
    type=usage.Size(),
    metavar="SIZE",
    help="Memory that a fit may take (the GPU's, if it runs there): 2GB, 512MiB.  [most of what is "
    "free]",
)
@option(
    FIT,
    "--seed",
    type=click.IntRange(SEEDS[0], SEEDS[-1]),
    default=_DEFAULTS.seed,
    show_default=True,
    metavar="N",
    help="Seed of the random numbers; on one machine the same seed gives the same file.",
)
@option(
    FIT,
    "--checkpoint",
    type=usage.FILE,
    metavar="FILE",
    help="Save the unfinished fit to FILE every half minute; if FILE exists, continue from it.",
)
@common_options(
    recursive="IN and OUT are folders: encode all pictures in IN, subfolders included, into OUT. "
    "Outputs that are up to date are left as they are; a failure does not stop the others.",
    jobs="With -r or -o, encode N pictures at a time; they share the cores, or get a GPU each.",
)
@option(
    BATCH,
    "--ray",
    metavar="ADDRESS",
    help="With -r or -o, encode on a Ray cluster, -j pictures at a time on each machine: auto, "
    "local, HOST:PORT, ray://...",
)
def encode_command(
    common: CommonOptions,
    ray: str | None,
    checkpoint: str | None,
    strip: bool,
    max_pixels: int,
    **options: Any,
) -> int:
    """Encode the picture IN as the .siren file OUT, by default beside it.

    A small network (a SIREN) and grids of latents, which are its inputs, are fitted to the picture.
    Rounded to integers and packed, they are the file. IN is any picture that Pillow reads; - is
    standard input or output.

    Ctrl-C ends the fit and writes the best result so far; a second Ctrl-C writes nothing.
    """
    extras.need("encode", "encoding")
    recipe = Encode(Options(**options), max_pixels, strip, common.quiet)
    found = parse_operands(
        common.operands, common.out, recursive=common.recursive, extensions=(".siren",)
    )
    if found.is_folder:
        if checkpoint is not None:
            raise UsageError("--checkpoint: expected IN OUT, found -r or -o")
        return Batch(_NAME, found, PICTURES, recipe, common, ray).run()
    if common.jobs is not None or ray is not None:
        raise UsageError("-j and --ray: expected several pictures (-r or -o)")
    source = files.dashed(found.inputs[0], files.INPUT)
    target = files.dashed(found.output or default_output(source, "siren"), files.OUTPUT)
    _check_name(source, target)
    saved = _checkpoint(source, target, checkpoint)
    if common.dry_run:
        return _dry_run(source, target, recipe, common)
    return _encode(source, target, recipe, saved, common)


def _encode(
    source: str, target: str, recipe: Encode, checkpoint: Path | None, common: CommonOptions
) -> int:
    """Encode one picture and return the exit code."""
    files.check_output(source, target, force=common.force)
    if checkpoint:
        output.check(checkpoint, force=True)
    like = files.attributes(source) if common.preserve else None
    picture = recipe.load(files.read_standard_input() if source == "-" else Path(source))
    _notify(source, picture.notices, common.quiet)
    with Interruption(None if common.quiet else _INTERRUPTED) as interruption:
        title = f"{_NAME}: {files.name(source)}"
        with console.picture_progress(title, shown=not common.quiet) as progress:
            product = recipe.encode(
                picture,
                progress=interruption.watching(progress),
                stop=interruption.stop,
                checkpoint=checkpoint,
            )
        files.write_output(target, product.data, force=common.force, like=like)
    # Those of the picture came before the fit.
    _notify(source, product.notices[len(picture.notices) :], common.quiet)
    _report(source, target, product, common)
    if interruption.requested:
        return 130
    return 3 if product.missed else 0


def _report(source: str, target: str, product: Product, common: CommonOptions) -> None:
    """Tell what was made, on standard error where the file goes to standard output."""
    if common.verbose:
        console.say(*product.details.splitlines(), error=True)
    if product.missed:
        console.say(f"{_NAME}: {files.name(target)}: {product.missed}", error=True)
    if common.as_json:
        facts = {"input": source, "output": target, **product.facts}
        console.say_json(facts, error=target == "-")
    elif not common.quiet:
        console.say(f"{files.name(target)}: {product.line}", error=target == "-")


def _dry_run(source: str, target: str, recipe: Encode, common: CommonOptions) -> int:
    """Tell what would be done with one picture."""
    files.check_output(source, target, force=common.force)
    picture = recipe.load(files.read_standard_input() if source == "-" else Path(source))
    _notify(source, picture.notices, common.quiet or common.as_json)
    forecast.say(source, target, forecast.of_picture(recipe, picture), as_json=common.as_json)
    return 0


def _notify(source: str, notices: Sequence[str], quiet: bool) -> None:
    if not quiet:
        for notice in notices:
            console.say(f"{_NAME}: {files.name(source)}: {notice}", error=True)


def _check_name(source: str, target: str) -> None:
    """Refuse the name of another kind of picture. Raises UsageError."""
    from PIL import Image

    # Whether the output is the input itself is for `files.check_output`.
    if target == "-" or output.are_same(source, target):
        return
    Image.init()
    extension = Path(target).suffix.lower()
    if extension in {*Image.registered_extensions(), *_OTHER_PICTURES} - {".siren"}:
        raise UsageError(
            f"{target}: expected a name of a .siren file, found {extension}; several pictures "
            "take -o DIR"
        )


def _checkpoint(source: str, target: str, checkpoint: str | None) -> Path | None:
    """Return the checkpoint's path, which is no other file's. Raises UsageError."""
    if checkpoint is None:
        return None
    for other, what in ((source, "IN"), (target, "OUT")):
        if other != "-" and output.are_same(other, checkpoint):
            raise UsageError(f"--checkpoint {checkpoint}: expected another file than {what}")
    return Path(checkpoint)
