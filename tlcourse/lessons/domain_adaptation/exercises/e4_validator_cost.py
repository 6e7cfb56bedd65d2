"""Choose runs by validators, and find what each choice costs."""

import numpy as np

from tlcourse.checks.compare import as_array, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import all_differ

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "06.4", "What a validator costs", 5, "validator_regret", 2
_VALIDATORS = {"information": 1, "agreement": 1, "entropy": -1, "source risk": -1}  # −1: better when smaller


def cases(rng):
    return [Case(_draw_inputs(rng, seeds, runs)) for seeds, runs in ((4, 7), (6, 5))]


def verify(case, output):
    accuracies, scores, _ = case.inputs
    if type(output) is not dict or output.keys() != scores.keys():
        return f"Return a dict with the names of the validators as keys: {', '.join(scores)}."
    for name, value in output.items():
        if type(value) is not tuple or len(value) != 2:
            return f"{name}: want two things, the chosen runs and the regret."
        problem = misfit(f"{name}, runs", value[0], (len(accuracies),), kind="integers")
        if problem := problem or misfit(f"{name}, regret", value[1], ()):
            return problem
    chosen, regrets = (np.stack([as_array(output[name][i]) for name in _VALIDATORS]) for i in (0, 1))
    right, choices = _choices(accuracies, scores)
    problem = "Other runs have the best score. Choose within each seed, among the finite scores."
    if problem := explain("", chosen, right, choices, problem=problem):
        return problem
    right, measures = _regrets(accuracies, scores, right)
    problem = "The runs are right, but a regret is not the oracle's lead, in points."
    return explain("", regrets, right, measures, problem=problem)


def _draw_inputs(rng, seeds, runs):
    """Runs for which every likely mistake chooses other runs, or gives another regret."""
    while True:
        accuracies = np.round(rng.uniform(0.3, 0.95, size=(seeds, runs)), 3)
        scores = {}
        for name, sign in _VALIDATORS.items():
            values = np.round(2 + 3 * sign * (accuracies - 0.6) + rng.normal(0, 0.6, size=(seeds, runs)), 3)
            values[2] -= 3 * sign  # a bad seed: the mean of all scores would be the best of them
            values[[0, 1, 2], rng.permutation(runs)[:3]] = np.nan, np.inf, -np.inf
            values[3, accuracies[3].argmax()] = np.nan  # the best run has no score
            best = _chosen(values, sign)[0]
            values[0, runs - 1 - (best == runs - 1)] = values[0, best]  # a tie, not always of neighbours
            scores[name] = values
        inputs = accuracies, scores, [name for name, sign in _VALIDATORS.items() if sign < 0]
        right, choices = _choices(accuracies, scores)
        if all_differ(right, choices) and all_differ(*_regrets(accuracies, scores, right)):
            return inputs


def _chosen(values, sign, refused=lambda v: ~np.isfinite(v)):
    """The run of each seed with the best score, the first of equals."""
    return np.where(refused(values), -np.inf, sign * values).argmax(axis=1)


def _choices(accuracies, scores):
    """The runs that each validator chooses (validators, seeds), and those of likely mistakes with the message to each."""

    def choose(rule):
        return np.stack([rule(scores[name], sign) for name, sign in _VALIDATORS.items()])

    def on_average(values, sign):
        mean = np.nanmean(np.where(np.isfinite(values), values, np.nan), axis=0)
        return np.full(len(values), (sign * mean).argmax())

    infinite = "An infinite score is chosen. Runs whose score is not finite are out."
    return choose(_chosen), [
        (choose(lambda v, sign: _chosen(v, 1)), "Risks are better when smaller. You take the largest everywhere."),
        (choose(lambda v, sign: _chosen(v, -1)), "Only risks are better small. You take the smallest everywhere."),
        (choose(lambda v, sign: _chosen(v, -sign)), "The direction is turned: small is better for risks alone."),
        (choose(on_average), "You choose one run for all seeds. Each seed is a choice of its own."),
        (choose(lambda v, sign: (sign * v).argmax(axis=1)), "argmax takes NaN for the best. Leave such runs out."),
        (choose(lambda v, sign: _chosen(v, sign, np.isnan)), infinite),
        (choose(lambda v, sign: _chosen(np.nan_to_num(v), sign)), "What is not finite became a number. Leave it out."),
        (choose(lambda v, sign: v.shape[1] - 1 - _chosen(v[:, ::-1], sign)), "Of equal scores the first is chosen."),
        (choose(lambda v, sign: accuracies.argmax(axis=1)), "You choose by the accuracies. Only the oracle sees them."),
    ]


def _regrets(accuracies, scores, chosen):
    """The regret of each validator, and what likely mistakes give with the message to each."""
    got, best = np.take_along_axis(accuracies, chosen.T, axis=1).T, accuracies.max(axis=1)
    finite = np.stack([np.where(np.isfinite(scores[name]), accuracies, 0).max(axis=1) for name in _VALIDATORS])
    regrets = 100 * (best - got).mean(axis=1)
    rivals = [
        (accuracies.mean(axis=1), "You compare with the mean of the runs. The oracle is the best run of the seed."),
        (accuracies[:, -1], "You compare with the last run. The oracle is the best run of the seed."),
        (accuracies[:, 0], "You compare with the first run. The oracle is the best run of the seed."),
        (accuracies.mean(axis=0).max(), "Your oracle takes one run for all seeds. It takes the best of each seed."),
        (accuracies.max(), "Your oracle is the best run of all seeds. It takes the best of each seed."),
        (finite, "Your oracle leaves out runs without a finite score. It looks at no score."),
    ]
    return regrets, [
        (regrets / 100, "The regret is a fraction. Points are 100 times that."),
        (-regrets, "The sign is turned: the regret is the oracle's accuracy minus that of the chosen run."),
        *((100 * (rival - got).mean(axis=1), message) for rival, message in rivals),
        (100 * ((best - got) / best).mean(axis=1), "You divide by the oracle's accuracy. Take the difference."),
        (100 * (best - got).max(axis=1), "Take the mean over the seeds, not the worst of them."),
        (100 * (best - got).sum(axis=1), "Take the mean over the seeds, not the sum."),
        (100 * np.median(best - got, axis=1), "Take the mean over the seeds, not the median."),
    ]
