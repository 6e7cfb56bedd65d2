"""One notebook's answers: its cells run in a child, and in another after each that dies, without what killed it."""

import re
import time
from collections import Counter

import numpy as np

from tlcourse.checks import NoAnswer
from tlcourse.grading.sandbox import ChildEnded, Raised

READ_SECONDS, CELL_SECONDS, CELLS_SECONDS = 30, 10, 60
MAX_CELLS = 2000  # of a notebook
MAX_DEATHS = 6  # children that the cells of one notebook may kill


class Answer:
    """One notebook in a child of a Sandbox."""

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._child = sandbox.child()
        self._has_run = False  # the cells, in the child or in one before it
        self._program = []  # (name, source) of the cells to run, in order
        self._faults = {}  # name of a cell → (status, message)
        self._seconds, self._deaths = CELLS_SECONDS, 0
        self._copies = Counter()  # how often the student's notebook has a cell, by its id

    def read(self, content):
        """The cells of a notebook, see course.read.read_cells().

        Raises:
            ValueError: there are none, or more than MAX_CELLS.
        """
        try:
            cells = self._child.ask(READ_SECONDS, "read", np.frombuffer(content, dtype=np.uint8))
        except (ChildEnded, Raised) as error:
            raise ValueError(str(error).removeprefix("ValueError: ")) from error
        if len(cells) > MAX_CELLS:
            raise ValueError(f"the notebook has over {MAX_CELLS:,} cells")
        return cells

    def prepare(self, release, cells):
        """Choose what runs: the release's own cells but for checks and answers, then all that the student wrote."""
        own = [cell for cell in release.cells if cell["kind"] == "code" and cell["grade_id"] not in release.answer_ids]
        check_ids = {check for check, _, _ in release.exercises.values()}
        locked = {cell["grade_id"] for cell in own if cell["locked"]}
        sources = {cell["source"] for cell in own}
        self._program = [(cell["grade_id"], cell["source"]) for cell in own if cell["grade_id"] not in check_ids]
        for cell in cells:
            if cell["kind"] == "code" and cell["grade_id"] not in locked and cell["source"] not in sources:
                self._copies[cell["grade_id"]] += 1
                count = self._copies[cell["grade_id"]]
                name = (cell["grade_id"] or "without id") + (f" #{count}" if count > 1 else "")
                self._program.append((name, cell["source"]))

    def run(self, entry_point, answer_ids):
        """Have a child in which all cells ran.

        Raises:
            NoAnswer: it has no function of that name, with the reason.
        """
        for _ in range(3):  # what an earlier answer left may break the channel; that costs a child, not this exercise
            while self._child.is_ended or not self._has_run:
                self._run_cells()
            try:
                if self._child.ask(CELL_SECONDS, "has", entry_point) is True:
                    return
                break
            except ChildEnded as end:
                broken = end
            except Raised:  # no honest process raises at this
                broken = ChildEnded("crash", "it does not say what it defines")
                self._child.end()
        else:
            raise NoAnswer(broken.status, f"The notebook's process does not last: {broken.message}.")
        for id in answer_ids:
            names = [name for name in self._faults if name.split(" #")[0] == id]
            if names:
                status, message = self._faults[names[-1]]
                raise NoAnswer(status, f"The cell {names[-1]} {message}.")
        if not any(self._copies[id] for id in answer_ids):
            raise NoAnswer("missing", f"The cell for {entry_point} is not in the notebook, nor is the function.")
        raise NoAnswer("error", f"The notebook has the cell, but it defines no function named {entry_point}.")

    def call(self, seconds, *arguments):
        """Call the answer; see Child.ask()."""
        return self._child.ask(seconds, "call", *arguments)

    @property
    def is_over(self):
        """Whether an answer has killed the child that run() gave it."""
        return self._child.is_ended

    def has_line(self, line):
        """Whether a line that a child named can be one of the cells that it was sent."""
        match = re.fullmatch(r"line \d{1,6} of cell (.*)", line)
        return not line or (match is not None and match[1] in {name for name, _ in self._program})

    def notes(self, answer_ids):
        """What else the reader of a row is to know."""
        said = [
            f"The cell {id} is there {self._copies[id]} times; the last one counts."
            for id in answer_ids
            if self._copies[id] > 1
        ]
        killers = [
            f"Without the cell {name}, which {message}."
            for name, (status, message) in self._faults.items()
            if status in ("timeout", "crash") and name.split(" #")[0] not in answer_ids
        ]
        return said + killers[:3]

    def close(self):
        """End the child."""
        if not self._child.is_ended:
            self._child.end()

    def _run_cells(self):
        """Run the cells in a child that has run none. A cell that kills it is left out from then on."""
        if self._child.is_ended:
            self._child = self._sandbox.child()
        self._has_run = True
        for name, source in self._program:
            if self._faults.get(name, ("",))[0] in ("timeout", "crash"):
                continue
            if self._seconds <= 0 or self._deaths >= MAX_DEATHS:
                reason = "was not run: the cells before it took too long or ended their process"
                self._faults[name] = ("timeout", reason)
                continue
            started = time.monotonic()
            try:
                self._child.ask(min(CELL_SECONDS, max(0.1, self._seconds)), "run", name, source)
            except Raised as error:
                self._faults[name] = ("error", f"raised {error}" + (f" ({error.line})" if error.line else ""))
            except ChildEnded as end:
                what = "did not end" if end.status == "timeout" else "ended its process"
                self._faults[name] = (end.status, f"{what}: {end.message}")
                self._deaths += 1
                return
            finally:
                self._seconds -= time.monotonic() - started
