"""The records that the results need: which are there, which are stale; makes what is missing.

    bin/bench record [KODAK]

KODAK is the folder of the 24 Kodak pictures, kodim01.png to kodim24.png. Without it nothing is
made. What is there is not measured again, so a run may be ended at any moment; rows that were made
by other code of the codec than this stay unless --stale asks for them. Afterwards
`bin/bench report` makes the pages.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from benchmarks import cameraman, first_encode, kodak, memory, speed, store
from benchmarks.store import Task
from siren_codec.bench.results import Row

__all__ = ["COMPARISONS", "EXPERIMENTS", "NAMES", "main", "state_of", "tasks_of"]

COMPARISONS = {record.name: record for record in kodak.RECORDS}
EXPERIMENTS: dict[str, Callable[[], Iterator[Task]]] = {
    "first-encode": first_encode.tasks,
    "speed": speed.tasks,
    "memory": memory.tasks,
    "cameraman": cameraman.tasks,
}
NAMES = (*COMPARISONS, *EXPERIMENTS)


def tasks_of(name: str, folder: Path | None) -> Iterator[Task]:
    """Yield what a record needs."""
    if name in COMPARISONS:
        return COMPARISONS[name].tasks(folder)
    return EXPERIMENTS[name]()


def state_of(tasks: Sequence[Task], rows: Sequence[Row]) -> tuple[list[Task], list[Task]]:
    """Return the tasks that have no row, and those whose row is stale."""
    missing, stale = [], []
    for task in tasks:
        row = next(filter(task.is_of, rows), None)
        if row is None:
            missing.append(task)
        elif store.is_stale(row):
            stale.append(task)
    return missing, stale


@click.command()
@click.argument("folder", metavar="[KODAK]", type=click.Path(path_type=Path), required=False)
@click.option("--only", type=click.Choice(NAMES), multiple=True, help="These records. [all]")
@click.option("--stale", is_flag=True, help="Make anew what other code made.")
def main(folder: Path | None, only: tuple[str, ...], stale: bool) -> None:
    """Say what the records have; with the folder KODAK, make what they lack."""
    if folder is not None and not (folder / "kodim24.png").is_file():
        raise click.ClickException(f"{folder}: expected kodim01.png to kodim24.png")
    for name in only or NAMES:
        tasks, rows = list(tasks_of(name, folder)), store.rows_of(name)
        missing, old = state_of(tasks, rows)
        commits = ", ".join(sorted({row["commit"] for row in rows})) or "none"
        click.echo(
            f"{name}: {len(tasks) - len(missing)} of {len(tasks)} are there, "
            f"{len(old)} made by other code; commits: {commits}"
        )
        if folder is not None:
            store.make(name, [*missing, *(old if stale else ())], click.echo)


if __name__ == "__main__":
    main()
