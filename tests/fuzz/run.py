"""`python -m tests.fuzz [COUNT]`: read COUNT mutants of `.siren` files, and say what came of it.

A mutant may be read, read in part as if it had been cut off, or refused with a SirenError of one
line. Anything else is a failure: another
exception, a warning, more than SECONDS, or a process that grows beyond MEMORY. A failure's bytes
are saved in `build/fuzz`, and the seed and the number that the report gives make them again.

    python -m tests.fuzz 100000 --jobs 2    random mutants, two processes
    python -m tests.fuzz --systematic       every prefix, flipped bit and extreme field
    python -m tests.fuzz --decodes 1000     decode 1,000 times in one process, and watch its memory
"""

import argparse
import multiprocessing
import resource
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from types import FrameType

import numpy as np

from fuzz.corpus import corpus
from fuzz.mutate import mutant, systematic
from siren_codec import decoding, stream
from siren_codec.errors import SirenError
from siren_codec.limits import Limits
from siren_codec.summary import info

__all__ = ["LIMITS", "MEMORY", "SECONDS", "Report", "examine", "main", "resident", "run"]

LIMITS = Limits(pixels=1 << 20, multiply_adds=1 << 36)
"""What a mutant may ask for: with the default it might rightly take minutes."""
SECONDS = 5.0
"""Of the processor's time that a mutant may take."""
MEMORY = 512 << 20
"""Bytes by which the process may grow, whatever it reads within LIMITS."""
SIDE = 64
"""What is rendered fits into a square of so many pixels."""
FAILURES = Path("build/fuzz")
PROC = Path("/proc/self")


@dataclass
class Report:
    """What came of some mutants."""

    outcomes: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, bytes]] = field(default_factory=list)
    """The name of a mutant, what it did, and its bytes."""
    slowest: tuple[float, str] = (0.0, "none")
    """In seconds of the processor's time, which other processes do not lengthen."""
    grown: int = 0
    """Bytes by which the process's peak grew."""

    def add(self, other: "Report") -> None:
        """Take in another process's report."""
        self.outcomes += other.outcomes
        self.failures += other.failures
        self.slowest = max(self.slowest, other.slowest)
        self.grown = max(self.grown, other.grown)


class _HangError(BaseException):
    """Raised by the alarm; no `except Exception` keeps it."""


def examine(data: bytes, limits: Limits = LIMITS) -> str:
    """Read, render, sample and describe a file; return `read` or the name of its SirenError.

    Raises AssertionError for what a reader promises and does not keep.
    """
    try:
        picture = stream.read(data, limits)
        scale = min(1.0, SIDE / max(picture.width, picture.height))
        pixels = np.atleast_3d(picture.render(scale=scale, limits=limits))
        expected = np.uint8 if picture.depth == 8 else np.uint16
        assert pixels.dtype == expected
        assert pixels.shape[2] == picture.channels
        assert max(pixels.shape[:2]) <= SIDE
        colour = picture.at(picture.width / 3, picture.height / 2 - 0.5)
        assert colour.shape == (picture.channels,)
        assert np.isfinite(colour).all()
        facts = info(data, limits=limits)
        assert sum(facts["sections"].values()) == len(data)
        assert stream.read(data, limits, first_level=2).first_level <= 2
    except SirenError as refusal:
        lines = str(refusal).splitlines()
        assert len(lines) == 1, lines
        return type(refusal).__name__
    return "read"


def is_read_in_part(data: bytes, limits: Limits = LIMITS) -> bool:
    """Return whether a file that is refused is read, and rendered, as one that was cut off."""
    try:
        picture = stream.read(data, limits, partial=True)
        scale = min(1.0, SIDE / max(picture.width, picture.height))
        assert picture.render(scale=scale, limits=limits).size
        assert not any(level.any() for level in picture.latents[: picture.first_level])
        assert not stream.is_whole(data)
    except SirenError:
        return False
    return True


def run(mutants: Iterable[tuple[str, bytes]], limits: Limits = LIMITS) -> Report:
    """Examine mutants, given by name and bytes, in this process."""
    forget_peak()
    report, first = Report(), peak()
    with warnings.catch_warnings(), _alarms():
        warnings.simplefilter("error")
        for name, data in mutants:
            began = time.process_time()
            try:
                with _timed():
                    outcome = examine(data, limits)
                    if outcome == "FormatError" and is_read_in_part(data, limits):
                        outcome = "read in part"
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                # constriction's panics are no Exceptions.
                outcome = "failed"
                report.failures.append((name, f"{type(error).__name__}: {error}", data))
            report.outcomes[outcome] += 1
            report.slowest = max(report.slowest, (time.process_time() - began, name))
            grown = peak() - first
            if report.grown <= MEMORY < grown:
                report.failures.append((name, f"grew by {grown >> 20} MiB", data))
            report.grown = grown
    return report


_TIMERS = ((signal.ITIMER_PROF, signal.SIGPROF, 1), (signal.ITIMER_REAL, signal.SIGALRM, 12))
"""Timers, their signals, and after how many SECONDS they ring: of the processor's time, and of any,
for a reader that waits for ever.
"""


@contextmanager
def _alarms() -> Iterator[None]:
    """Let the timers raise _HangError."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise _HangError(f"more than {SECONDS:g} s")

    before = [signal.signal(number, ring) for _, number, _ in _TIMERS]
    try:
        yield
    finally:
        for (_, number, _), handler in zip(_TIMERS, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _timed() -> Iterator[None]:
    """Set the timers, and stop them."""
    for timer, _, share in _TIMERS:
        signal.setitimer(timer, share * SECONDS)
    try:
        yield
    finally:
        for timer, _, _ in _TIMERS:
            signal.setitimer(timer, 0)


def peak() -> int:
    """Return the most bytes of memory that this process has had (on Linux since `forget_peak`)."""
    if PROC.exists():
        lines = (PROC / "status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def forget_peak() -> None:
    """Let `peak` begin with what the process has now, where the system can."""
    with suppress(OSError):
        (PROC / "clear_refs").write_text("5")


def resident() -> int:
    """Return the bytes of memory that this process has now (on Linux)."""
    pages = (PROC / "statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


# The command


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code, 1 if a mutant failed."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description="Read hostile files.")
    parser.add_argument("count", nargs="?", type=int, default=100_000, help="random mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--systematic", action="store_true", help="every prefix, flipped bit and extreme instead"
    )
    parser.add_argument("--step", type=int, default=1, help="of these only one in so many; odd")
    parser.add_argument("--decodes", type=int, help="decode so often and watch memory instead")
    options = parser.parse_args(arguments)
    if options.decodes:
        return _watch(options.decodes)
    began = time.perf_counter()
    report, jobs = Report(), options.jobs
    share = partial(
        _share, options.count, options.seed, options.step if options.systematic else 0, jobs
    )
    if jobs == 1:
        report = share(0)
    else:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for each in pool.imap_unordered(share, range(jobs)):
                report.add(each)
    _print(report, time.perf_counter() - began)
    return 1 if report.failures else 0


def _share(count: int, seed: int, step: int, jobs: int, job: int) -> Report:
    """Return the report of one process's share of the mutants: random ones if `step` is 0."""
    files = corpus()
    for data in files.values():
        assert examine(data) == "read"
    if step:
        return run(islice(_systematic(files), job * step, None, jobs * step))
    numbers = (number for number in range(count) if number // 2 % jobs == job)
    originals = tuple(files.values())
    return run((f"seed{seed}-{number}", mutant(originals, seed, number)) for number in numbers)


def _systematic(files: dict[str, bytes]) -> Iterator[tuple[str, bytes]]:
    for name, data in files.items():
        for number, changed in enumerate(systematic(data)):
            yield f"{name}-{number}", changed


def _print(report: Report, seconds: float) -> None:
    total = report.outcomes.total()
    print(f"{total} mutants in {seconds:.0f} s")
    for outcome, count in report.outcomes.most_common():
        print(f"  {outcome:<12} {count:>9} {count / max(total, 1):7.2%}")
    print(f"slowest: {report.slowest[0]:.2f} s of the processor's time, {report.slowest[1]}")
    print(f"the process's peak grew by {report.grown / 2**20:.0f} MiB")
    for name, what, data in report.failures:
        FAILURES.mkdir(parents=True, exist_ok=True)
        path = FAILURES / f"{name}.siren"
        path.write_bytes(data)
        print(f"FAILED {path}: {what}")


def _watch(count: int) -> int:
    """Decode the corpus so often in turn, and print what memory the process has meanwhile."""
    files = list(corpus().values())
    began = time.perf_counter()
    for number in range(count):
        if number in (count // 20, count // 4, count // 2, 3 * count // 4):
            print(f"{number:>6} decodes: {resident() / 2**20:.1f} MiB")
        decoding.decode(files[number % len(files)])
    print(f"{count:>6} decodes: {resident() / 2**20:.1f} MiB")
    print(f"{time.perf_counter() - began:.1f} s")
    return 0
