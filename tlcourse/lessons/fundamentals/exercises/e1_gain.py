"""Work out the mean gain of transfer and its standard error from paired accuracies."""

import numpy as np
from scipy.stats import sem

from tlcourse.checks.compare import explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "01.1", "The gain, with its uncertainty", 4, "transfer_gain", 2


def cases(rng):
    for counts, seeds in ((4, 5), (1, 3), (3, 12)):
        luck = rng.normal(0, 0.08, size=(counts, seeds))  # a good label sample helps both arms: pairing matters
        scratch = np.clip(0.5 + luck + rng.normal(0, 0.02, size=luck.shape), 0, 1)
        transferred = np.clip(0.6 + luck + rng.normal(0, 0.02, size=luck.shape), 0, 1)
        yield Case((scratch, transferred))


def verify(case, output):
    if type(output) is not tuple or len(output) != 2:
        return "Return two arrays: gain, error."
    scratch, transferred = case.inputs
    difference = 100 * (transferred - scratch)
    gain, per_seed = difference.mean(axis=1), difference.mean(axis=0)
    error, biased = (sem(difference, axis=1, ddof=ddof) for ddof in (1, 0))
    std = difference.std(axis=1, ddof=1)
    unpaired = 100 * np.hypot(sem(scratch, axis=1), sem(transferred, axis=1))
    gain_mistakes = [
        (gain / 100, "The gain is a fraction. Percentage points are 100 times that."),
        (-gain, "The gain has the wrong sign: it is positive when transfer is better than scratch."),
        (per_seed, "You averaged over the label counts. Rows are label counts, columns are seeds: average over seeds."),
    ]
    error_mistakes = [
        (biased, "The error divides by n where n − 1 belongs: a sample's standard deviation has ddof=1."),
        (std, "That is the standard deviation. The standard error of the mean divides it by the root of the seeds."),
        (unpaired, "The two arms share their seeds. Take the difference seed by seed first, then its standard error."),
    ]
    return explain("gain", output[0], gain, gain_mistakes) or explain("error", output[1], error, error_mistakes)
