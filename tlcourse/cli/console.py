"""What every command prints with."""

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

# Messages hold extras, lists and paths in brackets; rich would take these for its markup and leave them out.
out = Console(markup=False, emoji=False)
err = Console(stderr=True, markup=False, emoji=False)


def print_table(title, headings, rows, numbers=()):
    """Print rows of text (str, or rich's Text) on stdout; columns whose heading is in numbers are aligned to the right."""
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left")
    for row in rows:
        table.add_row(*row)
    out.print(table)


def progress_bar(quiet, rate=False):
    """A bar on stderr, to be used in a with statement; quiet shows none, rate adds the speed and what is left."""
    from rich import progress

    class Rate(progress.TextColumn):
        def render(self, task):
            return f"{task.speed:.1f}/s" if task.speed else ""

    columns = [progress.TextColumn("{task.description}"), progress.BarColumn(), progress.MofNCompleteColumn()]
    columns.append(progress.TimeElapsedColumn())
    if rate:
        columns += [Rate(""), progress.TextColumn("left"), progress.TimeRemainingColumn()]
    return progress.Progress(*columns, console=err, disable=quiet)


def stop(message, status):
    """End the command with a message and an exit status: 1 where something that was run failed, 2 for wrong use."""
    err.print(Text("error:", "red"), message, highlight=False, soft_wrap=True)
    raise typer.Exit(status)
