"""Rows as a file of lines of JSON."""

from pathlib import Path

import pytest
from benches import row

from siren_codec.bench.results import Results, latest
from siren_codec.errors import SirenError


def test_half_a_line_is_dropped_and_a_strange_one_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.jsonl"
    results = Results(path)
    for quality in (1, 2):
        results.add(row("a", "jpeg", quality))
    whole = path.read_bytes()
    for cut in (1, 40, len(whole) // 2 - 1):
        path.write_bytes(whole[:-cut])
        assert [found["settings"]["quality"] for found in Results(path).rows] == [1]
        assert path.read_bytes() == whole[: len(whole) // 2]
    path.write_bytes(whole + b'{"image": "a"}\n')
    with pytest.raises(SirenError, match="line 3: expected a result, found"):
        Results(path)
    with pytest.raises(SirenError, match="Is a directory"):
        Results(tmp_path)


def test_the_last_row_of_a_measurement_counts() -> None:
    rows = [row("a", "jpeg", 1), row("a", "jpeg", 2), row("a", "jpeg", 1, 5)]
    assert [found["bpp"] for found in latest(rows)] == [1, 5]
    newer = [*rows, row("a", "jpeg", 3, 7, version="2"), row("a", "webp", 1)]
    assert [found["bpp"] for found in latest(newer)] == [7, 1]
