"""siren-view."""

from typing import TYPE_CHECKING

import click

from siren_codec.cli import console, files, usage
from siren_codec.cli.usage import option
from siren_codec.errors import UsageError
from siren_codec.limits import Limits

if TYPE_CHECKING:
    from siren_codec.viewer import File

__all__ = ["view_command"]

_NAME = "siren-view"
_PAGE = "The page"
_NOTES = (
    (
        "The page",
        "+ and - zoom, as do the wheel, pinching and a double click; arrows and dragging move; 0 "
        "shows the whole picture, 1 its own pixels. c, g and l show colour, gradient and "
        "Laplacian, s a part of it enlarged by bicubic interpolation, p the grid of the picture's "
        "pixels from 8 times on; [ and ] go from picture to picture. ? shows all keys. Files can "
        "be dropped on the page: they go nowhere else.",
    ),
    (
        "Network",
        "The page is served from 127.0.0.1 and holds all it needs; nothing else can be had there "
        "than the page and the files that were named, as they were when the command began. An "
        "HTML file loads nothing at all.",
    ),
)


@usage.command(
    _NAME,
    usages=("[OPTIONS] FILE...", "[OPTIONS] --html OUT.html FILE..."),
    examples=(
        ("siren-view a.siren", "opens the browser; Ctrl-C ends it"),
        ("siren-view *.siren", "several, with a list"),
        ("siren-view --html a.html a.siren", "one file, to send to anyone"),
        ("siren-view --no-browser --port 8000 a.siren", "prints the address"),
    ),
    notes=_NOTES,
    exit_codes="0 done, 1 failed, 2 wrong usage, 130 interrupted.",
)
@click.argument("sources", metavar="FILE...", type=usage.FILE, nargs=-1, required=True)
@option(
    _PAGE,
    "--html",
    "target",
    type=usage.FILE,
    metavar="OUT.html",
    help="Write the page with the pictures as one file that needs no server and no network (- is "
    "standard output).",
)
@option(_PAGE, "--no-browser", is_flag=True, help="Open no browser: print the page's address.")
@option(
    _PAGE,
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Of 127.0.0.1, where the page is.  [one that is free]",
)
@option(_PAGE, "-f", "--force", is_flag=True, help="Overwrite OUT.html if it exists.")
@usage.max_pixels
@usage.max_work
@usage.quiet
@usage.the_version
def view_command(
    sources: tuple[str, ...],
    target: str | None,
    no_browser: bool,
    port: int | None,
    max_pixels: int,
    max_work: int,
    force: bool,
    quiet: bool,
) -> None:
    """Show the .siren files FILE... in the browser: at any zoom, with values and derivatives.

    - is standard input. The page is served to this machine alone, until Ctrl-C.
    """
    if target is not None and (no_browser or port is not None):
        raise UsageError("--html: expected neither --no-browser nor --port: nothing is served")
    from siren_codec import viewer

    sources = tuple(files.dashed(source, files.INPUT) for source in sources)
    if target is not None:
        target = files.dashed(target, files.OUTPUT)
        for source in sources:
            files.check_output(source, target, force=force)
    limits = Limits(pixels=max_pixels, multiply_adds=max_work)
    found = [_read(source, limits) for source in sources]
    if target is not None:
        files.write_output(target, viewer.page(*found).encode(), force=force)
        return
    with viewer.Viewer(found, port or 0) as shown:
        is_open = not no_browser and shown.open_browser()
        if not quiet or not is_open:
            what = "Ctrl-C ends it" if is_open else "open it in a browser; Ctrl-C ends it"
            console.say(f"{_NAME}: {shown.url} ({what})", error=True)
        try:
            shown.wait()
        except KeyboardInterrupt:
            # The one way to end it is no failure.
            return


def _read(source: str, limits: Limits) -> "File":
    from siren_codec import viewer

    name = "standard input" if source == "-" else files.name(source)
    return files.parse(source, files.read(source), lambda data: viewer.check(name, data, limits))
