"""The benchmark of speed, on tiny pictures: its records, not its times."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import memory, scaling, speed
from benchmarks.timing import in_turn
from siren_codec import encode, stream


def test_scaling_writes_rows_table_and_plot(tmp_path: Path) -> None:
    out = tmp_path / "scaling.jsonl"
    arguments = ["--only", "scaling", "--sizes", "32,16", "--fit-sizes", "16", "--runs", "1"]
    result = CliRunner().invoke(
        speed.main,
        [*arguments, "--steps", "2", "--device", "cpu", "--scaling-out", str(out)],
    )
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [(row["width"], row["height"]) for row in rows] == [(16, 16), (32, 32)]
    for row in rows:
        assert row["bpp"] == pytest.approx(8 * row["bytes"] / row["width"] ** 2, abs=1e-4)
        assert row["runs"] == 1
        seconds = row["seconds"]
        stages = {"decode", "read", "grids", "render", "write PNG", *row["bytes_of_peers"]}
        assert set(seconds) == stages | ({"fit step, cpu"} if row["width"] == 16 else set())
        assert min(seconds.values()) > 0
        assert row["least"] == seconds
        assert {"JPEG"} <= set(row["ratios"]) == set(row["bytes_of_peers"])
        for name, ratio in row["ratios"].items():
            assert ratio == pytest.approx(seconds["decode"] / seconds[name], abs=1e-4)
        rate = row["width"] * row["height"] / 1e6 / seconds["decode"]
        assert row["megapixels_per_s"] == pytest.approx(rate, abs=1e-4)
        assert row["peak_mib"] is None or row["peak_mib"] > 5
        assert all(row[name] for name in ("command", "date", "commit", "device", "torch"))
    page = out.with_suffix(".md").read_text(encoding="utf-8")
    assert page == result.stdout
    ratio = f"| {rows[0]['ratios']['JPEG']:.1f} |"
    (line,) = (line for line in page.splitlines() if line.startswith("| 16x16 |"))
    assert ratio in line
    assert "decode / JPEG" in page
    with Image.open(out.with_suffix(".png")) as plot:
        assert plot.width > 500


def test_a_file_of_another_size_has_the_grids_repeated_or_cut() -> None:
    field = stream.read(memory.make(20, 12))
    larger, smaller = (stream.read(scaling.of_size(field, *size)) for size in ((45, 13), (7, 9)))
    finest = field.latents[0]
    np.testing.assert_array_equal(larger.latents[0][:, :12, 20:40], finest)
    np.testing.assert_array_equal(larger.latents[0][:, 12], np.tile(finest[:, 0], (1, 3))[:, :45])
    np.testing.assert_array_equal(smaller.latents[0], finest[:, :9, :7])
    assert smaller.render().shape == (9, 7, 3)


def test_only_what_jpeg_can_hold_is_compared_with_it() -> None:
    pixels = np.zeros((8, 8, 3), np.uint16)
    coordinate = speed.coordinate_file(8, 8)
    with pytest.raises(click.ClickException, match="expected a file of the grid model"):
        scaling.of_size(stream.read(coordinate), 16, 16)
    deep = stream.read(encode(pixels, steps=1, device="cpu"))
    with pytest.raises(click.ClickException, match="found 3 channels of 16 bits"):
        scaling.of_size(deep, 16, 16)


def test_fit_sizes_are_some_of_the_sizes() -> None:
    arguments = ["--only", "scaling", "--sizes", "16", "--fit-sizes", "32"]
    result = CliRunner().invoke(speed.main, arguments)
    assert result.exit_code == 2
    assert "--fit-sizes: expected some of --sizes" in result.output


def test_every_run_takes_each_action_once() -> None:
    taken: list[str] = []
    actions = {name: (lambda name=name: taken.append(name)) for name in "ab"}
    medians, least = in_turn(actions, 2)
    assert taken == list("ababab")
    assert set(medians) == set(least) == {"a", "b"}
