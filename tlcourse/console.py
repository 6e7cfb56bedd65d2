"""What every command prints with."""

import typer
from rich.console import Console

out = Console()
err = Console(stderr=True)


def progress_bar(quiet, rate=False):
    """A bar on stderr, to be used in a with statement; quiet shows none, rate adds the speed and what is left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Rate(TextColumn):
        def render(self, task):
            return f"{task.speed:.1f}/s" if task.speed else ""

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if rate:
        columns += (Rate(""), TextColumn("left"), TimeRemainingColumn())
    return Progress(*columns, console=err, disable=quiet)


def stop(message, status):
    """End the command with a message and an exit status: 1 where something that was run failed, 2 for wrong use."""
    err.print(f"[red]error:[/] {message}", highlight=False)
    raise typer.Exit(status)
