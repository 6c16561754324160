"""The commands: siren-encode, siren-decode, siren-info, siren-bench.

Exit codes: 0 done, 1 failed, 2 usage, 3 target missed, 130 interrupted. Every failure is one line
on standard error. Torch is imported by siren-encode, once all that can be checked has been, and
for a GPU.
"""

import os
import sys
from contextlib import suppress
from typing import NoReturn

import click

from siren_codec.errors import SirenError, UsageError

__all__ = ["bench_main", "decode_main", "encode_main", "info_main"]


def encode_main() -> NoReturn:
    """Run siren-encode."""
    from siren_codec.cli.encode import encode_command

    _run(encode_command)


def decode_main() -> NoReturn:
    """Run siren-decode."""
    from siren_codec.cli.decode import decode_command

    _run(decode_command)


def info_main() -> NoReturn:
    """Run siren-info."""
    from siren_codec.cli.info import info_command

    _run(info_command)


def bench_main() -> NoReturn:
    """Run siren-bench."""
    from siren_codec.bench.cli import bench_command

    _run(bench_command)


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
