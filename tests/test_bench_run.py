"""A run: what is measured, what is not measured again, what failures do to it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benches import GRID, TWO_JPEGS, lines, photo, plan

from siren_codec.bench import run
from siren_codec.bench.codecs import Siren, by_name
from siren_codec.bench.pictures import Original
from siren_codec.bench.results import Results
from siren_codec.errors import SirenError


def test_what_is_there_is_not_measured_again(stub: Path) -> None:
    small, other = Original("a", photo(19, 14).pixels), Original("b", photo(19, 14).pixels)
    wanted = plan(small, codecs=(TWO_JPEGS, GRID), qualities=(24,), efforts=(1, 4))
    assert run.measure(wanted, stub, count=2) == []
    rows = lines(stub)
    assert [row["codec"] for row in rows] == ["jpeg", "jpeg", "grid", "grid"]
    assert sorted(row["settings"]["effort"] for row in rows[2:]) == [1, 4]
    assert rows[-1]["bytes"] == (stub / rows[-1]["file"]).stat().st_size
    run.measure(wanted, stub)
    assert lines(stub) == rows
    # Another picture, and a file that is gone.
    (stub / rows[3]["file"]).unlink()
    run.measure(replace(wanted, originals=[small, other]), stub)
    assert len(lines(stub)) == 4 + 1 + 4
    run.measure(wanted, stub, resume=False)
    assert len(lines(stub)) == 9 + 4
    found = run.rows_of([small], stub)
    assert len(found) == 4
    assert {row["image"] for row in found} == {"a"}
    # What has been overwritten by a picture of the same name is in no report.
    (stub / found[0]["file"]).write_bytes(b"another")
    assert run.rows_of([small], stub) == found[1:]


def test_another_version_is_measured_again(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = Original("a", photo(19, 14).pixels)
    run.measure(plan(small, qualities=(24, 36)), stub)
    monkeypatch.setattr(Siren, "version", "2.0")
    run.measure(plan(small, qualities=(24,)), stub)
    assert len(lines(stub)) == 3
    # No curve has points of two versions.
    (row,) = run.rows_of([small], stub)
    assert (row["version"], row["settings"]["quality"]) == ("2.0", 24)


def test_another_picture_s_newer_version_hides_no_row(
    stub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, other = Original("a", photo(19, 14).pixels), Original("b", photo(19, 14).pixels)
    run.measure(plan(small), stub)
    monkeypatch.setattr(Siren, "version", "2.0")
    run.measure(plan(other), stub)
    assert [row["image"] for row in run.rows_of([small], stub)] == ["a"]
    assert [row["image"] for row in run.rows_of([small, other], stub)] == ["b"]


@pytest.mark.parametrize(
    "change",
    [
        *({name: None} for name in ("image", "codec", "version", "bytes", "psnr", "file", "date")),
        {"bytes": "many"},
        {"settings": {"effort": 4}},
        {"settings": [50]},
    ],
    ids=str,
)
def test_a_row_that_is_of_no_file_is_an_error(stub: Path, change: dict[str, Any]) -> None:
    small = Original("a", photo(19, 14).pixels)
    run.measure(plan(small), stub)
    (row,) = lines(stub)
    path = stub / "results.jsonl"
    path.write_text(f"{json.dumps(row)}\n{json.dumps({**row, **change})}\n", encoding="utf-8")
    with pytest.raises(SirenError, match="line 2: expected a result, found"):
        run.rows_of([small], stub)
    with pytest.raises(SirenError, match="line 2: expected a result, found"):
        run.measure(plan(small), stub)
    # A reader of benchmarks/results asks for less.
    assert len(Results(path).rows) == 2


def test_a_failure_does_not_end_a_run(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, large = Original("a", photo(19, 14).pixels), Original("b", photo(20, 14).pixels)
    told: list[str] = []
    failures = run.measure(plan(small, large, qualities=(13, 50)), stub, say=told.append)
    assert sorted(failures) == [
        "a grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 13 effort 4: siren-encode: bad luck",
        "b grid quality 50 effort 4: expected pixels (14, 20, 3), found (14, 19, 3)",
    ]
    assert [row["image"] for row in lines(stub)] == ["a"]
    assert set(failures) < set(told)
    (wanted,) = run.measurements(plan(small, qualities=(50,)))
    monkeypatch.setattr(Siren, "version", "2.0")
    with pytest.raises(SirenError, match="changed under the run"):
        wanted.make(stub)


def test_a_library_that_fails_is_one_line(stub: Path) -> None:
    wide = Original("a", np.zeros((1, 16384, 3), np.uint8))
    webp = by_name("webp")
    failures = run.measure(plan(wide, codecs=(webp,)), stub)
    assert len(failures) == len(webp.qualities)
    assert failures[0].startswith("a webp quality 1: ")
