"""Hostile files: a mutant is read, or refused with one line, and nothing else happens."""

import threading
from pathlib import Path
from typing import NoReturn

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from fuzz import run as fuzzing
from fuzz.corpus import bombs, corpus
from fuzz.mutate import assembled, mutant, parts_of, seal, systematic
from siren_codec import stream
from siren_codec.errors import FormatError, SirenError
from siren_codec.limits import Limits
from siren_codec.stream import format, prior, weights

FILES = corpus()
LIMITS = Limits(pixels=1 << 14, multiply_adds=1 << 30)
"""Less than the command's: no test may take long."""


def test_the_corpus_has_files_of_every_kind() -> None:
    fields = [stream.read(data) for data in FILES.values()]
    kinds = {(field.model, field.channels, field.depth) for field in fields}
    assert len(kinds) == 2 * 4 * 2
    assert {field.prior.id for field in fields if field.prior} == {*prior.IDS}
    assert {field.alpha.dtype.itemsize for field in fields if field.alpha is not None} == {1, 2}
    sections = [format.parse(data)[1] for data in FILES.values()]
    assert {weights.coder(each[format.Section.WEIGHTS]) for each in sections} == {*weights.Coder}
    assert set().union(*sections) == {*format.Section, 0x11, 0x12, 0x13}
    assert max(map(len, FILES.values())) < 1500


@pytest.mark.parametrize("name", FILES)
def test_the_fields_of_a_file_are_the_whole_file(name: str) -> None:
    parts = parts_of(FILES[name])
    assert all(assembled(parts, lengths=lengths) == FILES[name][:-4] for lengths in (True, False))


def test_every_field_of_the_specification_is_known() -> None:
    names = {part.name for data in FILES.values() for part in parts_of(data)}
    header = {"width", "height", "samples", "prior id", "prior hash", "quality", "levels"}
    header |= {"hidden layers", "hidden features", "first omega_0", "omega_0", "features"}
    header |= {"neighbours", "context features", "magic", "version"}
    sections = {"section id", "section length", "coder", "step", "planes", "table", "words"}
    sections |= {"finest level", "flags", "escapes length", "escapes", "form", "metadata"}
    zstd = {f"zstd {name}" for name in ("magic", "descriptor", "content size", "block")}
    assert names == header | sections | zstd | {"zstd block header"}


def test_mutants_are_read_or_refused() -> None:
    files = tuple(FILES.values())
    report = fuzzing.run(
        ((str(number), mutant(files, 1, number)) for number in range(1500)), LIMITS
    )
    assert not [(name, what, data.hex()) for name, what, data in report.failures]
    assert set(report.outcomes) == {"read", "read in part", "FormatError", "LimitError"}
    # Or the test would say little.
    assert report.outcomes["read"] > 100
    assert report.outcomes["LimitError"] > 15
    assert report.outcomes["read in part"] > 5


@pytest.mark.parametrize("name", ["grid_3_8_layers", "zstd_4_8", "apart_3_16"])
def test_each_prefix_and_flipped_bit_and_extreme_field(name: str) -> None:
    """A twentieth of them; `python -m tests.fuzz --systematic` takes all, of every file."""
    mutants = [(str(index), data) for index, data in enumerate(systematic(FILES[name]))][::21]
    report = fuzzing.run(mutants, LIMITS)
    assert not [(number, what, data.hex()) for number, what, data in report.failures]
    assert report.outcomes["FormatError"] > 100


def test_few_bytes_that_ask_for_much() -> None:
    """Within the limits they take little time and memory; a megapixel of the largest is refused."""
    files = bombs()
    report = fuzzing.run(files.items())
    assert not [(name, what) for name, what, _ in report.failures]
    assert max(map(len, files.values())) < 1000
    assert report.outcomes == {"read": len(files) - 2, "LimitError": 1, "FormatError": 1}
    assert report.grown < 256 << 20


def test_a_mutant_is_the_same_again_and_comes_with_both_checksums() -> None:
    files = tuple(FILES.values())
    for number in range(0, 200, 2):
        sealed, other = mutant(files, 3, number), mutant(files, 3, number + 1)
        assert sealed == mutant(files, 3, number)
        assert sealed[:-4] == other[:-4]
        assert seal(sealed[:-4]) == sealed


STRATEGY = strategies.tuples(
    strategies.sampled_from(sorted(FILES)),
    strategies.lists(
        strategies.tuples(
            strategies.integers(0, 1 << 10),
            strategies.binary(max_size=6),
            strategies.integers(0, 6),
        ),
        min_size=1,
        max_size=4,
    ),
)
"""A file, and what is put where instead of how many bytes."""


@hypothesis.settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=400,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
@hypothesis.given(STRATEGY)
def test_whatever_hypothesis_finds_is_read_or_refused(
    case: tuple[str, list[tuple[int, bytes, int]]],
) -> None:
    name, edits = case
    body = bytearray(FILES[name][:-4])
    for position, data, count in edits:
        position = 5 + position % max(len(body) - 5, 1)
        body[position : position + count] = data
    fuzzing.examine(seal(bytes(body)), LIMITS)


@hypothesis.settings(derandomize=True, database=None, deadline=None, max_examples=300)
@hypothesis.given(strategies.binary(max_size=200))
def test_whatever_follows_the_magic_is_refused(data: bytes) -> None:
    with pytest.raises(SirenError):
        stream.read(seal(b"\x89SRN\x01" + data), LIMITS)


# The fuzzer itself

BAD = ("slow", "waiting", "warning", "bug")


def test_what_is_neither_read_nor_refused_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(data: bytes, limits: Limits, *, partial: bool = False) -> NoReturn:
        match data:
            case b"slow":
                while True:
                    pass
            case b"waiting":
                threading.Event().wait()
            case b"warning":
                np.float32(1e38) * np.float32(1e38)
            case b"bug":
                raise IndexError("list index out of range")
        raise FormatError("expected a .siren file")

    monkeypatch.setattr(stream, "read", broken)
    monkeypatch.setattr(fuzzing, "SECONDS", 0.05)
    monkeypatch.setattr(fuzzing, "FAILURES", tmp_path)
    mutants = [(name, name.encode()) for name in ("refused", *BAD, "other")]
    report = fuzzing.run(mutants)
    assert report.outcomes == {"FormatError": 2, "failed": 4}
    assert [(name, what.split(":")[0]) for name, what, _ in report.failures] == [
        ("slow", "_HangError"),
        ("waiting", "_HangError"),
        ("warning", "RuntimeWarning"),
        ("bug", "IndexError"),
    ]
    fuzzing._print(report, 1.0)
    assert "6 mutants" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        f"{name}.siren": name.encode() for name in BAD
    }


def test_a_process_that_grows_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = iter([1 << 30, 1 << 30, 3 << 30, 3 << 30])
    monkeypatch.setattr(fuzzing, "peak", lambda: next(sizes))
    report = fuzzing.run([("small", b""), ("large", b"x"), ("small again", b"")])
    assert [(name, what) for name, what, _ in report.failures] == [("large", "grew by 2048 MiB")]


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzzing.main(["40", "--seed", "5"]) == 0
    assert "40 mutants" in capsys.readouterr().out
