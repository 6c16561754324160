"""The commands: siren-encode, siren-decode, siren-info, siren-view, siren-bench.

Exit codes: 0 done, 1 failed, 2 usage, 3 target missed, 130 interrupted, 141 nobody reads what goes
to standard output. Every other failure is one line on standard error. Torch is imported by
siren-encode, once all that can be checked has been, and for a GPU.
"""

import os
import sys
from importlib import import_module
from typing import NoReturn

import click

from siren_codec.cli import console, streams
from siren_codec.errors import SirenError, UsageError

__all__ = ["bench_main", "decode_main", "encode_main", "info_main", "view_main"]

READER_GONE = 141
"""What a shell says of a command, such as cat, that SIGPIPE has ended."""


def encode_main() -> NoReturn:
    """Run siren-encode."""
    _run("siren-encode", "siren_codec.cli.encode", "encode_command")


def decode_main() -> NoReturn:
    """Run siren-decode."""
    _run("siren-decode", "siren_codec.cli.decode", "decode_command")


def info_main() -> NoReturn:
    """Run siren-info."""
    _run("siren-info", "siren_codec.cli.info", "info_command")


def view_main() -> NoReturn:
    """Run siren-view."""
    _run("siren-view", "siren_codec.cli.view", "view_command")


def bench_main() -> NoReturn:
    """Run siren-bench."""
    _run("siren-bench", "siren_codec.cli.bench", "bench_command")


def _run(name: str, module: str, command: str) -> NoReturn:
    """Run a module's command and exit; whatever goes wrong is one line."""
    with streams.guarded():
        code, message = _outcome(name, module, command)
        if message is not None:
            console.say(f"{name}: {' '.join(message.split())}", error=True)
    sys.exit(code)


def _outcome(name: str, module: str, command: str) -> tuple[int, str | None]:
    """Run a command; return its exit code, and the message of a failure."""
    try:
        # Here, for Ctrl-C may come meanwhile, and memory may be short.
        found: click.Command = getattr(import_module(module), command)
        result = found.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        return error.exit_code, error.format_message()
    except SirenError as error:
        return 2 if isinstance(error, UsageError) else 1, str(error)
    except (KeyboardInterrupt, click.Abort):
        return 130, "interrupted"
    except streams.ReaderGoneError:
        return READER_GONE, None
    except MemoryError:
        return 1, "out of memory"
    except ImportError as error:
        return 1, _unloadable(error)
    except OSError as error:
        reason = error.strerror or str(error)
        if error.filename is not None:
            return 1, f"{os.fsdecode(error.filename)}: {reason}"
        # What click itself writes: the help and the version.
        if sys.stdout is not None:
            streams.forget(sys.stdout)
        return 1, f"cannot write the output: {reason}"
    return result if isinstance(result, int) else 0, None


def _unloadable(error: ImportError) -> str:
    """Return why a library cannot be loaded, which is mostly a lack of memory."""
    # numpy puts pages of advice before the reason.
    reason = (str(error).strip().splitlines() or [type(error).__name__])[-1]
    of_memory = "failed to map" in reason or "allocate memory" in reason
    return f"out of memory: {reason}" if of_memory else f"cannot be loaded: {reason}"
