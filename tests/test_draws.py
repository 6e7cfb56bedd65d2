"""The hidden inputs of an exercise are drawn in one fixed order: another order would change every mark of a cohort.

tests/lessons/<slug>/draws.json holds what was recorded; `python tests/test_draws.py SLUG` writes it for a new lesson.
"""

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from tlcourse.checks import list_exercises

SEEDS = range(20)
LESSONS = Path(__file__).parent / "lessons"


class Recorder(np.random.Generator):
    """A generator that notes every draw: the method, and what it gave to six decimals, which all machines agree on."""

    def __init__(self, seed):
        super().__init__(np.random.PCG64(seed))
        self.digest = hashlib.sha256()


def noted(name):
    drawn = getattr(np.random.Generator, name)

    def method(self, *args, **options):
        result = drawn(self, *args, **options)
        values = np.asarray(args[0] if result is None else result)  # shuffle() works in place
        if values.dtype.kind == "f":
            values = np.round(values, 6) + 0.0
        self.digest.update(f"{name}{values.shape}{values.tolist()}".encode())
        return result

    return method


for name in ("choice", "dirichlet", "integers", "normal", "permutation", "permuted", "random", "shuffle", "uniform"):
    setattr(Recorder, name, noted(name))
for name in ("beta", "exponential", "gamma", "multinomial", "poisson", "standard_normal", "standard_t"):
    setattr(Recorder, name, noted(name))


def draws_of(exercise):
    digest = hashlib.sha256()
    for seed in SEEDS:
        rng = Recorder(seed)
        cases = exercise.cases(rng)
        digest.update(rng.digest.digest())
        digest.update(repr([(case.part, len(case.inputs)) for case in cases]).encode())
        digest.update(str(rng.bit_generator.state["state"]).encode())
    return digest.hexdigest()[:16]


def recorded():
    return {id: kept for path in LESSONS.glob("*/draws.json") for id, kept in json.loads(path.read_text()).items()}


def test_draws_are_recorded():
    assert len(recorded()) >= 41


@pytest.mark.parametrize("id", sorted(recorded()))
def test_the_draws_of_an_exercise_are_as_recorded(id, one_cpu_thread):
    # One thread: 06.6 trains networks to choose what it keeps, and another order of sums chooses otherwise.
    exercise = next(exercise for exercise in list_exercises() if exercise.id == id)
    assert draws_of(exercise) == recorded()[id]


if __name__ == "__main__":
    from tlcourse.course.lessons import list_lessons

    number = next(lesson.number for lesson in list_lessons() if lesson.slug == sys.argv[1])
    found = {e.id: draws_of(e) for e in list_exercises() if e.id.startswith(f"{number}.")}
    (LESSONS / sys.argv[1] / "draws.json").write_text(json.dumps(found, indent=1) + "\n")
