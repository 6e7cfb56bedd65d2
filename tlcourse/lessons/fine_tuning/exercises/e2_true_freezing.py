"""Freeze the first parts of a network so that training moves neither their weights nor their statistics."""

import torch

from tlcourse.checks.compare import differs, same_tensors
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.fine_tuning.observers import build_network, train_hard
from tlcourse.models.groups import list_parts
from tlcourse.training import freeze

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.2", "True freezing", 5, "freeze_first", 5
PARTS = {"weights": 2, "BatchNorm statistics": 3}


def cases(rng):
    for part in PARTS:
        for count in (2, 4):
            seed, x, y = int(rng.integers(2**31)), draw_images(rng, 6), torch.tensor(rng.integers(5, size=6))
            yield Case((seed, x, y, count), part=part)


def verify(case, seen):
    seed, x, y, count = case.inputs
    if seen.get("all frozen"):
        return "Nothing is left to train. Only the first `count` parts are frozen."
    before = build_network(seed)
    start = before.state_dict()
    parts = list_parts(before)
    if not same_tensors(seen["at once"], start):
        return "Freezing changed the network's weights or buffers. It only decides what training may move."
    trained = seen["trained"]
    if trained.keys() != start.keys():
        return "The network has other layers than before. Leave them as they are."
    parameters = {name for name, _ in before.named_parameters()}
    moved = {name for name in start if not same_tensors({name: trained[name]}, {name: start[name]})}
    frozen = {name for name in start if name.split(".")[0] in parts[:count]}
    if case.part == "weights":
        if wrong := sorted(moved & parameters & frozen):
            return f"{wrong[0]} moved in training, though it belongs to the first {count} parts."
        if still := sorted(parameters - frozen - moved):
            return f"{still[0]} did not move in training. Only the first {count} parts are frozen."
        return None
    if wrong := sorted((moved & frozen) - parameters):
        return (
            f"{wrong[0]} moved in training: BatchNorm follows the batches whatever requires_grad says, and a loop calls "
            "model.train() in every epoch. Hold these layers in eval mode for good."
        )
    if still := sorted(start.keys() - parameters - frozen - moved):
        return f"{still[0]} did not move in training. The BatchNorm of the parts that train follows the batches."
    wanted = train_hard(freeze(before, train=tuple(parts[count:])), x, y)
    if differs("state", trained, wanted, 1e-4):
        return "The parts that train do not compute what they should in training mode."
    return None
