"""Choose the weight of the source on validation images, and leave the source out where it does not win."""

import numpy as np
from scipy.stats import sem

from tlcourse.checks.compare import as_array, explain, misfit
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.4", "The gate", 4, "gate", 2
WRONG_SIGN = "The sign of the gap is wrong: risk with the source minus risk without it."
USED_UP = "This gap is on the validation images. The choice used them up, so report it on the test images."


def cases(rng):
    """The gains are multiples of one standard error of a loss difference with deviation 1."""
    n = 200
    scenarios = (
        ((14 * 0.08, 0.05), (-2, 0.5), (-3, 0.5), (-1, 0.5)),  # a small gain, and the same on every image
        ((0.5, 0.1), (1.2, 0.4), (-1, 0.5), (-2, 0.5)),  # two that pass
        ((0.3, 0.2), (-1, 0.5), (0.1, 0.5), (-2, 0.5)),  # passes by 1.5 standard errors
        ((2.1, 3.0), (0.8, 0.2), (-1, 0.5), (-2, 0.5)),  # the best on average is noise, the second is not
        ((0.3, 0.5), (-1, 0.5), (-0.5, 0.5), (-2, 0.5)),  # none passes
    )
    for scenario in scenarios:
        tables = []
        for rows in (scenario, scenario[::-1]):  # on the test images the order is another one
            base = np.exp(rng.normal(0, 0.7, size=n))
            table = [base]
            for gain, deviation in rows:
                noise = rng.normal(size=n)
                noise = (noise - noise.mean()) / noise.std(ddof=1)
                table.append(base - gain / np.sqrt(n) + deviation * noise)
            tables.append(np.stack(table))
        order = rng.permutation(5)
        weights = np.array([0.0, *rng.permutation((0.1, 0.3, 1.0, 3.0))])
        yield Case((weights[order], tables[0][order], tables[1][order]))


def verify(case, output):
    weights, val, test = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two numbers: the weight and the gap."
    weight, gap = output
    if misfit("weight", weight, ()) or float(as_array(weight)) not in weights:
        return "The weight is to be one of those in `weights`."

    base = weights == 0
    gains, ahead_on_test = val[base] - val, (test[base] - test).mean(axis=1)
    ahead, error, error_on_test = gains.mean(axis=1), sem(gains, axis=1), sem(test[base] - test, axis=1)
    unpaired_error = np.hypot(sem(val, axis=1), sem(val[base], axis=1))

    def choose(passes, score=ahead):
        """The weight with the best score of those that pass; 0 where none does."""
        passes = passes & ~base
        return weights[np.where(passes, score, -np.inf).argmax()] if passes.any() else 0.0

    right, lowest = choose(ahead > error), choose(ahead > 0)
    surest = choose(ahead > error, ahead / np.where(base, 1, error))
    spread = "That is a margin of a standard deviation. Divide by the root of the number of images."
    unpaired = "The images are the same. Subtract image by image first, then take the standard error."
    on_test = "You chose on the test images. They are for the report."
    others = [
        (lowest, "You take the lowest mean. The source is used only where it wins by more than one standard error."),
        (right * (right == lowest), "You look only at the lowest mean. A weight with another mean may pass the gate."),
        (choose(ahead > 1.96 * error), "The margin is one standard error, not 1.96 of them."),
        (choose(ahead > gains.std(axis=1, ddof=1)), spread),
        (choose(ahead > unpaired_error), unpaired),
        (surest, "Of the weights that pass, take the one with the lowest mean loss, not the surest."),
        (choose(ahead_on_test > error_on_test, ahead_on_test), on_test),
        (choose(ahead_on_test > 0, ahead_on_test), on_test),
        (choose(~base), "A weight has to win. None passes here, so the source is left out: 0."),
    ]
    problem = "Another weight passes the gate. Is the row without the source the one at weight 0?"
    if problem := explain("weight", weight, right, others, problem=problem):
        return problem
    on_val, on_test = ((losses[weights == right] - losses[base]).mean() for losses in (val, test))
    return explain("gap", gap, on_test, [(-on_test, WRONG_SIGN), (on_val, USED_UP)], 1e-9)
