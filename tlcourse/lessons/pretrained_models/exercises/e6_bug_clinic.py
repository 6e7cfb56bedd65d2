"""Mend a script that reads letters with a pre-trained network."""

import torch

from tlcourse import data
from tlcourse.checks.compare import differs, explain, misfit
from tlcourse.checks.spec import Case
from tlcourse.lessons.pretrained_models.observers import PROBE, load_reader

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.6", "Bug clinic", 7, "classify", 5


def cases(rng):
    for count in (7, 12):
        images = data.glyphs(37, "letters", seed=int(rng.integers(2**31)))[:count]
        photos = (255 * images.x).round().byte().permute(0, 2, 3, 1).contiguous()
        mean, std = (
            torch.tensor(rng.uniform(low, high, size=3), dtype=torch.float32) for low, high in ((0.3, 0.6), (0.2, 0.4))
        )
        yield Case((photos, mean, std, images.classes))


def verify(case, seen):
    photos, mean, std, names = case.inputs
    answer = seen["answer"]
    if type(answer) is not tuple or len(answer) != 2 or type(answer[0]) is not list:
        return "Return two things: a list of names and a tensor of probabilities."
    if problem := misfit("probabilities", answer[1], (len(photos),)):
        return problem

    def normalise(x, scale=255):
        return (x / scale - mean.view(3, 1, 1)) / std.view(3, 1, 1)

    x = normalise(photos.permute(0, 3, 1, 2))
    model, trainee = load_reader(mean, std).eval(), load_reader(mean, std)
    with torch.no_grad():
        logits, afterwards = model(x), model(PROBE)
        bytes_in = model(normalise(photos.permute(0, 3, 1, 2), scale=1))
        viewed = model(normalise(photos.view(-1, 3, 32, 32)))
        in_training = trainee(x)
        moved = trainee.eval()(x)
    confidence, index = logits.softmax(dim=1).max(dim=1)
    mistakes = [
        (in_training, "The network ran in training mode, so each image depends on its neighbours. Call eval()."),
        (moved, "A pass in training mode moved the statistics in BatchNorm. Call eval() before the first."),
        (bytes_in, "The network got bytes. mean and std belong to pixels in [0, 1]."),
        (viewed, "view only counts the same bytes off anew. Move the colours to the front with permute."),
    ]
    columns = "The softmax runs over the images. Each image's probabilities add up to 1: dim=1."
    mistakes = [(scores.softmax(dim=1).amax(dim=1), message) for scores, message in mistakes] + [
        (logits.softmax(dim=0).amax(dim=1), columns),
        (logits.amax(dim=1), "These are logits, not probabilities: there is a softmax missing."),
    ]
    problem = "The probabilities are not right. Follow one image through every line, and ask what its numbers are."
    if problem := explain("probabilities", answer[1], confidence, mistakes, 1e-3, problem):
        return problem
    if answer[0] != [names[i] for i in index.tolist()]:
        return "The probabilities are right, but not the names. names[i] belongs to output i."
    if differs("", seen["afterwards"], afterwards, 1e-3):
        return "The statistics in BatchNorm moved: a pass ran in training mode."
    return None
