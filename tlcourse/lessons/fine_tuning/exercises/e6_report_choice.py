"""Choose each strategy's trial on validation, and report what it gains on test with a 95% interval."""

import numpy as np
from scipy.stats import sem, t

from tlcourse.checks.compare import differs, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import interval_mistakes

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.6", "Choose on validation, report with an interval", 5, "report_choice", 2
PARTS = {"choice": 2, "interval": 3}


def cases(rng):
    for part in PARTS:
        for strategies, trials, seeds in ((3, 4, 5), (4, 3, 8)):
            luck = rng.normal(0, 0.06, size=seeds)  # a good draw of images helps all: pairing matters
            level = rng.uniform(0.6, 0.8, size=(strategies, trials, 1))
            val = np.clip(level + luck + rng.normal(0, 0.03, size=(strategies, trials, seeds)), 0, 1)
            worst = val.mean(axis=2).argmin(axis=1)
            val[np.arange(strategies), worst, 0] = np.minimum(val.max(axis=(1, 2)) + 0.02, 1)  # one lucky seed
            test = np.clip(level + luck + rng.normal(0, 0.03, size=val.shape), 0, 1)
            best = val.mean(axis=2).argmax(axis=1)
            for row, column in enumerate(best):  # another trial looks best on test
                other = (column + 1) % trials
                test[row, other] = np.clip(test[row].max(axis=0) + 0.05, 0, 1)
            yield Case((val, test, int(rng.integers(strategies))), part=part)


def verify(case, output):
    val, test, baseline = case.inputs
    if type(output) is not tuple or len(output) != 4:
        return "Return four arrays: chosen, difference, low, high."
    chosen, difference, low, high = output
    right, best_on_test = val.mean(axis=2).argmax(axis=1), test.mean(axis=2).argmax(axis=1)
    if case.part == "choice":
        lucky = val.max(axis=2).argmax(axis=1)
        others = (
            (best_on_test, "You chose on the test accuracies. They are for the report; choose on validation."),
            (lucky, "You chose the trial with one lucky seed. Choose by the mean over the seeds."),
        )
        problem = "Choose for each strategy the trial with the highest mean validation accuracy over the seeds."
        form = misfit("chosen", chosen, right.shape, kind="integers")
        return form or explain("chosen", chosen, right, others, problem=problem)

    def in_percent(accuracies, trials):
        """Of the chosen trials, shape (strategies, seeds); and of the baseline's, shape (seeds,)."""
        picked = 100 * accuracies[np.arange(len(trials)), trials]
        return picked, picked[baseline]

    def mean_gain(ours, theirs):
        return (ours - theirs).mean(axis=1)

    ours, theirs = in_percent(test, right)
    mean = mean_gain(ours, theirs)
    on_val, of_best = mean_gain(*in_percent(val, right)), mean_gain(*in_percent(test, best_on_test))
    others = (
        (mean / 100, "The difference is a fraction. Percentage points are 100 times that."),
        (-mean, "The sign is wrong: positive means better than the baseline."),
        (
            of_best,
            "These are the differences of the trials that look best on test. Report the trials chosen on validation.",
        ),
        (on_val, "These are validation accuracies. The choice used them up, so report the test accuracies."),
    )
    if message := explain("difference", difference, mean, others):
        return message
    seeds = len(theirs)
    half = t.ppf(0.975, seeds - 1) * sem(ours - theirs, axis=1)
    mistakes = interval_mistakes(
        ours,
        theirs,
        "seeds",
        normal=f"1.96 belongs to the normal distribution. With {seeds} seeds take Student's t.",
        unpaired="The seeds are shared. Subtract seed by seed first, then take the standard error.",
    )
    others = [((mean - width, mean + width), message) for width, message in mistakes]
    problem = differs("low", low, mean - half) or differs("high", high, mean + half)
    return explain("ends", (low, high), (mean - half, mean + half), others, problem=problem)
