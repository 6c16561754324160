"""benchmarks.record: what is there, what is stale, what is made."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from benchmarks import first_encode, gpu, kodak, memory, record, same, store
from benchmarks.kodak import Comparison
from benchmarks.store import Task
from siren_codec.bench import commands
from siren_codec.bench.commands import Process
from siren_codec.bench.environment import ROOT
from siren_codec.bench.published import KODAK
from siren_codec.bench.results import Results, Row
from siren_codec.errors import SirenError


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(store, "RESULTS", tmp_path / "results")
    return tmp_path / "results"


def test_the_records_are_those_of_the_results() -> None:
    def settings(name: str) -> set[tuple[int, float]]:
        found = (task.facts["settings"] for task in record.tasks_of(name, None))
        return {(one["effort"], one["quality"]) for one in found if "effort" in one}

    assert settings("kodak24") == {(4, quality) for quality in (14, 24, 36, 50, 60)}
    assert settings("efforts") >= {(effort, 36) for effort in (1, 2, 7, 9)}
    tasks = list(record.tasks_of("kodak24", None))
    ours = [task for task in tasks if task.facts["codec"] == "grid"]
    assert len(ours) == 24 * 5
    assert {task.facts["image"] for task in tasks} == KODAK
    zooms = {task.facts["settings"]["zoom"] for task in record.tasks_of("zoom", None)}
    assert zooms == {2, 4}
    sizes = [task.facts["settings"]["size"] for task in record.tasks_of("speed", None)]
    assert (sizes[0], sizes[-1]) == (64, 4096)


def test_what_is_missing_is_made_and_what_is_stale_is_told(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def tasks() -> Any:
        for size in (1, 2):
            facts = {"experiment": "speed", "settings": {"size": size}}

            def make(size: int = size, facts: Row = facts) -> list[Row]:
                made.append(size)
                return [{**facts, **store.about()}]

            yield Task(facts, make)

    monkeypatch.setattr(record, "EXPERIMENTS", {"speed": tasks})
    monkeypatch.setattr(record, "NAMES", ("speed",))
    folder = tmp_path / "kodak"
    folder.mkdir()
    assert "expected kodim01.png" in CliRunner().invoke(record.main, [str(folder)]).output
    (folder / "kodim24.png").write_bytes(b"")

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(record.main, list(arguments))
        assert result.exit_code == 0, result.output
        return result.output

    assert "speed: 0 of 2 are there" in run()
    assert made == []
    run(str(folder))
    run(str(folder))
    assert made == [1, 2]
    monkeypatch.setattr(store, "codec_version", lambda: "another")
    assert "speed: 2 of 2 are there, 2 made by other code" in run(str(folder))
    assert made == [1, 2]
    run(str(folder), "--stale")
    assert made == [1, 2, 1, 2]
    assert "0 made by other code" in run()
    assert len(store.rows_of("speed")) == 2


def test_versions_that_make_the_same_files_are_not_stale(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "codec_version", lambda: "c")
    rows = [{"experiment": "memory", "version": name} for name in "abcd"]
    compared = Results(store.path_of("same"))
    for older, newer in ("ab", "bc", "de"):
        about = {"experiment": "same", "settings": {"version": older}, "version": newer}
        compared.add(about)
    assert [store.is_stale(row) for row in rows] == [False, False, False, True]


@pytest.mark.usefixtures("results")
def test_a_checkout_makes_the_same_files_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(same, "WAYS", (("rgb", "--steps 1"),))
    said: list[str] = []
    same.compare(ROOT, said.append)
    assert len(said) == 1
    assert re.fullmatch(r"rgb --steps 1: \d+ bytes, the same", said[0])

    options = iter(["--steps 1", "--steps 2"])
    encode = same.encode
    monkeypatch.setattr(
        same, "encode", lambda place, folder, name, _: encode(place, folder, name, next(options))
    )
    with pytest.raises(SirenError, match="rgb --steps 1: expected the same file, found another"):
        same.compare(ROOT, said.append)


def test_a_commit_that_there_is_not() -> None:
    result = CliRunner().invoke(same.main, ["0" * 40])
    assert result.exit_code == 1
    assert "Error: " in result.output


def test_a_row_tells_the_command_without_the_places_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.argv", ["x/benchmarks/gpu.py", str(tmp_path / "kodak"), "--runs", "2"])
    assert store.about()["command"] == "bin/bench gpu kodak --runs 2"


def test_a_picture_is_measured_as_siren_bench_does(results: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    few = Comparison("few", ("a",), (("jpeg", (50, 90), {}),))
    first, second = few.tasks(tmp_path)
    store.make("few", [first, second], lambda _: None)
    found = store.rows_of("few")
    assert [one["settings"] for one in found] == [{"quality": 50}, {"quality": 90}]
    assert first.is_of(found[0])
    assert not first.is_of(found[1])
    assert found[0]["psnr"] < found[1]["psnr"]
    assert found[0]["file"] is None
    assert not store.is_stale(found[0])


def test_the_montage_has_twelve_megapixels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place, name in enumerate(sorted(KODAK)):
        size = (24, 16) if place % 3 else (16, 24)
        Image.new("RGB", size, (place, 0, 0)).save(tmp_path / f"{name}.png")
    found = kodak.original(tmp_path, kodak.MONTAGE).pixels
    assert found.shape == (6 * 16, 5 * 24, 3)
    assert list(found[::16, ::24, 0].reshape(-1)) == [*range(24), *range(6)]


def test_memory_of_a_decode(results: Path) -> None:
    result = CliRunner().invoke(memory.main, ["0.01"])
    assert result.exit_code == 0, result.output
    (found,) = store.rows_of("memory")
    assert (found["width"], found["height"]) == (122, 82)
    assert found["beyond_mib"] > 5
    assert f"| 0.01 (122 x 82) | {found['bpp']:.2f} |" in result.output


def test_the_first_encode(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []

    def encode(*arguments: Any) -> tuple[Row, Process]:
        folders.append(arguments[-1]["NUMBA_CACHE_DIR"])
        return {}, Process("", 9.0 if len(folders) == 1 else 3.0, None)

    assert first_encode.section() == first_encode.sentence() == ""
    monkeypatch.setattr(commands, "encode", encode)
    store.make("first-encode", first_encode.tasks(), lambda _: None)
    # The second finds what the first one compiled.
    assert folders[0] == folders[1]
    assert "`astronaut.png` at `-e 1` takes 9.00 s, the next time 3.00." in first_encode.section()


def test_the_gpu_script_runs_on_a_cpu(results: Path, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "kodim05.png")
    arguments = [str(tmp_path), "--device", "cpu", "--steps", "1", "--runs", "1"]
    result = CliRunner().invoke(gpu.main, [*arguments, "--size", "24", "16"])
    assert result.exit_code == 0, result.output
    rows = store.rows_of("gpu")
    timed = [one["settings"]["what"] for one in rows if "experiment" in one]
    assert timed == ["step", "decode, network on the cpu"]
    coded = [one for one in rows if "codec" in one]
    found = [(one["image"], one["settings"]["effort"]) for one in coded]
    assert found == [("kodim05", 9), ("kodim05", 4)]
    assert "| step, 24 x 16 |" in result.output
    assert "| 9 | 1 |" in result.output
    assert "| 4 | 1 |" in result.output
