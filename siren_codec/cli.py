"""The commands: siren-encode, siren-decode, siren-info.

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted. Every failure is one line on standard
error. Torch is imported by siren-encode, once all that can be checked has been, and for a GPU.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, TypeVar

import click

from siren_codec import __version__
from siren_codec.errors import SirenError, UsageError
from siren_codec.options import DEVICES, EFFORTS, MODELS, QUALITIES, STARTS, Options

if TYPE_CHECKING:
    from siren_codec.codec import Encoded, Show
    from siren_codec.fit import Progress, ProgressCallback
    from siren_codec.image import Picture

__all__ = ["decode_main", "encode_main", "info_main"]

_SETTINGS = {"help_option_names": ["-h", "--help"]}
_EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted."
_MAX_PIXELS = 89_478_485
_DEFAULTS = Options()


T = TypeVar("T")


class _Integers(click.ParamType[tuple[int, ...]]):
    """So many integers with a separator between them, such as 640x480."""

    def __init__(self, name: str, separator: str, count: int) -> None:
        self.name = name
        self.separator = separator
        self.count = count

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        parts = str(value).lower().split(self.separator)
        try:
            numbers = tuple(int(part) for part in parts)
        except ValueError:
            numbers = ()
        if len(numbers) != self.count:
            self.fail(f"expected {self.name}, found {value!r}", param, ctx)
        return numbers


def _version(command: Callable[..., None]) -> Callable[..., None]:
    """Add the version option: one for each command, for click's remembers the first one's name."""
    return click.version_option(__version__, "-V", "--version", message="%(prog)s %(version)s")(
        command
    )


_force = click.option("-f", "--force", is_flag=True, help="Overwrite OUT if it exists.")
_max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(min=1),
    default=_MAX_PIXELS,
    show_default=True,
    metavar="N",
    help="Refuse a picture of more pixels than this.",
)
_device = click.option("--device", type=click.Choice(DEVICES), default="auto")


@click.command("siren-encode", context_settings=_SETTINGS, epilog=_EXIT_CODES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="OUT")
@click.option(
    "-q",
    "--quality",
    type=click.IntRange(QUALITIES.start, QUALITIES.stop - 1),
    default=_DEFAULTS.quality,
    show_default=True,
    help="From 1 (small) to 100 (faithful); for the grid model.",
)
@click.option(
    "-e",
    "--effort",
    type=click.IntRange(EFFORTS.start, EFFORTS.stop - 1),
    default=_DEFAULTS.effort,
    show_default=True,
    help="How long to fit, from 1 (quick) to 9 (best).",
)
@click.option(
    "--model",
    type=click.Choice(MODELS),
    default=_DEFAULTS.model,
    show_default=True,
    help="What is stored: latent grids and the weights of a SIREN, or the weights alone.",
)
@click.option(
    "--start",
    type=click.Choice(STARTS),
    help="Begin with random networks, the prior's, or also its analysis network's grids. "
    "[grid: analysis; coordinate: zero]",
)
@click.option(
    "--hidden-layers",
    type=click.IntRange(1, 16),
    metavar="N",
    help="Layers with a sine. [grid: 2; coordinate: 5 below 5,000 weights, else 10]",
)
@click.option(
    "--hidden-features",
    type=click.IntRange(1, 512),
    metavar="N",
    help="Width of a layer. [grid: 32; coordinate: 4 to 64, for 12 sqrt(pixels) weights]",
)
@click.option("--steps", type=click.IntRange(min=1), metavar="N", help="Steps, instead of -e's.")
@_device
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="N"
)
@_max_pixels
@_force
@click.option("-v", "--verbose", is_flag=True, help="Say more on standard error.")
@click.option("--quiet", is_flag=True, help="Say nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="End with a line of JSON.")
@_version
def encode_command(
    source: str,
    target: str,
    max_pixels: int,
    force: bool,
    verbose: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Encode the picture IN as the .siren file OUT.

    A small network, a SIREN, and grids of latents that feed it are fitted to the picture; rounded
    to integers and packed they are the file. IN is any picture that Pillow reads; - is standard
    input or output.
    """
    from siren_codec import codec

    began = time.perf_counter()
    say = _speaker(quiet)
    _check_output(source, target, force)
    picture = _load_picture(source, max_pixels)
    for notice in picture.notices:
        say(f"siren-encode: {_name(source)}: {notice}")
    with _progress_bar(quiet) as progress:
        encoded = codec.encode_picture(picture, Options(**options), progress=progress)
    _write_output(target, encoded.data, force)
    result = _summary(source, target, encoded, time.perf_counter() - began)
    if verbose:
        say(_details(encoded))
    if as_json:
        click.echo(json.dumps(result), err=target == "-")
    elif not quiet:
        click.echo(
            f"{_name(target)}: {result['bytes']} bytes, {result['bpp']:.3f} bpp, "
            f"PSNR {encoded.psnr:.2f} dB, {result['seconds']:.1f} s",
            err=target == "-",
        )


def _summary(source: str, target: str, encoded: "Encoded", seconds: float) -> dict[str, Any]:
    """Return what `--json` prints of an encode."""
    from siren_codec import metrics

    width, height = encoded.fit.field.width, encoded.fit.field.height
    return {
        "input": source,
        "output": target,
        "width": width,
        "height": height,
        "bytes": len(encoded.data),
        "bpp": metrics.bpp(file_bytes=len(encoded.data), width=width, height=height),
        # JSON knows no infinity: a lossless file has null.
        "psnr": encoded.psnr if encoded.psnr < float("inf") else None,
        "seconds": seconds,
    }


def _details(encoded: "Encoded") -> str:
    """Return what `--verbose` adds."""
    field = encoded.fit.field
    weights = sum(tensor.values.size for tensor in field.tensors())
    latents = sum(grids.size for grids in field.latents)
    if latents:
        parts = f"{encoded.fit.bits / latents:.3f} bits per latent"
    else:
        parts = f"{8 * len(encoded.data) / weights:.2f} bits per weight, all told"
    return (
        f"{field.architecture}: {weights} weights, {latents} latents\n"
        f"{parts}; PSNR: real weights {encoded.fit.real_psnr:.2f} dB, "
        f"quantised {encoded.fit.quantised_psnr:.2f} dB"
    )


@click.command("siren-decode", context_settings=_SETTINGS, epilog=_EXIT_CODES)
@click.argument("source", metavar="IN")
@click.argument("target", metavar="[OUT]", required=False)
@click.option("--scale", type=float, metavar="S", help="Size of the output, a multiple of IN's.")
@click.option("--size", type=_Integers("WxH", "x", 2), metavar="WxH", help="Size of the output.")
@click.option(
    "--crop",
    type=_Integers("X,Y,W,H", ",", 4),
    metavar="X,Y,W,H",
    help="The part to decode, in pixels of the original; --scale and --size apply to it.",
)
@click.option(
    "--show",
    type=click.Choice(["colour", "gradient", "laplacian"]),
    default="colour",
    show_default=True,
    help="The picture, its gradient's magnitude (black is 0) or its Laplacian (mid-grey is 0).",
)
@click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    help="auto is cpu: decoding needs neither a GPU nor torch.",
)
@_max_pixels
@_force
@_version
def decode_command(
    source: str,
    target: str | None,
    scale: float | None,
    size: tuple[int, int] | None,
    crop: tuple[int, int, int, int] | None,
    show: "Show",
    device: str,
    max_pixels: int,
    force: bool,
) -> None:
    """Decode the .siren file IN to the picture OUT, at any size.

    OUT is a PNG, JPEG, WebP, TIFF or BMP, as its extension says; IN with .png by default. - is
    standard input, or PNG on standard output.
    """
    from siren_codec import codec, image

    if target is None:
        if source != "-" and not Path(source).name:
            raise UsageError(f"{source or 'IN'}: expected a file")
        target = "-" if source == "-" else str(Path(source).with_suffix(".png"))
    format_ = _output_format(target)
    _check_output(source, target, force)
    field = _from(source, lambda data: codec.open_field(data, max_pixels=max_pixels))
    picture = codec.render_picture(
        field, size=size, scale=scale, crop=crop, show=show, device=device, max_pixels=max_pixels
    )
    data, notices = image.save_bytes(picture, format_)
    for notice in notices:
        click.echo(f"siren-decode: {_name(target)}: {notice}", err=True)
    _write_output(target, data, force)


@click.command("siren-info", context_settings=_SETTINGS, epilog=_EXIT_CODES)
@click.argument("source", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON.")
@_max_pixels
@_version
def info_command(source: str, as_json: bool, max_pixels: int) -> None:
    """Print what the .siren file FILE (- is standard input) holds, and what each part costs."""
    from siren_codec import codec

    found = _from(source, lambda data: codec.info(data, max_pixels=max_pixels))
    if as_json:
        click.echo(json.dumps(found))
        return
    for key, value in found.items():
        if key == "sections":
            for name, count in value.items():
                click.echo(f"{'bytes, ' + name:22} {count}")
        elif key == "tensors":
            for tensor in value:
                name = f"layer {tensor['layer']} {tensor['kind']}"
                shape = "x".join(map(str, tensor["shape"]))
                click.echo(f"{name:22} {shape}, step {tensor['step']:g}, to {tensor['largest']}")
        elif key == "prior" and value:
            click.echo(f"{key:22} {value['id']} ({value['hash']}) at quality {value['quality']}")
            click.echo(f"{'differences':22} {value['differences']}")
            click.echo(f"{'bytes without prior':22} {value['bytes_without']}, of the weights alone")
        elif key == "latents":
            for grid in value:
                shape = "x".join(map(str, grid["shape"]))
                click.echo(
                    f"{'grid on level ' + str(grid['level']):22} {shape}, {grid['bytes']} bytes, "
                    f"{grid['nonzero']:.1%} not 0, to {grid['largest']}"
                )
        else:
            text = f"{value:.4g}" if isinstance(value, float) else value
            click.echo(f"{key.replace('_', ' '):22} {text}")


def encode_main() -> NoReturn:
    """Run siren-encode."""
    _run(encode_command)


def decode_main() -> NoReturn:
    """Run siren-decode."""
    _run(decode_command)


def info_main() -> NoReturn:
    """Run siren-info."""
    _run(info_command)


def _run(command: click.Command) -> NoReturn:
    """Run a command and exit; whatever goes wrong is one line."""
    code = 0
    message = None
    try:
        result = command.main(prog_name=command.name, standalone_mode=False)
        code = result if isinstance(result, int) else 0
    except click.ClickException as error:
        message, code = error.format_message(), error.exit_code
    except SirenError as error:
        message, code = str(error), 2 if isinstance(error, UsageError) else 1
    except (KeyboardInterrupt, click.Abort):
        message, code = "interrupted", 130
    except MemoryError:
        message, code = "out of memory", 1
    except BrokenPipeError:
        code = 1
        _forget_output()
    except OSError as error:
        message, code = f"cannot write the output: {error.strerror or error}", 1
        _forget_output()
    if message is not None and sys.stderr is not None:
        print(f"{command.name}: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(code)


def _forget_output() -> None:
    """Let what could not be written go: Python would try, and complain, once more at exit."""
    with suppress(OSError, AttributeError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _name(path: str) -> str:
    return "-" if path == "-" else Path(path).name


def _speaker(quiet: bool) -> Callable[[str], None]:
    return lambda text: None if quiet else click.echo(text, err=True)


def _load_picture(source: str, max_pixels: int) -> "Picture":
    from siren_codec import image

    content = _standard_input().read() if source == "-" else source
    return image.load(content, max_pixels=max_pixels)


def _from(source: str, read: Callable[[bytes], T]) -> T:
    """Return what `read` makes of a file's bytes; its errors name the file."""
    from siren_codec.codec import read_limited

    name = "standard input" if source == "-" else source
    try:
        if source == "-":
            return read(read_limited(_standard_input()))
        with open(source, "rb") as file:
            return read(read_limited(file))
    except SirenError as error:
        raise type(error)(f"{name}: {error}") from None
    except (OSError, ValueError) as error:
        raise SirenError(f"{name}: {getattr(error, 'strerror', None) or error}") from None


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise SirenError("standard input is closed")
    return sys.stdin.buffer


def _standard_output() -> BinaryIO:
    if sys.stdout is None:
        raise SirenError("standard output is closed")
    return sys.stdout.buffer


def _check_output(source: str, target: str, force: bool) -> None:
    """Find out before any work whether the output can be written."""
    from siren_codec import output

    if target == "-":
        _standard_output()
        return
    output.check(Path(target), force=force)
    with suppress(OSError):
        if source != "-" and Path(source).samefile(target):
            raise SirenError(f"{target}: is the input itself")


def _write_output(target: str, data: bytes, force: bool) -> None:
    from siren_codec import output

    if target == "-":
        file = _standard_output()
        file.write(data)
        file.flush()
    else:
        output.write(Path(target), data, force=force)


def _output_format(target: str) -> str:
    from siren_codec import image

    if target == "-":
        return "PNG"
    extension = Path(target).suffix.lower()
    if extension not in image.OUTPUT_FORMATS:
        raise UsageError(
            f"{target}: expected an extension of {', '.join(image.OUTPUT_FORMATS)}, "
            f"found {extension or 'none'}"
        )
    return image.OUTPUT_FORMATS[extension]


@contextmanager
def _progress_bar(quiet: bool) -> "Iterator[ProgressCallback | None]":
    """Yield a progress callback that shows step, PSNR and time left on standard error."""
    if quiet or sys.stderr is None:
        yield None
        return
    from tqdm import tqdm

    # The time left is the fit's own: steps differ in cost, which tqdm cannot know.
    layout = "step {n_fmt}/{total_fmt} |{bar:24}| {desc}"
    interval = 0.1 if sys.stderr.isatty() else 10.0
    with ExitStack() as stack:
        bar: Any = None

        def show(progress: "Progress") -> None:
            nonlocal bar
            if bar is None:
                bar = stack.enter_context(
                    tqdm(
                        file=sys.stderr,
                        total=progress.steps,
                        bar_format=layout,
                        mininterval=interval,
                        leave=False,
                    )
                )
            left = tqdm.format_interval(round(progress.seconds_left))
            state = f"PSNR {progress.psnr:.2f} dB, {progress.bpp:.3f} bpp, {left} left"
            bar.set_description_str(state, refresh=False)
            bar.update(progress.step - bar.n)
            if progress.step == progress.steps:
                bar.refresh()

        yield show
