"""Where a figure comes from."""

import subprocess
from pathlib import Path

import pytest

from siren_codec.bench import environment


def test_the_key_is_of_what_makes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "siren_codec"
    for name in ("fit/rate.py", "cli/console.py", "effort.py", "encoding.py", "options.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("a", encoding="utf-8")
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    before = environment.code_key()
    (package / "cli/console.py").write_text("b", encoding="utf-8")
    assert environment.code_key() == before
    (package / "fit/rate.py").write_text("b", encoding="utf-8")
    assert environment.code_key() != before


def test_the_commit_and_whether_it_was_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=tmp_path, capture_output=True, check=True)

    def commit() -> str:
        return environment.origin(["x"])["commit"]

    monkeypatch.setattr(environment, "ROOT", tmp_path)
    assert commit() == "unknown"
    git("init")
    # There is no commit yet.
    assert commit() == "unknown"
    (tmp_path / "siren_codec").mkdir()
    (tmp_path / "siren_codec" / "a.py").write_text("a", encoding="utf-8")
    git("add", ".")
    git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-m", "a")
    known = commit()
    assert 4 <= len(known) <= 40
    (tmp_path / "siren_codec" / "a.py").write_text("b", encoding="utf-8")
    assert commit() == f"{known} with changes"
    # git fails where another user owns the folder, too.
    with monkeypatch.context() as patch:
        patch.setenv("GIT_DIR", str(tmp_path / "none"))
        assert commit() == "unknown"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit() == "unknown"
