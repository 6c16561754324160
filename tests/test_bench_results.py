"""Rows as a file of lines of JSON."""

from pathlib import Path

import pytest
from benches import row

from siren_codec.bench.results import Results, latest
from siren_codec.errors import SirenError


def qualities(path: Path) -> list[float]:
    return [found["settings"]["quality"] for found in Results(path).rows]


def test_half_a_line_counts_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    results = Results(path)
    for quality in (1, 2):
        results.add(row("a", "jpeg", quality))
    whole = path.read_bytes()
    assert qualities(path) == [1, 2]
    for cut in range(1, len(whole) // 2):
        path.write_bytes(whole[:-cut])
        assert qualities(path) == [1]
        # Another process may be about to write the rest.
        assert path.read_bytes() == whole[:-cut]
        Results(path).add(row("a", "jpeg", 3))
        assert path.read_bytes().startswith(whole[:-cut] + b"\n")
        # The last cut leaves all of it but its end.
        assert qualities(path) == ([1, 2, 3] if cut == 1 else [1, 3])
        Results(path).add(row("a", "jpeg", 4))
        assert qualities(path)[-2:] == [3, 4]


def test_what_is_not_a_result_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for strange in (b'{"image": "a"}', b"[]", b"1", b'"a"', b"a"):
        path.write_bytes(b"\n \n" + strange + b"\n")
        with pytest.raises(SirenError, match="line 3: expected a result, found"):
            Results(path)
    with pytest.raises(SirenError, match="Is a directory"):
        Results(tmp_path)


def test_the_last_row_of_a_measurement_counts() -> None:
    rows = [row("a", "jpeg", 1), row("a", "jpeg", 2), row("a", "jpeg", 1, 5)]
    assert [found["bpp"] for found in latest(rows)] == [1, 5]
    newer = [*rows, row("a", "jpeg", 3, 7, version="2"), row("a", "webp", 1)]
    assert [found["bpp"] for found in latest(newer)] == [7, 1]


def test_no_curve_is_of_two_devices() -> None:
    gpu = {"device": "a GPU"}
    rows = [row("a", "grid", 1), row("a", "grid", 2, 4, **gpu), row("a", "jpeg", 1)]
    assert [found["bpp"] for found in latest(rows)] == [4, 1]
    # Made anew on the CPU.
    assert [found["bpp"] for found in latest([*rows, row("a", "grid", 2, 5)])] == [1, 1, 5]
