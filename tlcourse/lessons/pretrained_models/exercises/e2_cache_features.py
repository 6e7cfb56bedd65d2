"""Cache the features of several layers, each image in one pass."""

import torch
import torch.nn.functional as F

from tlcourse.checks.compare import differs, explain, misfit, type_name
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.pretrained_models.observers import network_in_training

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.2", "Features of several layers in one pass", 5, "cache_features", 5


def cases(rng):
    for count, batch_size, chosen in ((7, 3, ["bn1", "layer1", "layer3"]), (4, 4, ["conv1", "layer2", "layer3"])):
        x = draw_images(rng, count)
        yield Case((int(rng.integers(2**31)), x, chosen, batch_size))


def verify(case, seen):
    seed, x, layers, batch_size = case.inputs
    features = seen["features"]
    if type(features) is not dict:
        return f"Return a dict from the name of a layer to its features, not {type_name(features)}."
    if features.keys() != set(layers):
        return f"The keys are to be the layers asked for, {layers}; got {sorted(map(str, features))}."
    own = _run_layers(network_in_training(seed).eval(), x)
    trainee = network_in_training(seed)
    batches = [_run_layers(trainee, batch) for batch in x.split(batch_size)]
    for layer in layers:
        wanted, in_training, rectified = (
            outputs.mean(dim=(2, 3))
            for outputs in (own[layer], torch.cat([batch[layer] for batch in batches]), F.relu(own[layer]))
        )
        if problem := misfit(f"features of {layer}", features[layer], wanted.shape):
            return f"{problem} Average over space: one row per image, one number per channel."
        of_training = (
            "These are the features in training mode: BatchNorm used the batch's statistics. Call eval() first."
        )
        of_relu = (
            f"Features of {layer} are those after a later ReLU, which works in place: clone the output in the hook."
        )
        mistakes = [
            (in_training, of_training),
            (rectified, of_relu),
            (own[layer].amax(dim=(2, 3)), f"Features of {layer}: you took the maximum over space. Take the mean."),
        ]
        problem = f"Features of {layer} are not right. Are the batches in order, and the network in eval mode?"
        if problem := explain("", features[layer], wanted, mistakes, 1e-4, problem):
            return problem
    expected = network_in_training(seed)
    if differs("", seen["as_left"], expected(x), 1e-4):
        return "The network came in training mode and did not come back so, or its statistics moved. Put the mode back."
    if differs("", seen["evaluated"], expected.eval()(x), 1e-4):
        return "The statistics in BatchNorm moved: some pass was in training mode."
    return None


@torch.no_grad()
def _run_layers(model, x):
    """What each layer returns, (N, C, H, W), one after the other."""
    outputs = {"conv1": model.conv1(x)}
    outputs["bn1"] = model.bn1(outputs["conv1"])
    outputs["layer1"] = model.layer1(F.relu(outputs["bn1"]))
    outputs["layer2"] = model.layer2(outputs["layer1"])
    outputs["layer3"] = model.layer3(outputs["layer2"])
    return outputs
