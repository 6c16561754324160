"""The benchmark of speed, on tiny pictures: its records, not its times."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks import memory, speed, store
from benchmarks.timing import median_seconds
from siren_codec import encode, stream
from siren_codec.errors import UsageError


def test_sizes_are_added_to_the_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RESULTS", tmp_path)
    monkeypatch.setattr(speed, "_RUNS", 1)
    monkeypatch.setattr(speed, "_LEAST_RUNS", 1)
    monkeypatch.setattr(speed, "_REST", 0)
    monkeypatch.setattr(speed, "LARGEST_FIT", {"kernels": 16, "torch": 16})
    result = CliRunner().invoke(speed.main, ["--size", "32", "--size", "16", "--steps", "2"])
    assert result.exit_code == 0, result.output
    rows = store.rows_of("speed")
    assert [row["settings"]["size"] for row in rows] == [16, 32]
    for row in rows:
        size = row["settings"]["size"]
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / size**2, abs=1e-4)
        stages = {"decode", "read", "grids", "render", "write PNG", *row["bytes_of_peers"]}
        steps = {"fit step, kernels", "fit step, torch"} if size == 16 else set()
        assert set(row["seconds"]) == stages | steps
        assert min(row["seconds"].values()) > 0
        assert row["peak_mib"] is None or row["peak_mib"] > 5
        assert all(row[name] for name in ("command", "date", "commit", "device", "version"))
    # Not the record's own measurement, whose place it must not take.
    assert rows[0]["settings"] == {"size": 16, "side": 32, "steps": 2}
    lines = result.stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("| 16 x 16, side 32, steps 2 |"))
    seconds = rows[0]["seconds"]
    assert f"| {seconds['decode'] / seconds['JPEG']:.0f} |" in line


def test_a_file_of_another_size_has_the_grids_repeated_or_cut() -> None:
    field = stream.read(memory.synthetic_file(20, 12))
    larger, smaller = (stream.read(speed.of_size(field, *size)) for size in ((45, 13), (7, 9)))
    finest = field.latents[0]
    np.testing.assert_array_equal(larger.latents[0][:, :12, 20:40], finest)
    np.testing.assert_array_equal(larger.latents[0][:, 12], np.tile(finest[:, 0], (1, 3))[:, :45])
    np.testing.assert_array_equal(smaller.latents[0], finest[:, :9, :7])
    assert smaller.render().shape == (9, 7, 3)


def test_only_what_jpeg_can_hold_is_compared_with_it() -> None:
    pixels = np.zeros((8, 8, 3), np.uint16)
    coordinate = encode(pixels.astype(np.uint8), model="coordinate", steps=1, device="cpu")
    with pytest.raises(UsageError, match="expected a file of the grid model"):
        speed.of_size(stream.read(coordinate), 16, 16)
    deep = stream.read(encode(pixels, steps=1, device="cpu"))
    with pytest.raises(UsageError, match="found 3 channels of 16 bits"):
        speed.of_size(deep, 16, 16)


def test_every_run_takes_each_action_once() -> None:
    taken: list[str] = []
    actions = {name: (lambda name=name: taken.append(name)) for name in "ab"}
    medians = median_seconds(actions, 2)
    assert taken == list("ababab")
    assert set(medians) == {"a", "b"}
