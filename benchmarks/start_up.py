"""How long one waits: for `import tlcourse`, `tlcourse --help`, and the first figure of lesson 01.

Each in a process of its own. Beside them stand the least that a course on PyTorch makes one wait for: importing
torchvision, the help of nbgrader, and a notebook that imports torch, torchvision and matplotlib and draws one image.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from benchmarks import _report
from tlcourse.course import course_root
from tlcourse.course.run import execute

TIMED = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
PLAIN = """\
import matplotlib.pyplot as plt
import torch
import torchvision

plt.imshow(torch.rand(32, 32))
plt.show()"""


def imported(module):
    """Seconds that a first import takes, the start of Python left out."""
    done = subprocess.run([sys.executable, "-c", TIMED.format(module)], capture_output=True, text=True, check=True)
    return float(done.stdout)


def called(module):
    """Seconds that `python -m module --help` takes."""
    command = [sys.executable, "-m", module, "--help"]
    return _report.seconds_of(lambda: subprocess.run(command, capture_output=True, check=True))


def executed(cells, folder):
    """Seconds from starting a kernel to the end of the last cell."""
    path = Path(folder) / "first.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    execution, _ = execute(path)
    if execution.error:
        raise SystemExit(execution.error)
    return execution.seconds


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks start_up", description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="two pairs")
    options = parser.parse_args(arguments)
    pairs = 2 if options.quick else options.pairs
    cells = nbformat.read(course_root() / "notebooks" / "01_fundamentals.ipynb", as_version=4).cells
    first = next(i for i, cell in enumerate(cells) if cell.cell_type == "code" and "teach.show(" in cell.source)
    plain = [nbformat.v4.new_code_cell(PLAIN)]
    for module in ("tlcourse", "torchvision"):  # from here on, files are in the system's cache for both
        imported(module)
    imports, helps, figures = ([], []), ([], []), ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(pairs):
            for side, module, command, code in (
                (0, "tlcourse", "tlcourse.cli", cells[: first + 1]),
                (1, "torchvision", "nbgrader", plain),
            ):
                imports[side].append(imported(module))
                helps[side].append(called(command))
                figures[side].append(executed(code, folder))
    rows = [
        _report.row("import tlcourse", "import torchvision", *imports),
        _report.row("tlcourse --help", "nbgrader --help", *helps),
        _report.row("first figure of lesson 01", "imports and one image", *figures),
    ]
    return _report.report("start_up", rows, ["torchvision", "nbgrader"])
