"""The wheel and the source distribution: what they hold, and that the wheel alone decodes."""

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from importlib import metadata
from pathlib import Path

import pytest
from conftest import script

from siren_codec.extras import EXTRAS

ROOT = Path(__file__).parent.parent
GOLDEN = ROOT / "tests" / "golden"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Build both from what git would have, without a network, and return their paths."""
    copy = tmp_path_factory.mktemp("tree") / "checkout"
    left = shutil.ignore_patterns(".*", "build", "*.egg-info", "__pycache__", "*.so", "siren-bench")
    shutil.copytree(ROOT, copy, ignore=left)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl")), next(out.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def python(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel, and what the wheel asks for, alone."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    found = home / "bin" / "python"
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    asked = subprocess.run([str(found), "-c", where], check=True, capture_output=True, text=True)
    site = Path(asked.stdout.strip())
    pip = [sys.executable, "-m", "pip", "--python", str(found), "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", str(built[0])], check=True, capture_output=True)
    for name in _needed(metadata.distribution("siren-codec").requires or []):
        _link(metadata.distribution(name), site)
    return found


def _needed(requirements: list[str]) -> Iterator[str]:
    """Yield the names of the distributions that requirements without extras lead to."""
    for line in requirements:
        if "extra ==" not in line and "platform_system" not in line and "sys_platform" not in line:
            name = re.split(r"[^\w.-]", line)[0]
            yield name
            yield from _needed(metadata.distribution(name).requires or [])


def _link(distribution: metadata.Distribution, site: Path) -> None:
    """Put links to a distribution's folders and files into an environment."""
    tops = {file.parts[0] for file in distribution.files or []} - {"..", "__pycache__"}
    for top in tops:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(distribution.locate_file(top))))


def _run(python: Path, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(python), "-I", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_the_wheel_alone_decodes_shows_and_registers(python: Path, tmp_path: Path) -> None:
    for number, golden in enumerate(sorted(GOLDEN.glob("*.siren"))[:4]):
        shutil.copy(golden, tmp_path / f"{number}.siren")
    code = """
import sys
import siren_codec.viewer
from PIL import Image

siren_codec.register_pillow()
for number in range(4):
    name = f"{number}.siren"
    field = siren_codec.open(name)
    print(siren_codec.decode(name, scale=2).shape[:2] == (2 * field.height, 2 * field.width))
    print(siren_codec.info(name)["width"] == Image.open(name).width)
    for suffix in ("png", "tif", "jpg", "webp"):
        field.save(f"{number}.{suffix}")
print(len(siren_codec.viewer.page("0.siren")) > 100_000)
print(sorted({'torch', 'numba', 'tqdm', 'imagecodecs', 'tifffile'} & set(sys.modules)))
"""
    done = _run(python, code, tmp_path)
    assert done.stderr == "" or "converted" in done.stderr, done.stderr
    assert done.stdout.split() == ["True"] * 9 + ["[]"]


def test_its_commands_decode_a_folder(python: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for golden in sorted(GOLDEN.glob("*.siren"))[:2]:
        shutil.copy(golden, tmp_path / "in")
    command = [str(python.parent / "siren-decode"), "-r", "in", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert len(list((tmp_path / "out").glob("*.png"))) == 2
    assert "2 done" in done.stderr
    command = [str(python.parent / "siren-info"), *map(str, (tmp_path / "in").iterdir())]
    assert subprocess.run(command[:2], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("call", "extra"),
    [
        ("siren_codec.encode([[0]])", "encode"),
        ("siren_codec.encode('a.png')", "encode"),
        ("siren_codec.encode_file('a.png')", "encode"),
        ("siren_codec.decode('a.siren', device='cuda')", "encode"),
        ("Image.new('L', (4, 4)).save('b.siren')", "encode"),
    ],
)
def test_without_an_extra_functions_say_what_to_install(
    python: Path, tmp_path: Path, call: str, extra: str
) -> None:
    shutil.copy(next(GOLDEN.glob("*.siren")), tmp_path / "a.siren")
    code = f"""
import siren_codec
from PIL import Image
siren_codec.register_pillow()
try:
    {call}
except (siren_codec.SirenError, OSError) as error:
    print(error)
"""
    done = _run(python, code, tmp_path)
    assert done.stderr == ""
    assert done.stdout.endswith(f"pip install 'siren-codec[{extra}]'\n")
    assert len(done.stdout.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.siren"]


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["siren-encode", "a.png", "b.siren"], "encode"),
        (["siren-encode", "-r", ".", "out"], "encode"),
        (["siren-decode", "--device", "cuda", "a.siren"], "encode"),
        (["siren-bench"], "bench"),
    ],
)
def test_without_an_extra_commands_say_what_to_install(
    python: Path, tmp_path: Path, words: list[str], extra: str
) -> None:
    shutil.copy(next(GOLDEN.glob("*.siren")), tmp_path / "a.siren")
    command = [str(python.parent / words[0]), *words[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.endswith(f"pip install 'siren-codec[{extra}]'\n")
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.siren"]


def test_both_hold_what_they_should(built: tuple[Path, Path]) -> None:
    wheel = zipfile.ZipFile(built[0]).namelist()
    with tarfile.open(built[1]) as opened:
        source = [name.partition("/")[2] for name in opened.getnames()]
    names = ("py.typed", "stream/prior-1.npz", "web/siren.js", "web/prior-1.bin")
    package = [f"siren_codec/{name}" for name in names]
    data = ["man/man1/siren-encode.1", "mime/packages/siren.xml"]
    data += ["bash-completion/completions/siren-decode", "zsh/site-functions/_siren-info"]
    data += ["fish/vendor_completions.d/siren-bench.fish"]
    assert set(package) <= set(wheel)
    assert {"siren_codec/py.typed", "web/dist/siren.js", "web/src/index.js"} <= set(source)
    for name in data:
        assert any(found.endswith(f"data/share/{name}") for found in wheel), name
    assert any(name.endswith("licenses/LICENSE") for name in wheel)
    assert {"LICENSE", "README.md", "bin/_run", "siren_codec/stream/c/latents.h"} <= set(source)
    assert "tests/golden" in " ".join(source)
    assert not [name for name in wheel if name.startswith(("tests", "benchmarks", "docs"))]
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "siren_codec").rglob("*.py")}
    assert modules <= set(wheel)


def test_links_of_the_description_have_an_address(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
        described = Parser().parsestr(wheel.read(name).decode())
    links = re.findall(r"\]\(([^)]*)\)", str(described.get_payload()))
    assert links
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert any("raw.githubusercontent.com" in link for link in links)
    assert len(described.get_all("Project-URL") or []) >= 4
    assert "Typing :: Typed" in (described.get_all("Classifier") or [])


def test_twine_has_nothing_to_say(built: tuple[Path, Path]) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_extras_are_those_of_the_project() -> None:
    """Each module of an extra is one of a distribution that the extra installs."""
    owners = metadata.packages_distributions()
    for extra, modules in EXTRAS.items():
        wanted = "\n".join(PROJECT["optional-dependencies"][extra])
        if extra != "encode":
            assert "siren-codec[encode]" in wanted
            wanted += "\n".join(PROJECT["optional-dependencies"]["encode"])
        for module in modules:
            assert any(owner.lower() in wanted for owner in owners[module]), module


def test_completion_scripts_are_up_to_date() -> None:
    """If not: python packaging/completions.py."""
    scripts = script("packaging/completions.py").scripts()
    assert scripts
    for path, text in scripts.items():
        assert path.read_text(encoding="utf-8") == text


def test_decoding_asks_for_little(python: Path, tmp_path: Path) -> None:
    """No more than the issue of a plain install is there: neither torch nor numba."""
    code = "import json; from importlib.metadata import distributions as d; "
    done = _run(python, code + "print(json.dumps(sorted(x.name.lower() for x in d())))", tmp_path)
    expected = ["click", "constriction", "numpy", "pillow", "siren-codec", "threadpoolctl"]
    assert json.loads(done.stdout) == [*expected, "zstandard"]
