"""All measurements that are asked for: those that OUT lacks are made, one line of JSON each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from tqdm import tqdm

from siren_codec.bench import environment
from siren_codec.bench.codecs import Codec
from siren_codec.bench.measurement import Measurement
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results, Row, identity, latest
from siren_codec.errors import SirenError
from siren_codec.many.workers import pin, shares
from siren_codec.options import Options

__all__ = ["Plan", "measure", "measurements", "rows_of"]

Outcome = tuple[Measurement, dict[str, Any] | SirenError]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be measured."""

    originals: Sequence[Original]
    codecs: Sequence[Codec]
    qualities: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """By codec, where they are not its own."""
    efforts: Sequence[int] = (Options.effort,)
    zooms: Sequence[int] = (1,)
    """How many times smaller a picture is encoded; 1 is the picture itself. For our codecs."""
    device: str = "cpu"
    """Where our codecs fit: cpu or cuda."""
    steps: int | None = None
    """Of a fit, instead of the effort's."""
    command: Sequence[str] = ("siren-bench",)
    """What asks for it, for the record."""


def measurements(plan: Plan) -> Iterator[Measurement]:
    """Yield the measurements: the libraries' first, which take seconds."""
    for codec in sorted(plan.codecs, key=lambda codec: codec.is_ours):
        device = plan.device if codec.is_ours else "cpu"
        version, device_name = codec.version, environment.device_name(device)
        for settings in _settings(plan, codec):
            for original in plan.originals:
                yield Measurement(
                    original=original,
                    codec=codec,
                    version=version,
                    settings=settings,
                    device=device,
                    device_name=device_name,
                )


def _settings(plan: Plan, codec: Codec) -> Iterator[dict[str, Any]]:
    qualities = plan.qualities.get(codec.name, codec.qualities)
    if not codec.is_ours:
        yield from ({"quality": quality} for quality in qualities if 1 in plan.zooms)
        return
    steps = {} if plan.steps is None else {"steps": plan.steps}
    for zoom in plan.zooms:
        smaller = {} if zoom == 1 else {"zoom": zoom}
        for effort in plan.efforts:
            for quality in qualities:
                yield {"quality": quality, "effort": effort, **steps, **smaller}


def measure(
    plan: Plan,
    out: Path,
    *,
    count: int = 1,
    resume: bool = True,
    say: Callable[[str], object] | None = None,
) -> list[str]:
    """Make what OUT/results.jsonl lacks, and return what failed, a line each.

    Without `resume` all is made anew. `count` fits run at a time, each with its share of the cores;
    libraries come first, one by one. `say` is told of each file; without it nothing is shown.
    """
    results = _results(out)
    known = {identity(row): row for row in results.rows} if resume else {}
    every = list(measurements(plan))
    wanted = [one for one in every if not _is_done(one, known.get(identity(one.key)), out)]
    tell = say or (lambda _: None)
    if len(wanted) < len(every):
        tell(f"{len(every) - len(wanted)} of {len(every)} results are there")
    origin = environment.origin(plan.command)
    failures: list[str] = []
    with tqdm(total=len(wanted), unit="file", leave=False, disable=None if say else True) as bar:
        for one, found in _outcomes(wanted, out, count):
            if isinstance(found, SirenError):
                failures.append(f"{_name(one)}: {found}")
                tell(failures[-1])
            else:
                results.add({**found, **origin})
                if one.codec.is_ours:
                    tell(f"{_name(one)}: {_line(found)}")
            bar.update()
    return failures


def _is_done(wanted: Measurement, row: Row | None, out: Path) -> bool:
    """Tell whether a row is of this measurement and its file is there."""
    if row is None or any(row.get(name) != value for name, value in wanted.key.items()):
        return False
    return _is_kept(row, out)


def _is_kept(row: Row, out: Path) -> bool:
    """Tell whether a row's file is there, and not that of another picture of the same name."""
    file = out / row["file"]
    return bool(file.is_file() and file.stat().st_size == int(row["bytes"]))


def _name(measurement: Measurement) -> str:
    settings = (f"{name} {value:g}" for name, value in measurement.settings.items())
    return " ".join([measurement.original.name, measurement.codec.name, *settings])


def _line(row: Row) -> str:
    return f"{row['bytes']} bytes, {row['bpp']:.3f} bpp, PSNR {row['psnr']:.2f} dB, " + (
        f"{row['encode_s']:.1f} s"
    )


def _outcomes(wanted: Sequence[Measurement], out: Path, count: int) -> Iterator[Outcome]:
    """Yield measurements as they are made, with their row or with what went wrong."""
    for one in wanted:
        if not one.codec.is_ours:
            yield one, _attempt(one, out)
    cores: SimpleQueue[list[int]] = SimpleQueue()
    for share in shares(count):
        cores.put(share)
    # A process has the cores of the thread that starts it.
    crew = ThreadPoolExecutor(count, initializer=lambda: pin(cores.get()))
    try:
        futures = {crew.submit(_attempt, one, out): one for one in wanted if one.codec.is_ours}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        # After Ctrl-C no more are begun; those under way were told by the terminal.
        crew.shutdown(cancel_futures=True)


def _attempt(one: Measurement, out: Path) -> dict[str, Any] | SirenError:
    try:
        return one.make(out)
    except SirenError as error:
        return error


def rows_of(originals: Sequence[Original], out: Path) -> list[Row]:
    """Return what OUT has of these pictures: of each codec the version and device of the last."""
    pictures = {(original.name, original.sha256) for original in originals}
    rows = _results(out).rows
    # Another picture may have been measured otherwise since.
    ours = latest(row for row in rows if (row["image"], row["sha256"]) in pictures)
    return [row for row in ours if _is_kept(row, out)]


def _results(out: Path) -> Results:
    """Return what OUT has. Raises SirenError for a row that is not of a file that was kept."""
    return Results(out / "results.jsonl", accepts=_is_of_a_file)


def _is_of_a_file(row: Row) -> bool:
    """Tell whether a row has what the report needs of every one."""
    settings = row["settings"]
    return (
        all(isinstance(row.get(name), str) for name in _WORDS)
        and all(isinstance(row.get(name), int | float) for name in _NUMBERS)
        and isinstance(settings, dict)
        and isinstance(settings.get("quality"), int | float)
    )


_ORIGIN = ("command", "date", "commit")
_WORDS = ("image", "sha256", "codec", "version", "device", "timing", "file", *_ORIGIN)
_NUMBERS = ("width", "height", "bytes", "bpp", "psnr", "encode_s", "decode_s")
