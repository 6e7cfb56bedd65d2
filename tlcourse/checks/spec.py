"""What an exercise is: its cases, its judge, and the verdict."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple


class Case(NamedTuple):
    """One trial of an answer: plain inputs (tensors, arrays, numbers, strings), what only the judge knows, its part."""

    inputs: tuple
    truth: dict | None = None
    part: str = ""


def call(function, inputs):
    """Give an answer its inputs and return its output: how most exercises are observed."""
    return function(*inputs)


@dataclass(frozen=True)
class Exercise:
    """One graded task.

    Attributes:
        id: lesson and number, "01.2".
        title: in a few words.
        points: for an answer that passes every case.
        entry_point: the name of the function that the learner writes.
        time_limit: seconds for all cases together.
        cases: function of a numpy Generator that returns the list of Cases.
        verify: function of (case, observation) that returns None, or a message that names the likely mistake.
        observe: function of (answer, inputs) that calls the answer and returns plain data for verify. It runs beside
            the answer, so verify believes nothing in it that it cannot work out again from the inputs.
        parts: partial credit, as a dict from the name of a part to the points for passing all cases of that part. They
            add up to points. Empty: all or nothing.
    """

    id: str
    title: str
    points: int
    entry_point: str
    time_limit: float
    cases: Callable
    verify: Callable
    observe: Callable = call
    parts: dict = field(default_factory=dict)

    def __post_init__(self):
        if self.parts and sum(self.parts.values()) != self.points:
            raise ValueError(f"parts: those of exercise {self.id} do not add up to its {self.points} points")


class Verdict(NamedTuple):
    """Points earned, the message for the learner, and one of the states ok, wrong, error, timeout, crash, missing."""

    points: int
    message: str
    status: str


class NoAnswer(Exception):
    """A case got no observation: the state that this gives the exercise, and the message."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status
        self.message = message
