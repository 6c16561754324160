"""Does this checkout make the same files as a commit, byte for byte?

    bin/bench same COMMIT

A change of the codec's code makes its records stale; one that only moves and renames things does
not. So small pictures are encoded by both in every way that differs inside, and what the files
decode to is compared too. Where all is the same, the record `same` says so, and rows of that
version count as this one's. Fits differ between processors, so both are run here.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import store
from siren_codec.bench.environment import ROOT
from siren_codec.bench.pictures import bundled
from siren_codec.bench.results import Results
from siren_codec.errors import SirenError

__all__ = ["WAYS", "main", "pictures"]

WAYS = (
    ("rgb", "-e 1 -q 24"),
    ("rgb", "-e 4 -q 60"),
    ("rgb", "-e 1 --start zero"),
    ("rgb", "-e 1 --start prior --seed 3"),
    ("rgb", "-e 1 --target-size 2KB"),
    ("rgb", "-e 1 --target-psnr 30"),
    ("rgb", "-e 1 --max-error 40"),
    ("rgb", "-e 1 --model coordinate"),
    ("grey16", "-e 1 -q 24"),
    ("grey16", "-e 1 -q 90"),
    ("rgba", "-e 1 --alpha lossy"),
    ("rgba", "-e 1 --alpha lossless"),
)
"""Pictures, and options of siren-encode: all starts, targets, models, depths, kinds of alpha."""


def pictures() -> dict[str, npt.NDArray[Any]]:
    """Return small pictures of several kinds by name."""
    face, cup = (bundled()[place].pixels for place in (0, 2))
    rgb = face[30:126, 180:308]
    alpha = np.broadcast_to(np.linspace(0, 255, 128).astype(np.uint8), rgb.shape[:2])
    return {
        "rgb": rgb,
        "grey16": face[80:144, 200:296, 1].astype(np.uint16) * np.uint16(257),
        "rgba": np.dstack([cup[100:196, 150:278], alpha]),
    }


@contextmanager
def checkout(commit: str) -> Iterator[Path]:
    """Check a commit out beside this one. Raises SirenError if there is none."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "checkout"
        _git("worktree", "add", "--detach", str(place), commit)
        try:
            yield place
        finally:
            _git("worktree", "remove", "--force", str(place))


def _git(*arguments: str) -> None:
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SirenError(done.stderr.strip().splitlines()[-1])


def called(place: Path, code: str, arguments: Sequence[str] = ()) -> str:
    """Run Python code with a checkout's package, and return what it prints. Raises SirenError."""
    # Not -m or a script: the first place to import from is the checkout.
    command = [sys.executable, "-c", f"import sys; sys.path[0] = {str(place)!r}; {code}"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SirenError((done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1])
    return done.stdout.strip()


def encode(place: Path, folder: Path, name: str, options: str) -> Path:
    """Encode a folder's picture by a checkout, and return the file. Raises SirenError."""
    source, target = folder / f"{name}.png", folder / f"{name}.siren"
    arguments = [str(source), str(target), "--force", "--quiet", "--device", "cpu"]
    code = "from siren_codec.cli import encode_main; encode_main()"
    called(place, code, [*arguments, *options.split()])
    return target


def decoded(place: Path, file: Path) -> str:
    """Return a digest of what a checkout decodes a file to, at two sizes."""
    code = (
        "import hashlib, siren_codec as s; d = open(sys.argv[1], 'rb').read(); "
        "print([hashlib.sha256(s.decode(d, scale=x).tobytes()).hexdigest() for x in (1, 1.7)])"
    )
    return called(place, code, [str(file)])


def compare(other: Path, say: Callable[[str], object]) -> None:
    """Encode and decode by this checkout and another. Raises SirenError at the first difference."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name, pixels in pictures().items():
            Image.fromarray(pixels).save(folder / f"{name}.png")
        for name, options in WAYS:
            theirs = encode(other, folder, name, options).read_bytes()
            file = encode(ROOT, folder, name, options)
            if file.read_bytes() != theirs:
                raise SirenError(f"{name} {options}: expected the same file, found another")
            if decoded(other, file) != decoded(ROOT, file):
                raise SirenError(f"{name} {options}: expected the same pixels, found others")
            say(f"{name} {options}: {len(theirs)} bytes, the same")


@click.command()
@click.argument("commit")
def main(commit: str) -> None:
    """Say whether this checkout makes the same files as COMMIT, and keep it if so."""
    version = "from siren_codec.bench.codecs import by_name; print(by_name('grid').version)"
    try:
        with checkout(commit) as place:
            other = called(place, version)
            compare(place, click.echo)
    except SirenError as error:
        raise click.ClickException(str(error)) from None
    row = {"experiment": "same", "settings": {"version": other}, "files": len(WAYS)}
    Results(store.path_of("same")).add({**row, **store.about()})
    click.echo(f"{other} makes the same files as {store.codec_version()}")


if __name__ == "__main__":
    main()
