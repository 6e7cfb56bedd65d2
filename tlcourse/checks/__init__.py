"""The exercises, and the verdict on an answer to one."""

from tlcourse.checks.exercise import Case, CheckFailed, Exercise, Verdict, check, find_exercise, list_exercises, run

__all__ = ["Case", "CheckFailed", "Exercise", "Verdict", "check", "find_exercise", "list_exercises", "run"]
