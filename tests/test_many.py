"""encode_many and decode_many: folders and files as iterators of results, here and by processes."""

import inspect
import math
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from goldens import GOLDEN
from PIL import Image
from tiny import draw

import siren_codec
from siren_codec import DecodedFile, EncodedFile
from siren_codec.errors import SirenError, UsageError
from siren_codec.limits import DEFAULT_LIMITS
from siren_codec.many import records
from siren_codec.options import Options

pytestmark = pytest.mark.usefixtures("fits_once")

TINY: dict[str, Any] = {
    "model": "coordinate",
    "hidden_layers": 2,
    "hidden_features": 8,
    "steps": 10,
    "device": "cpu",
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a picture, one that is none, a text, and one more in a folder of it."""
    source = tmp_path / "in"
    (source / "sub").mkdir(parents=True)
    draw(source / "a.png")
    draw(source / "sub" / "c.png", 7)
    (source / "b.png").write_text("not a picture")
    (source / "text.txt").write_text("no picture's name either")
    return source


@pytest.fixture
def sirens(tmp_path: Path) -> list[Path]:
    """Four small files, of which one is broken."""
    folder = tmp_path / "sirens"
    folder.mkdir()
    names = ("rgb_8_range", "grey_8", "la_8_metadata", "rgb_8_laplace")
    paths = [folder / f"{name}.siren" for name in names]
    for path in paths:
        shutil.copy(GOLDEN / path.name, path)
    paths[1].write_bytes(paths[1].read_bytes()[:-1])
    return paths


def _statuses(results: list[EncodedFile] | list[DecodedFile]) -> dict[str, str]:
    return {each.input.name: each.status for each in results}


# What becomes of each


def test_a_tree_there_and_back(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = list(siren_codec.encode_many(pictures, out, **TINY))
    assert _statuses(made) == {"a.png": "made", "b.png": "failed", "c.png": "made"}
    found = {each.input.name: each for each in made}
    failed = found["b.png"]
    assert failed.error == "not a picture that Pillow can read"
    assert (failed.output, failed.bytes, failed.psnr) == (out / "b.siren", None, None)
    whole = found["c.png"]
    assert (whole.input, whole.output) == (pictures / "sub" / "c.png", out / "sub" / "c.siren")
    assert whole.error is None
    data = (out / "sub" / "c.siren").read_bytes()
    with Image.open(whole.input) as picture:
        assert data == siren_codec.encode(picture, **TINY)
    assert (whole.width, whole.height, whole.bytes) == (6, 4, len(data))
    assert whole.bpp == 8 * len(data) / 24
    pixels = siren_codec.decode(data).astype(float)
    assert whole.psnr == pytest.approx(
        10 * math.log10(255**2 / np.mean((pixels - (7, 14, 0)) ** 2))
    )
    assert whole.seconds is not None
    assert whole.seconds > 0
    with pytest.raises(FrozenInstanceError):
        whole.bytes = 0  # type: ignore[misc]

    back = list(siren_codec.decode_many(out, tmp_path / "back", scale=2))
    assert _statuses(back) == {"a.siren": "made", "c.siren": "made"}
    assert [(each.width, each.height) for each in back] == [(12, 8)] * 2
    with Image.open(tmp_path / "back" / "sub" / "c.png") as picture:
        assert picture.size == (12, 8)


def test_only_what_is_missing_is_made(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for expected in ("made", "done"):
        found = list(siren_codec.encode_many(pictures, out, **TINY))
        assert _statuses(found)["a.png"] == expected
    assert all(each.bytes is None for each in found if each.status == "done")
    again = list(siren_codec.encode_many(pictures, out, **{**TINY, "seed": 1}))
    assert {each.why for each in again if each.status == "made"} == {"was made with seed 0 (now 1)"}
    before = (out / "a.siren").read_bytes()
    (out / records.NAME).unlink()
    kept, *_ = [e for e in siren_codec.encode_many(pictures, out, **TINY) if e.status == "kept"]
    assert (kept.input, kept.output) == (pictures / "a.png", out / "a.siren")
    assert kept.why == "no record says what it was made from"
    assert (out / "a.siren").read_bytes() == before
    assert _statuses(list(siren_codec.encode_many(pictures, out, force=True, **TINY))) == {
        "a.png": "made",
        "b.png": "failed",
        "c.png": "made",
    }


def test_nothing_is_overwritten_without_force(sirens: list[Path], tmp_path: Path) -> None:
    original = tmp_path / f"{sirens[0].stem}.png"
    original.write_bytes(b"an original")
    (found,) = siren_codec.decode_many([sirens[0]], tmp_path)
    assert found.status == "failed"
    assert found.error == (
        f"{original}: exists already, and may be an original; force=True overwrites it"
    )
    assert original.read_bytes() == b"an original"
    (found,) = siren_codec.decode_many([sirens[0]], tmp_path, force=True)
    assert found.status == "made"


def test_files_of_several_folders(pictures: Path, tmp_path: Path) -> None:
    """Side by side; where two would have one name each keeps its own."""
    draw(tmp_path / "c.jpg")
    given = [pictures / "sub" / "c.png", tmp_path / "c.jpg", pictures, tmp_path / "gone.png"]
    found = list(siren_codec.encode_many(iter(given), tmp_path / "new" / "out", **TINY))
    assert {each.input: each.error for each in found if each.error} == {
        pictures: "expected a file, found a folder",
        tmp_path / "gone.png": "No such file or directory",
    }
    made = sorted(path.name for path in (tmp_path / "new" / "out").glob("*.siren"))
    assert made == ["c.jpg.siren", "c.png.siren"]
    (one,) = siren_codec.encode_many(str(tmp_path / "c.jpg"), tmp_path / "one", **TINY)
    assert one.output == tmp_path / "one" / "c.siren"
    assert list(siren_codec.encode_many([], tmp_path / "none")) == []


def test_another_file_s_output_is_its_own(tmp_path: Path) -> None:
    """In a folder names may change hands, for all files are in view; of a few they are not."""
    out = tmp_path / "out"
    draw(tmp_path / "a.png")
    draw(tmp_path / "a.jpg", 200)
    list(siren_codec.encode_many([tmp_path / "a.png"], out, **TINY))
    before = (out / "a.siren").read_bytes()
    (found,) = siren_codec.encode_many([tmp_path / "a.jpg"], out, **TINY)
    assert found.error == (
        f"{out / 'a.siren'}: was made from {tmp_path / 'a.png'}, which is still there; "
        "force=True overwrites it"
    )
    assert (out / "a.siren").read_bytes() == before
    # The same picture with another content is made again, as in a folder.
    draw(tmp_path / "a.png", 5)
    (found,) = siren_codec.encode_many([tmp_path / "a.png"], out, **TINY)
    assert (found.status, found.why) == ("made", "was made from another file")


def test_pictures_that_are_not_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.exr").write_bytes(b"")
    (tmp_path / "in" / "notes.txt").write_text("")
    (found,) = siren_codec.encode_many(tmp_path / "in", tmp_path / "out", **TINY)
    assert (found.input.name, found.status, found.output) == ("a.exr", "skipped", None)
    assert found.why == "OpenEXR picture, not readable"


def test_notices_and_alpha(tmp_path: Path) -> None:
    picture = Image.new("LA", (6, 4), (99, 255))
    picture.putpixel((0, 0), (99, 0))
    picture.save(tmp_path / "a.png")
    Image.new("F", (6, 4), 0.5).save(tmp_path / "f.tiff")
    found = {
        each.input.name: each
        for each in siren_codec.encode_many(
            [tmp_path / "a.png", tmp_path / "f.tiff"], tmp_path / "out", alpha="lossless", **TINY
        )
    }
    assert found["a.png"].alpha_psnr == math.inf
    assert all("lossless WebP" in notice for notice in found["a.png"].notices)
    assert found["f.tiff"].alpha_psnr is None
    assert any("16 bits" in notice for notice in found["f.tiff"].notices)


@pytest.mark.parametrize("preserve", [True, False])
def test_mode_and_date(pictures: Path, tmp_path: Path, preserve: bool) -> None:
    os.utime(pictures / "a.png", (1e9, 1e9))
    list(siren_codec.encode_many([pictures / "a.png"], tmp_path, preserve=preserve, **TINY))
    assert ((tmp_path / "a.siren").stat().st_mtime == 1e9) == preserve


def test_decoded_kinds(sirens: list[Path], tmp_path: Path) -> None:
    for extension in ("jpg", ".WEBP"):
        (found,) = siren_codec.decode_many(
            sirens[:1],
            tmp_path,
            extension=extension,
            size=np.array([8, 6]),  # type: ignore[arg-type]
            crop=(0, 0, 4, 3),
            show="gradient",
        )
        assert (found.width, found.height, found.error) == (8, 6, None)
    with Image.open(tmp_path / f"{sirens[0].stem}.webp") as picture:
        assert (picture.format, picture.size) == ("WEBP", (8, 6))


# What is wrong with the call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quality": 0}, "quality: expected 1 to 100, found 0"),
        ({"target_bpp": 1, "target_psnr": 30}, "expected one of quality and the targets"),
        ({"workers": 0}, "workers: expected an integer from 1 on, found 0"),
        ({"workers": 1.5}, "workers: expected an integer from 1 on, found 1.5"),
        ({"paths": 5}, "paths: expected a folder or files, found 5"),
        ({"paths": ["x/a.png", "y/a.png"]}, "a.png: expected one input of this name"),
        ({"paths": "gone"}, "gone: expected a folder"),
        ({"out": __file__}, "expected a folder"),
    ],
)
def test_what_is_wrong_is_told_at_the_call(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    arguments = {"paths": [tmp_path / "a.png"], "out": tmp_path / "out", **options}
    with pytest.raises(SirenError, match=message):
        siren_codec.encode_many(**arguments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "options",
    [
        {"extension": "gif"},
        {"show": "hessian"},
        {"device": "tpu"},
        {"size": (1, 2, 3)},
        {"size": 5},
        {"crop": (1, 2)},
        {"scale": "large"},
        {"workers": 0},
    ],
)
def test_what_is_wrong_with_a_decoding(
    sirens: list[Path], tmp_path: Path, options: dict[str, Any]
) -> None:
    (name,) = options
    with pytest.raises(UsageError, match=rf"{name}( large)?: expected"):
        siren_codec.decode_many(sirens, tmp_path / "out", **options)


def test_the_signature_has_all_options_of_an_encoder() -> None:
    found = inspect.signature(siren_codec.encode_many).parameters
    for option in fields(Options):
        assert found[option.name].default == option.default, option.name
        assert found[option.name].kind is inspect.Parameter.KEYWORD_ONLY
    others = set(found) - {option.name for option in fields(Options)}
    assert others == {"paths", "out", "workers", "force", "preserve", "strip", "max_pixels"}
    assert found["max_pixels"].default == DEFAULT_LIMITS.pixels


# Processes and threads


def test_processes_do_what_one_does(sirens: list[Path], tmp_path: Path) -> None:
    alone = list(siren_codec.decode_many(sirens, tmp_path / "alone"))
    before = signal.getsignal(signal.SIGINT)
    found = []
    for each in siren_codec.decode_many(sirens, tmp_path / "out", workers=2):
        found.append(each)
        assert signal.getsignal(signal.SIGINT) is before
    assert sorted(each.error or "" for each in found) == sorted(each.error or "" for each in alone)
    assert _statuses(found) == _statuses(alone)
    assert list(_statuses(found).values()).count("made") == 3
    for path in (tmp_path / "alone").glob("*.png"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    assert multiprocessing.active_children() == []


def _left(results: Any) -> None:
    for _ in results:
        assert len(multiprocessing.active_children()) == 2
        break


@pytest.mark.parametrize("leave", [_left, lambda results: (next(results), results.close())])
def test_an_iterator_that_is_left_ends_its_processes(
    sirens: list[Path], tmp_path: Path, leave: Callable[[Any], None]
) -> None:
    leave(siren_codec.decode_many([sirens[0], *sirens[2:]], tmp_path / "out", workers=2))
    assert multiprocessing.active_children() == []
    made = list((tmp_path / "out").glob("*.png"))
    assert len(made) == 1
    # What was under way left nothing.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {made[0].name, records.NAME}


SCRIPT = """
import multiprocessing, sys, threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
import siren_codec

def work(out):
    return [each.status for each in siren_codec.decode_many(sys.argv[1], out, workers=2)]

def main():
    print(work("main"))
    thread = threading.Thread(target=lambda: print(work("thread")))
    thread.start()
    thread.join()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(work, "spawned").result())
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        try:
            pool.apply(work, ("daemon",))
        except siren_codec.SirenError as error:
            print(str(error)[:58])
    assert not multiprocessing.active_children()

if __name__ == "__main__":
    main()
"""


def test_from_a_script_a_thread_and_a_process(sirens: list[Path], tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    sirens[1].unlink()
    done = _run_script(tmp_path, "script.py", str(sirens[0].parent))
    assert done.stdout.splitlines() == [
        *[str(["made"] * 3)] * 3,
        "workers: expected 1 in a process that may begin no others,",
    ]
    assert done.stderr == ""
    for name in ("main", "thread", "spawned"):
        assert len(list((tmp_path / name).glob("*.png"))) == 3


def test_a_script_that_begins_itself_again(sirens: list[Path], tmp_path: Path) -> None:
    """Without `if __name__ == "__main__":` each process would do all that the script does."""
    call = "siren_codec.decode_many(sys.argv[1], '.', workers=2)"
    script = f"import sys, siren_codec\nfor each in {call}:\n    print(each.error)\n"
    (tmp_path / "script.py").write_text(script)
    sirens[1].unlink()
    sirens[2].unlink()
    done = _run_script(tmp_path, "script.py", str(sirens[0].parent))
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    assert all('`if __name__ == "__main__":` around its work?' in line for line in lines)


def _run_script(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)


def test_decoding_many_imports_nothing_heavy(sirens: list[Path], tmp_path: Path) -> None:
    code = f"""
import sys, siren_codec
list(siren_codec.decode_many({[str(path) for path in sirens]}, "out"))
print({{"torch", "numba", "click", "tqdm"}} & set(sys.modules))
"""
    assert _run_script(tmp_path, "-c", code).stdout == "set()\n"


def test_results_say_nothing_by_themselves(
    pictures: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(siren_codec.encode_many(pictures, tmp_path / "out", **TINY))
    assert capfd.readouterr() == ("", "")
