"""Work out the negative transfer gap with two 95% intervals: one over runs, one over test images."""

import numpy as np
from scipy.stats import norm, sem, t

from tlcourse.checks.compare import as_array, explain
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import interval_mistakes

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.1", "The gap, with two intervals", 5, "gap_with_intervals", 5
PARTS = {"runs": 3, "images": 2}


def cases(rng):
    drawn = []
    for part in PARTS:
        for runs, images, is_error in ((6, 300, True), (9, 200, False)):
            shared = rng.normal(0, 1.5, size=images) + rng.normal(0, 0.4, size=(runs, 1))  # hard images, bad draws
            harm = 0.3 + rng.normal(0, 0.8, size=images) + rng.normal(0, 0.15, size=(runs, 1))
            noise = rng.normal(0, 0.4, size=(2, runs, images))
            losses = [np.logaddexp(0, shared + harm + noise[0]), np.logaddexp(0, shared + noise[1])]
            if is_error:
                losses = [(values > 1).astype(np.int64) for values in losses]
            drawn.append(Case(tuple(losses), {"part": part}, part))
    return drawn


def verify(case, output):
    with_source, without = (values.astype(float) for values in case.inputs)
    if type(output) is not dict or output.keys() != {"gap", *PARTS}:
        return 'Return a dict with the keys "gap", "runs" and "images".'
    difference, part = with_source - without, case.truth["part"]
    gap, (runs, images) = difference.mean(), difference.shape
    others = [
        (-gap, "The sign is wrong: risk with the source minus risk without it, so above zero the source did harm."),
        (100 * gap, "The gap is in percent. Leave it in the unit of the losses."),
    ]
    if problem := explain("gap", output["gap"], gap, others):
        return problem
    ends = _ends(output[part])
    if ends is None or np.isnan(ends).any():
        return f"{part}: want two numbers, the lower end and the upper end."
    over_images, normal = difference.mean(axis=0), norm.ppf(0.975)
    right = {"runs": t.ppf(0.975, runs - 1) * sem(difference.mean(axis=1)), "images": normal * sem(over_images)}
    slack = {"runs": 1e-6, "images": 0.1 * right["images"]}  # a bootstrap over the images passes

    def fits(ends, half, slack):
        return ends is not None and np.abs(ends - [gap - half, gap + half]).max() <= slack

    if fits(ends, right[part], slack[part]):
        return None
    if fits(ends[::-1], right[part], slack[part]):
        return f"{part}: the lower end comes first."
    other = "images" if part == "runs" else "runs"
    if fits(ends, right[other], slack[other]) and fits(_ends(output[other]), right[part], slack[part]):
        return "The two intervals are swapped. The one over runs comes from one mean for each run."
    if part == "runs":
        tolerance = 1e-4  # 1.96 is 1.959964
        problem = "these are not the ends of the paired interval with Student's t."
        if ends[1] - ends[0] < 1.9 * right["runs"]:
            problem = "the interval is too narrow. With so few runs a bootstrap is; take Student's t."
        others = interval_mistakes(
            with_source.mean(axis=1),
            without.mean(axis=1),
            "runs",
            f"1.96 belongs to the normal distribution. {runs} runs want Student's t.",
            "The runs are paired. Subtract run by run, then take the standard error.",
        )
        pooled = t.ppf(0.975, difference.size - 1) * sem(difference, axis=None)
        others.append((pooled, "Images of one run are not runs. Average over the images first."))
    else:
        tolerance, problem = 0.05, "these are not the ends of the paired interval over the means of each image."
        unpaired = np.hypot(sem(with_source.mean(axis=0)), sem(without.mean(axis=0)))
        pooled = "The same image in another run is no new image. Average over the runs first."
        spread = "That is the spread of the images. Divide by the root of their number."
        others = [
            (normal * unpaired, "Both sides saw the same images. Subtract image by image first."),
            (normal * sem(difference, axis=None), pooled),
            (right["images"] * np.sqrt(images), spread),
            (sem(over_images), "That is one standard error to each side. A 95% interval takes 1.96 times that."),
            (normal * sem(difference[0]), "That is one run. Average over all runs first."),
        ]
    message = next((message for half, message in others if fits(ends, half, tolerance * half)), problem)
    return f"{part}: {message}"


def _ends(value):
    """The two ends of an interval as an array, or None."""
    if type(value) not in (list, tuple):
        value = as_array(value)
        value = list(value) if np.ndim(value) else []
    ends = [as_array(end) for end in value]
    return np.array(ends) if len(ends) == 2 and all(end is not None and end.shape == () for end in ends) else None
