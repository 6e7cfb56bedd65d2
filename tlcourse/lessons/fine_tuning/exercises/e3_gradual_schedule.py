"""Plan which parts of a network are open in which epoch, and at which learning rates."""

from itertools import pairwise

from tlcourse.checks.compare import explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.3", "A gradual schedule", 4, "unfreezing_schedule", 2


def cases(rng):
    for count, epochs in ((4, 8), (6, 4), (3, 5), (5, 1)):
        parts = [f"part{number}" for number in rng.permutation(20)[:count]]
        yield Case((parts, epochs, float(rng.uniform(0.001, 0.1)), float(rng.uniform(0.2, 0.8))))


def verify(case, output):
    parts, epochs, lr, decay = case.inputs
    number = len(parts)
    if type(output) is not list or len(output) != epochs or any(type(entry) is not dict for entry in output):
        return f"Return a list with one dict for each of the {epochs} epochs."

    def schedule(opened=lambda epoch: -(-number * (epoch + 1) // epochs), order=parts[::-1], decay=decay):
        return [{name: lr * decay**i for i, name in enumerate(order[: opened(epoch)])} for epoch in range(epochs)]

    rounded_down = schedule(lambda epoch: number * (epoch + 1) // epochs)
    round_up = "Round the number of open parts up: with as many epochs as you like, the head trains from the first one."
    one_each = schedule(lambda epoch: min(number, epoch + 1))
    others = (
        (schedule(order=parts), "The order is the wrong way round. The head, the last part, begins."),
        (schedule(decay=1.0), "Every part has the head's rate. Multiply by decay for each step away from the head."),
        (rounded_down, round_up),
        (one_each, "You open one part an epoch. Spread the openings evenly over all epochs."),
    )
    closes = any(not before.keys() <= after.keys() for before, after in pairwise(output))
    problem = "A part that was open is closed again. Open parts stay open." if closes else None
    return explain("schedule", output, schedule(), others, 1e-9, problem)
