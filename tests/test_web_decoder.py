"""siren.js under node: integers and verdicts are Python's."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fuzz.corpus import corpus
from fuzz.mutate import mutant
from fuzz.run import LIMITS
from goldens import DIGESTS, GOLDEN, GOLDEN_FILES, tensors_digest

from siren_codec import stream
from siren_codec.errors import SirenError

HERE = Path(__file__).parent / "web"
WEB = Path(__file__).parent.parent / "web"
NODE = shutil.which("node")
LITERALS = "bits of literals"
"""What is said of streams of Huffman codes that libzstd decodes though their bits do not come out
even, on machines for which it has a quicker decoder that does not look."""

pytestmark = pytest.mark.skipif(NODE is None, reason="there is no node here")


def read(files: Sequence[bytes], path: Path, *, partial: bool = False) -> list[dict[str, Any]]:
    """Return what siren.js says of files: what they hold, or `refused`."""
    path.write_bytes(b"".join(len(data).to_bytes(4, "little") + data for data in files))
    limits = {"pixels": LIMITS.pixels, "multiplyAdds": LIMITS.multiply_adds}
    arguments = [NODE, HERE / "read.mjs", path, json.dumps(limits), json.dumps(partial)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)  # type: ignore[arg-type]
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def expected(data: bytes, *, partial: bool = False) -> dict[str, Any] | None:
    """Return what Python reads of a file; None if it refuses it."""
    try:
        field = stream.read(data, LIMITS, partial=partial)
    except SirenError:
        return None
    return {
        "width": field.width,
        "height": field.height,
        "channels": field.channels,
        "depth": field.depth,
        "firstLevel": field.first_level,
        "whole": field.whole,
        "metadata": {name: part.hex() for name, part in field.metadata.items()},
        "alpha": None if field.alpha is None else field.alpha.ravel().tolist(),
        "digest": tensors_digest(field),
    }


def check(files: Sequence[bytes], path: Path, *, partial: bool = False) -> tuple[int, int]:
    """Compare what both say of files; return how many were read, and how many refused."""
    refused = 0
    for data, found in zip(files, read(files, path, partial=partial), strict=True):
        theirs = expected(data, partial=partial)
        if "refused" in found:
            assert theirs is None or LITERALS in found["refused"], found
            assert "\n" not in found["refused"]
            refused += 1
        else:
            found.pop("layers")
            assert found == theirs
    return len(files) - refused, refused


def test_golden_files(tmp_path: Path) -> None:
    files = [(GOLDEN / f"{name}.siren").read_bytes() for name in GOLDEN_FILES]
    for name, found in zip(GOLDEN_FILES, read(files, tmp_path / "files"), strict=True):
        assert found["digest"] == DIGESTS[name]["digest"], name
    assert check(files, tmp_path / "files") == (len(files), 0)


def test_the_layers_come_one_by_one(tmp_path: Path) -> None:
    data = (GOLDEN / "rgb_8_layers.siren").read_bytes()
    assert read([data], tmp_path / "file")[0]["layers"] == [3, 2, 1, 0]


def test_mutants_get_the_same_verdict(tmp_path: Path) -> None:
    originals = tuple(corpus().values())
    files = [*originals, *(mutant(originals, 18, number) for number in range(600))]
    read_, refused = check(files, tmp_path / "files")
    assert read_ > 90
    assert refused > 150
    check(files[:200], tmp_path / "files", partial=True)


def test_files_that_are_cut_off(tmp_path: Path) -> None:
    data = (GOLDEN / "rgb_8_layers.siren").read_bytes()
    lengths = np.unique(np.linspace(0, len(data), 60).astype(int)).tolist()
    files = [data[:length] for length in [*range(20), *lengths, len(data) - 1]]
    read_, refused = check(files, tmp_path / "files", partial=True)
    assert read_ > 30
    assert refused > 15


def test_the_built_file_is_of_these_sources() -> None:
    digest = hashlib.sha256()
    for path in sorted((WEB / "src").glob("*.js"), key=lambda path: path.name):
        digest.update(path.read_bytes())
    built = (WEB / "dist" / "siren.js").read_text()
    assert f"of the sources {digest.hexdigest()[:16]} " in built, "run npm run build in web/"


def test_the_priors_are_the_packages() -> None:
    from siren_codec.stream import prior

    text = (WEB / "src" / "priors.js").read_text()
    for id_ in prior.IDS:
        data = (WEB / "dist" / f"prior-{id_}.bin").read_bytes()
        assert f"{id_}: {{ hash: '{prior.load(id_).digest.hex()}', bytes: {len(data)} }}" in text
