"""Results as a captioned table that a screen reader can read, in the colours of the page that it stands on."""

import html
import math
import statistics

from IPython.display import display


def table(frame, caption):
    """Show a table, once.

    Numbers stand on the right, all of a column with as many decimals as give its middle one three significant digits;
    whole numbers are written in full, and a missing value is a dash. What needs other digits, pass as text.

    Args:
        frame: a pandas DataFrame, or a list of dicts, one for each row. Its index is shown where it has a name or is
            not a plain range.
        caption: what the table shows, and in which unit.

    Raises:
        ValueError: the caption is empty, or there is no row.
    """
    import pandas as pd  # not at the top: a lesson's first figure need not wait for it

    frame = pd.DataFrame(frame)
    if not caption.strip() or not len(frame):
        raise ValueError("caption, frame: say in a sentence what the table shows, and give it at least one row")
    row_headers = 0
    if any(frame.index.names) or not isinstance(frame.index, pd.RangeIndex):
        row_headers = frame.index.nlevels
        frame = frame.reset_index(names=[name or "" for name in frame.index.names])

    columns, sides = [], []
    for place in range(frame.shape[1]):
        column = frame.iloc[:, place]
        is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        present = iter(_written(column.dropna().tolist()) if is_number else map(str, column.dropna()))
        columns.append(["—" if missing else next(present) for missing in column.isna()])
        sides.append("right" if is_number else "left")

    def cell(text, place, scope):
        opened = f'th scope="{scope}"' if text and scope else "td"
        return f'<{opened} style="text-align: {sides[place]}">{html.escape(text)}</{opened[:2]}>'

    rows = list(zip(*columns))
    head = "".join(cell(str(name), place, "col") for place, name in enumerate(frame))
    body = "".join(
        "<tr>" + "".join(cell(text, i, "row" if i < row_headers else None) for i, text in enumerate(row)) + "</tr>"
        for row in rows
    )
    plain = pd.DataFrame(rows, columns=frame.columns).to_string(index=False)
    rich = (
        f'<table style="font-variant-numeric: tabular-nums"><caption style="caption-side: top; text-align: left; '
        f'color: inherit">{html.escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )
    display({"text/plain": f"{caption}\n{plain}", "text/html": rich}, raw=True)


def _written(numbers):
    sizes = [abs(number) for number in numbers if number and math.isfinite(number)]
    whole = all(float(size).is_integer() for size in sizes)
    decimals = 0 if whole else max(0, 2 - math.floor(math.log10(statistics.median(sizes))))
    return [
        f"{number:,.{decimals}f}"
        if decimals <= 6 and (not number or abs(number) >= 0.5 / 10**decimals)
        # one that is far smaller than the others does not become 0
        else f"{number:.3g}"
        for number in numbers
    ]
