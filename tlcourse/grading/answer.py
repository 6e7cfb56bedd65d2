"""One notebook's answers: its cells run in a child, and in another after each that dies, without what killed it."""

import re
import time

import numpy as np

from tlcourse.grading.sandbox import ChildEnded, Raised

READ_SECONDS, CELL_SECONDS, CELLS_SECONDS = 30, 10, 60
MAX_DEATHS = 6  # children that the cells of one notebook may kill


class Missing(Exception):
    """There is no function to call: the status and the message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message


class Answer:
    """One notebook in a child of a Sandbox.

    Attributes:
        over: the exercise that is being graded has killed its child.
    """

    def __init__(self, sandbox):
        self._sandbox = sandbox
        self._child = None
        self._program = []  # (name, source) of the cells to run, in order
        self._faults = {}  # name of a cell → (status, message)
        self._seconds, self._deaths = CELLS_SECONDS, 0
        self._copies = {}
        self._ids = set()
        self._fresh = False  # the child has run no cell yet
        self.over = False

    def read(self, content):
        """The cells of a notebook, see notebook.read_cells(). Raises Raised or ChildEnded where there are none."""
        self._child = self._sandbox.child()
        return self._request(READ_SECONDS, "read", np.frombuffer(content, dtype=np.uint8))

    def prepare(self, release, cells):
        """Choose what runs: the release's own cells but for checks and answers, then all that the student wrote."""
        own = [cell for cell in release.cells if cell["kind"] == "code" and cell["grade_id"] not in release.answer_ids]
        checks_ = {check for check, _, _ in release.exercises.values()}
        locked = {cell["grade_id"] for cell in own if cell["locked"]}
        sources = {cell["source"] for cell in own}
        self._program = [(cell["grade_id"], cell["source"]) for cell in own if cell["grade_id"] not in checks_]
        for cell in cells:
            if cell["kind"] == "code" and cell["grade_id"] not in locked and cell["source"] not in sources:
                count = self._copies[cell["grade_id"]] = self._copies.get(cell["grade_id"], 0) + 1
                name = (cell["grade_id"] or "without id") + (f" #{count}" if count > 1 else "")
                self._program.append((name, cell["source"]))
                self._ids.add(cell["grade_id"])
        self._fresh = self._child is not None

    def run(self, entry_point, answer_ids):
        """Have a child in which all cells ran.

        Raises:
            Missing: it has no function of that name, with the reason.
        """
        self.over = False
        for _ in range(3):  # what an earlier answer left may break the channel; that costs a child, not this exercise
            while self._child is None or self._fresh:
                self._run_cells()
            try:
                if self._request(CELL_SECONDS, "has", entry_point) is True:
                    return
                break
            except ChildEnded as end:
                broken = end
            except Raised:  # no honest process raises at this
                broken = ChildEnded("crash", "it does not say what it defines")
                self.end()
        else:
            raise Missing(broken.status, f"The notebook's process does not last: {broken.message}.")
        for id in answer_ids:
            names = [name for name in self._faults if name.split(" #")[0] == id]
            if names:
                status, message = self._faults[names[-1]]
                raise Missing(status, f"The cell {names[-1]} {message}.")
        if not self._ids & set(answer_ids):
            raise Missing("missing", f"The cell for {entry_point} is not in the notebook, nor is the function.")
        raise Missing("error", f"The notebook has the cell, but it defines no function named {entry_point}.")

    def call(self, seconds, *arguments):
        """Call the answer; see Child.ask()."""
        try:
            return self._request(seconds, "call", *arguments)
        except ChildEnded:
            self.over = True
            raise

    def has_line(self, line):
        """Whether a line that a child named can be one of the cells that it was sent."""
        match = re.fullmatch(r"line \d{1,6} of cell (.*)", line)
        return not line or (match is not None and match[1] in {name for name, _ in self._program})

    def notes(self, answer_ids):
        """What else the reader of a row is to know."""
        said = [
            f"The cell {id} is there {self._copies[id]} times; the last one counts."
            for id in answer_ids
            if self._copies.get(id, 0) > 1
        ]
        killers = [
            f"Without the cell {name}, which {message}."
            for name, (status, message) in self._faults.items()
            if status in ("timeout", "crash") and name.split(" #")[0] not in answer_ids
        ]
        return said + killers[:3]

    def end(self):
        """End the child, if there is one."""
        if self._child is not None:
            self._child.end()
            self._child = None

    def _run_cells(self):
        """Run the cells in a new child. A cell that kills it is left out from then on."""
        self._fresh = False
        if self._child is None:
            self._child = self._sandbox.child()
        for name, source in self._program:
            if self._faults.get(name, ("",))[0] in ("timeout", "crash"):
                continue
            if self._seconds <= 0 or self._deaths >= MAX_DEATHS:
                self._faults[name] = (
                    "timeout",
                    "was not run: the cells before it took too long or ended their process",
                )
                continue
            started = time.monotonic()
            try:
                self._request(min(CELL_SECONDS, max(0.1, self._seconds)), "run", name, source)
            except Raised as error:
                self._faults[name] = ("error", f"raised {error}" + (f" ({error.line})" if error.line else ""))
            except ChildEnded as end:
                what = "did not end" if end.status == "timeout" else "ended its process"
                self._faults[name] = (end.status, f"{what}: {end.message}")
                self._deaths += 1
                return
            finally:
                self._seconds -= time.monotonic() - started

    def _request(self, seconds, request, *arguments):
        try:
            return self._child.ask(seconds, request, *arguments)
        except ChildEnded:
            self._child = None
            raise
