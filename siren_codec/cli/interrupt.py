"""Ctrl-C: the first asks a fit for its best so far, the second leaves nothing."""

import os
import signal
import sys
import threading
from contextlib import suppress
from typing import Any

from siren_codec.progress import Progress, ProgressCallback

__all__ = ["Interruption"]


class Interruption:
    """A context in which SIGINT is a request, once a fit has begun.

    Before that, at the second time, and at a SIGTERM or SIGHUP, KeyboardInterrupt is raised.
    Outside the main thread, or where the signals are ignored, nothing changes; the old handlers
    come back.
    """

    def __init__(self, message: str | None, *, begun: bool = False) -> None:
        """`message` is printed on standard error at the first SIGINT."""
        self.message = message
        self.begun = begun
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            self._take(signal.SIGINT, self._on_interrupt)
            self._take(signal.SIGTERM, self._on_termination)
            if hasattr(signal, "SIGHUP"):
                self._take(signal.SIGHUP, self._on_termination)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def stop(self) -> bool:
        """Tell whether to end with the best there is."""
        return self.requested

    def watching(self, progress: ProgressCallback | None) -> ProgressCallback:
        """Return a callback that takes note of the first step, and passes each on."""

        def note(step: Progress) -> None:
            self.begun = True
            if progress:
                progress(step)

        return note

    def _take(self, number: int, handler: Any) -> None:
        before = signal.getsignal(number)
        # None is a handler that Python has not set and could not set again.
        if before not in (signal.SIG_IGN, None):
            self._before[number] = before
            signal.signal(number, handler)

    def _on_interrupt(self, *_: object) -> None:
        if self.requested or not self.begun:
            raise KeyboardInterrupt
        self.requested = True
        if self.message and sys.stderr is not None:
            # Not by print: the main thread may be in the middle of one.
            with suppress(OSError, ValueError):
                os.write(sys.stderr.fileno(), f"\n{self.message}\n".encode())

    def _on_termination(self, *_: object) -> None:
        raise KeyboardInterrupt
