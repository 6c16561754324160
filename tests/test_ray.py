"""siren-encode -r --ray, against a cluster of two cores that is started here."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import siren_codec
from siren_codec import cli
from siren_codec.cli.cluster import Cluster
from siren_codec.errors import SirenError
from siren_codec.many.plan import Job
from siren_codec.many.recipes import Encode, Failure, Product, Result
from siren_codec.options import Options

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    ray = pytest.importorskip("ray")

# Ray leaves sockets and files to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore")

TINY = Options(model="coordinate", hidden_layers=2, hidden_features=8, steps=10, device="cpu")
ARGUMENTS = ["--model", "coordinate", "--hidden-layers", "2", "--hidden-features", "8"]
ARGUMENTS += ["--steps", "10", "--device", "cpu"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """The driver's connection to a cluster of two cores, with a process for each."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Else Ray writes a token into the home folder.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        # What these tests define is not installed on the cluster.
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        with Cluster("local") as connected:
            yield connected
        assert ray.is_initialized()
        ray.shutdown()


@dataclass(frozen=True)
class Recipe:
    """An encoder that leaves the id of its process in a folder, and may wait for a signal."""

    folder: Path
    encode: Encode = Encode(TINY)  # noqa: RUF009
    device: str = "auto"
    waits: bool = False
    """Whether it does not end on its own."""

    def on(self, device: str) -> "Recipe":
        return replace(self, device=device)

    def __call__(
        self, source: Path | bytes, *, progress: Any = None, stop: Callable[[], bool] | None = None
    ) -> Product | None:
        assert isinstance(source, bytes)
        assert stop is not None
        first = not any(self.folder.iterdir())
        (self.folder / str(os.getpid())).touch()
        while (first or self.waits) and not stop():
            time.sleep(0.01)
        if stop():
            return Product(b"", "", {}, interrupted=True)
        return self.encode(source, stop=stop)


def _pictures(folder: Path, *names: str) -> Iterator[Job]:
    for name in names:
        Image.new("RGB", (6, 4), (99, 0, 0)).save(folder / name)
    return (Job(folder / name, folder / f"{name}.siren") for name in names)


def _results(cluster: Cluster, jobs: Iterator[Job], recipe: Any, **watch: Any) -> dict[str, Result]:
    stop = watch.get("stop", lambda: False)
    results = cluster.run(jobs, recipe, count=watch.get("count", 2), stop=stop)
    return {job.source.name: result for job, result in results}


def test_pictures_as_tasks(cluster: Cluster, tmp_path: Path) -> None:
    jobs = list(_pictures(tmp_path, "a.png", "b.png", "c.png"))
    (tmp_path / "b.png").write_text("not a picture")
    gone = Job(tmp_path / "gone.png", tmp_path / "gone.siren")
    found = _results(cluster, iter([*jobs, gone]), Encode(TINY))
    assert found["b.png"] == Failure("not a picture that Pillow can read")
    assert found["gone.png"] == Failure("No such file or directory")
    here = Encode(TINY)(tmp_path / "a.png")
    assert here is not None
    for name in ("a.png", "c.png"):
        product = found[name]
        assert isinstance(product, Product)
        assert product.data == here.data
    # The driver writes; nobody else does.
    assert not list(tmp_path.glob("*.siren"))


def test_what_is_lost_is_done_again(cluster: Cluster, tmp_path: Path) -> None:
    """A process is killed in the middle of its task."""
    folder = tmp_path / "ids"
    folder.mkdir()
    killed = []

    def kill() -> None:
        killed.append(_first_process(folder))
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    found = _results(cluster, _pictures(tmp_path, "a.png"), Recipe(folder), count=1)
    thread.join()
    product = found["a.png"]
    assert isinstance(product, Product)
    assert product.data
    ids = {int(path.name) for path in folder.iterdir()}
    assert len(ids) == 2
    assert killed[0] in ids


def test_an_interruption_ends_the_tasks(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "ids"
    folder.mkdir()
    stop = threading.Event()

    def interrupt() -> None:
        _first_process(folder)
        stop.set()

    thread = threading.Thread(target=interrupt)
    thread.start()
    names = [f"{number}.png" for number in range(9)]
    recipe = Recipe(folder, waits=True)
    jobs = _pictures(tmp_path, *names)
    found = _results(cluster, jobs, recipe, count=1, stop=stop.is_set)
    thread.join()
    # Of the nine two were taken: one was under way, one waited in line.
    assert list(found) == names[:2]
    assert all(isinstance(x, Product) and x.interrupted for x in found.values())


def _first_process(folder: Path) -> int:
    until = time.monotonic() + 60
    while not (found := list(folder.iterdir())):
        assert time.monotonic() < until
        time.sleep(0.01)
    return int(found[0].name)


def test_no_gpu_no_task(cluster: Cluster, tmp_path: Path) -> None:
    recipe = Encode(replace(TINY, device="cuda"))
    with pytest.raises(SirenError, match="expected a machine with a GPU"):
        _results(cluster, _pictures(tmp_path, "a.png"), recipe)


@pytest.mark.parametrize(
    ("asked", "there", "device", "taken"),
    [("auto", 0, "cpu", 0), ("auto", 2, "cuda", 1), ("cpu", 2, "cpu", 0), ("cuda", 1, "cuda", 1)],
)
def test_auto_is_a_gpu_where_there_is_one(asked: str, there: int, device: str, taken: int) -> None:
    """As everywhere; here a cluster that says so, for its machines are not this one."""
    given: dict[str, Any] = {}

    def options(**found: Any) -> SimpleNamespace:
        given.update(found)
        return SimpleNamespace(remote=lambda _, recipe: recipe.device)

    found = Cluster("auto")
    found.ray = SimpleNamespace(
        cluster_resources=lambda: {"CPU": 4, "GPU": there},
        nodes=lambda: [{"Alive": True, "Resources": {"CPU": 4}}],
        remote=lambda _: SimpleNamespace(options=options),
    )
    task, cores = found._task(Encode(replace(TINY, device=asked)), 2)
    assert (task(), cores, given["num_gpus"]) == (device, 2, taken)


def test_the_command(
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    list(_pictures(tmp_path / "in", "a.png", "sub/b.png", "c.png"))
    (tmp_path / "in" / "c.png").write_text("not a picture")
    argv = ["siren-encode", "-r", "in", "out", "-j", "2", "--ray", "auto", "--json", *ARGUMENTS]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", argv)
    with pytest.raises(SystemExit) as stop:
        cli.encode_main()
    assert stop.value.code == 1
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    errors = {line["input"]: line["error"] for line in lines if "error" in line}
    assert errors == {"in/c.png": "not a picture that Pillow can read"}
    for name in ("a", "sub/b"):
        assert siren_codec.open(tmp_path / "out" / f"{name}.siren").width == 6


def test_a_cluster_that_does_not_answer(tmp_path: Path) -> None:
    Image.new("RGB", (6, 4)).save(tmp_path / "a.png")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    code = "from siren_codec.cli import encode_main; encode_main()"
    ends = [tmp_path, tmp_path / "out"]
    command = [sys.executable, "-c", code, "-r", *map(str, ends), "--ray", f"127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"siren-encode: --ray 127.0.0.1:{port}: cannot connect: ")
    assert done.stderr.count("\n") == 1
