"""The exercises, and the verdict on an answer to one."""

from tlcourse.checks.front import CheckFailed, award, check
from tlcourse.checks.judge import judge, run
from tlcourse.checks.registry import find_exercise, find_observer, list_exercises
from tlcourse.checks.spec import Case, Exercise, NoAnswer, Verdict
