"""Where a figure comes from."""

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
