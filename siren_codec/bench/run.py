"""All measurements that are asked for: those that OUT lacks are made, one line of JSON each."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from siren_codec.bench import environment
from siren_codec.bench.measure import Job, OurJob, PeerJob, our_version
from siren_codec.bench.peers import PEERS, Peer
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results, Row, identity, latest
from siren_codec.cli import console
from siren_codec.errors import SirenError
from siren_codec.many.workers import pin, shares
from siren_codec.options import MODELS, Options

__all__ = ["Plan", "jobs", "measure", "rows_of"]

Outcome = tuple[Job, dict[str, Any] | SirenError]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured."""

    originals: Sequence[Original]
    codecs: Sequence[str]
    """Of MODELS and the names of `peers`."""
    qualities: Sequence[int] = (24, 36, 50, 60)
    """Of the grid model; the others have their own."""
    widths: Sequence[int] = (14, 20, 28, 40)
    """Of the coordinate model's layers: they decide its rate, and stand for a quality."""
    efforts: Sequence[int] = (Options.effort,)
    fit_on: str = "cpu"
    """cpu or cuda."""
    steps: int | None = None
    """Of a fit, instead of the effort's."""
    peers: Sequence[Peer] = PEERS
    command: Sequence[str] = ("siren-bench",)
    """What asks for it, for the record."""


def jobs(plan: Plan) -> Iterator[Job]:
    """Yield the measurements: the libraries' first, which take seconds."""
    machine = environment.device_name("cpu")
    for original in plan.originals:
        for peer in plan.peers:
            for quality in peer.qualities if peer.name in plan.codecs else ():
                yield PeerJob(
                    original=original,
                    codec=peer.name,
                    version=peer.version,
                    settings={"quality": quality},
                    device=machine,
                    extension=peer.extension,
                    peer=peer,
                )
    version, machine = our_version(), environment.device_name(plan.fit_on)
    for model in (model for model in MODELS if model in plan.codecs):
        for settings in _our_settings(plan, model):
            for original in plan.originals:
                yield OurJob(
                    original=original,
                    codec=model,
                    version=version,
                    settings=settings,
                    device=machine,
                    extension="siren",
                    fit_on=plan.fit_on,
                )


def _our_settings(plan: Plan, model: str) -> Iterator[dict[str, Any]]:
    for effort in plan.efforts:
        for quality in plan.qualities if model == "grid" else plan.widths:
            steps = {} if plan.steps is None else {"steps": plan.steps}
            yield {"quality": quality, "effort": effort, **steps}


def measure(
    plan: Plan, out: Path, *, count: int = 1, resume: bool = True, shown: bool = True
) -> list[str]:
    """Make what OUT/results.jsonl lacks, and return what failed, a line each.

    Without `resume` all is made anew. `count` fits run at a time, each with its share of the cores;
    libraries come first, one by one.
    """
    results = Results(out / "results.jsonl")
    known = {identity(row): row for row in results.rows} if resume else {}
    every = list(jobs(plan))
    wanted = [job for job in every if not _is_done(job, known.get(identity(job.key)), out)]
    if shown and len(wanted) < len(every):
        console.say(f"{len(every) - len(wanted)} of {len(every)} results are there", error=True)
    about = environment.describe(plan.command)
    failures: list[str] = []
    bar = tqdm(total=len(wanted), unit="file", leave=False, disable=None if shown else True)
    with bar:
        for job, found in _outcomes(wanted, out, count):
            if isinstance(found, SirenError):
                failures.append(f"{_name(job)}: {found}")
                console.say(failures[-1], error=True)
            else:
                results.add({**found, **{key: about[key] for key in ("commit", "date", "command")}})
                if shown and isinstance(job, OurJob):
                    console.say(f"{_name(job)}: {_line(found)}", error=True)
            bar.update()
    return failures


def _is_done(job: Job, row: Row | None, out: Path) -> bool:
    """Tell whether a row is of this measurement and its file is there."""
    if row is None or any(row.get(name) != value for name, value in job.key.items()):
        return False
    return _is_kept(row, out)


def _is_kept(row: Row, out: Path) -> bool:
    """Tell whether a row's file is there, and not that of another picture of the same name."""
    file = out / row["file"]
    return bool(file.is_file() and file.stat().st_size == int(row["bytes"]))


def _name(job: Job) -> str:
    return " ".join([job.original.name, job.codec, *(f"{k} {v}" for k, v in job.settings.items())])


def _line(row: Row) -> str:
    return f"{row['bytes']} bytes, {row['bpp']:.3f} bpp, PSNR {row['psnr']:.2f} dB, " + (
        f"{row['encode_s']:.1f} s"
    )


def _outcomes(wanted: Sequence[Job], out: Path, count: int) -> Iterator[Outcome]:
    """Yield jobs as they are done, with their row or with what went wrong."""
    for job in wanted:
        if isinstance(job, PeerJob):
            yield job, _attempt(job, out)
    cores: SimpleQueue[list[int]] = SimpleQueue()
    for share in shares(count):
        cores.put(share)
    # A process has the cores of the thread that starts it.
    crew = ThreadPoolExecutor(count, initializer=lambda: pin(cores.get()))
    try:
        futures = {
            crew.submit(_attempt, job, out): job for job in wanted if isinstance(job, OurJob)
        }
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # After Ctrl-C no more are begun; those under way were told by the terminal.
        crew.shutdown(cancel_futures=True)


def _attempt(job: Job, out: Path) -> dict[str, Any] | SirenError:
    try:
        return job.run(out)
    except SirenError as error:
        return error


def rows_of(originals: Sequence[Original], out: Path) -> list[Row]:
    """Return what OUT has of these pictures: of each codec the version measured last."""
    pictures = {(original.name, original.sha256) for original in originals}
    rows = latest(Results(out / "results.jsonl").rows)
    return [row for row in rows if (row["image"], row["sha256"]) in pictures and _is_kept(row, out)]
