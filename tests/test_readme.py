"""The README's tables are those of benchmarks/results."""

import re

import click
import pytest
from click.testing import CliRunner

from benchmarks import tables


def test_tables_are_up_to_date() -> None:
    """If not: python -m benchmarks.tables."""
    result = CliRunner().invoke(tables.main, ["--check"])
    assert result.exit_code == 0, result.output


def test_a_figure_that_was_typed_is_found() -> None:
    text = tables.README.read_text(encoding="utf-8")
    typed, count = re.subn(r"(\| 50 \(default\) \| )\d\.", r"\g<1>9.", text)
    assert count == 1
    assert tables.rewritten(typed, tables.TABLES) == text


def test_only_what_is_marked_is_rewritten() -> None:
    text = "a\n<!-- table: x -->\n\n| old |\n\n<!-- end -->\n| b |\n<!-- end -->\n"
    expected = "a\n<!-- table: x -->\n\n| new |\n\n<!-- end -->\n| b |\n<!-- end -->\n"
    assert tables.rewritten(text, {"x": lambda: "| new |\n"}) == expected


@pytest.mark.parametrize("text", ["", "<!-- table: y -->\n<!-- end -->\n"])
def test_every_table_has_a_place_and_no_other(text: str) -> None:
    with pytest.raises(click.ClickException, match="expected the tables x, found"):
        tables.rewritten(text, {"x": str})
