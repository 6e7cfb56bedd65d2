"""What every command prints with."""

import typer
from rich.console import Console
from rich.text import Text

# Messages hold extras, lists and paths in brackets; rich would take these for its markup and leave them out.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)


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
    err.print(Text("error:", "red"), message, highlight=False, soft_wrap=True)
    raise typer.Exit(status)
