"""Tables of Markdown, and lines that say where figures come from."""

from collections.abc import Iterable, Sequence

from benchmarks.store import NOTES
from siren_codec.bench.results import Row

__all__ = ["DASH", "number", "origin", "percent", "seconds", "table"]

DASH = "\N{EN DASH}"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; every column but the first is aligned to the right."""
    lines = [f"| {' | '.join(line)} |" for line in (headings, *rows)]
    lines.insert(1, f"|---|{'---:|' * (len(headings) - 1)}")
    return "\n".join(lines) + "\n"


def origin(name: str, rows: Sequence[Row]) -> str:
    """Return where a record comes from, and what it cannot say of itself."""
    found = {key: list(dict.fromkeys(str(row[key]) for row in rows)) for key in _FACTS}
    dates = sorted(found["date"])
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    commands = ", ".join(f"`{command}`" for command in found["command"])
    line = (
        f"Record: [{name}.jsonl](../benchmarks/results/{name}.jsonl); {commands}; {when}; "
        f"commit {', '.join(found['commit'])}; {', '.join(found['device'])}."
    )
    return " ".join(filter(None, (line, NOTES.get(name)))) + "\n"


_FACTS = ("command", "date", "commit", "device")


def number(value: float | None, digits: int) -> str:
    """Return a number, or a dash where there is none."""
    return DASH if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """Return a signed percentage, or a dash where there is none."""
    return DASH if value is None else f"{value:+.1f}%"


def seconds(value: float | None) -> str:
    """Return seconds with two significant digits or more."""
    if value is None:
        return DASH
    digits = 0 if value >= 100 else 1 if value >= 10 else 2 if value >= 0.1 else 3
    return f"{value:.{max(digits, 4 if value < 0.01 else 0)}f}"
