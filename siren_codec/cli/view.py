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
        "+ and - zoom, as do the wheel, pinching and a double click; arrows and dragging move. 0 "
        "shows the whole picture, 1 one pixel of it on each pixel of the screen. c, g and l show "
        "colour, gradient and Laplacian. s splits the view: the function on the left, bicubic "
        "enlargement on the right. p shows the picture's pixel grid at 8 times and more. [ and ] "
        "go from picture to picture. ? shows all keys. Files can be dropped on the page; they are "
        "sent nowhere.",
    ),
    (
        "Network",
        "The page is served from 127.0.0.1 and holds all it needs. The server has only the page "
        "and the files that were named, as they were when the command began. The file of --html "
        "loads nothing at all.",
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
    help="Write the page and the pictures into one file that needs no server and no network (- is "
    "standard output).",
)
@option(_PAGE, "--no-browser", is_flag=True, help="Open no browser; print the page's address.")
@option(
    _PAGE,
    "--port",
    type=click.IntRange(0, 65535),
    metavar="N",
    help="Port of 127.0.0.1 to serve the page on.  [any free one]",
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

    - is standard input. The page is served to this machine only, until Ctrl-C.
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
