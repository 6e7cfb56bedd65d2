"""Work out the negative transfer gap with two 95% intervals: one over runs, one over test images."""

import numpy as np
from scipy.stats import norm, sem, t

from tlcourse.checks.compare import as_array, differs, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import as_numbers, interval_mistakes

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.1", "The gap, with two intervals", 5, "gap_with_intervals", 5
PARTS = {"runs": 3, "images": 2}


def cases(rng):
    for part in PARTS:
        for runs, images, is_error in ((6, 300, True), (9, 200, False)):
            shared = rng.normal(0, 1.5, size=images) + rng.normal(0, 0.4, size=(runs, 1))  # hard images, bad draws
            harm = 0.3 + rng.normal(0, 0.8, size=images) + rng.normal(0, 0.15, size=(runs, 1))
            noise = rng.normal(0, 0.4, size=(2, runs, images))
            losses = [np.logaddexp(0, shared + harm + noise[0]), np.logaddexp(0, shared + noise[1])]
            if is_error:
                losses = [(values > 1).astype(np.int64) for values in losses]
            yield Case(tuple(losses), part=part)


def verify(case, output):
    with_source, without = (values.astype(float) for values in case.inputs)
    if type(output) is not dict or output.keys() != {"gap", *PARTS}:
        return 'Return a dict with the keys "gap", "runs" and "images".'
    difference, part = with_source - without, case.part
    gap, runs = difference.mean(), len(difference)
    others = [
        (-gap, "The sign is wrong: risk with the source minus risk without it, so above zero the source did harm."),
        (100 * gap, "The gap is in percent. Leave it in the unit of the losses."),
    ]
    if problem := explain("gap", output["gap"], gap, others):
        return problem
    ends = {name: as_array(as_numbers(output[name])) for name in PARTS}
    if misfit(part, ends[part], (2,)):
        return f"{part}: want two numbers, the lower end and the upper end."

    def fits(ends, half, slack):
        return not differs("", ends, np.array([gap - half, gap + half]), slack)

    of_runs, of_images = difference.mean(axis=1), difference.mean(axis=0)
    normal = norm.ppf(0.975)
    right = {"runs": t.ppf(0.975, runs - 1) * sem(of_runs), "images": normal * sem(of_images)}
    slack = {"runs": 1e-6, "images": 0.1 * right["images"]}  # a bootstrap over the images passes
    if fits(ends[part], right[part], slack[part]):
        return None
    if fits(ends[part][::-1], right[part], slack[part]):
        return f"{part}: the lower end comes first."
    other = "images" if part == "runs" else "runs"
    if fits(ends[part], right[other], slack[other]) and fits(ends[other], right[part], slack[part]):
        return "The two intervals are swapped. The one over runs comes from one mean for each run."
    if part == "runs":
        tolerance = 1e-4  # 1.96 is 1.959964
        problem = "these are not the ends of the paired interval with Student's t."
        if np.diff(ends["runs"]) < 1.9 * right["runs"]:
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
        unpaired, pooled = (
            np.hypot(sem(with_source.mean(axis=0)), sem(without.mean(axis=0))),
            sem(difference, axis=None),
        )
        others = [
            (normal * unpaired, "Both sides saw the same images. Subtract image by image first."),
            (normal * pooled, "The same image in another run is no new image. Average over the runs first."),
            (normal * of_images.std(ddof=1), "That is the spread of the images. Divide by the root of their number."),
            (sem(of_images), "That is one standard error to each side. A 95% interval takes 1.96 times that."),
            (normal * sem(difference[0]), "That is one run. Average over all runs first."),
        ]
    message = next((message for half, message in others if fits(ends[part], half, tolerance * half)), problem)
    return f"{part}: {message}"
