"""The exercises, and the verdict on an answer to one."""

from tlcourse.checks.exercise import (
    Case,
    CheckFailed,
    Exercise,
    NoAnswer,
    Verdict,
    award,
    check,
    find_exercise,
    judge,
    list_exercises,
    run,
)

__all__ = [
    "Case",
    "CheckFailed",
    "Exercise",
    "NoAnswer",
    "Verdict",
    "award",
    "check",
    "find_exercise",
    "judge",
    "list_exercises",
    "run",
]
