"""Choose the layer whose features suit a target best, on validation data."""

import numpy as np
import torch

from tlcourse.checks.compare import explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "02.3", "Choose a layer on validation data", 4, "choose_layer", 5


def cases(rng):
    for classes, order in ((3, (0, 1, 2)), (4, (2, 0, 1)), (3, (1, 2, 0))):
        y, val_y = np.arange(5 * classes) % classes, rng.permutation(np.arange(20 * classes) % classes)
        centres = rng.normal(0, 1, size=(classes, 4))
        # One layer that tells the classes apart, one with less signal, one so wide that it fits any training labels.
        kinds = [(1.2, 0.9, 4), (0.3, 0.9, 4), (0.1, 1.0, 60)]
        train, val = {}, {}
        for number, kind in enumerate(order, start=1):
            strength, noise, width = kinds[kind]
            signal = np.zeros((classes, width))
            signal[:, :4] = strength * centres
            scale = np.exp(rng.normal(0, 1.5, size=width))  # channels differ in scale: standardising matters
            for features, labels in ((train, y), (val, val_y)):
                noisy = signal[labels] + rng.normal(0, noise, size=(len(labels), width))
                features[f"layer{number}"] = torch.tensor(scale * noisy + 3, dtype=torch.float32)
        yield Case((train, torch.tensor(y), val, torch.tensor(val_y)))


def verify(case, output):
    train, y, val, val_y = case.inputs
    if type(output) is not tuple or len(output) != 2:
        return "Return two things: the name of the layer, and the dict of accuracies."
    name, accuracies = output

    def table(reference, query=val, labels=val_y):
        """Accuracies of nearest class means after standardising with the mean and deviation of reference."""
        return {layer: _accuracy(train[layer], y, query[layer], labels, reference[layer]) for layer in train}

    as_they_are = dict.fromkeys(train, torch.tensor([[-1.0], [1.0]]))  # mean 0, deviation 1
    mistakes = [
        (table(train, train, y), "on the training images. Measure on the validation ones."),
        (table(val), "after standardising with validation statistics. Use those of the training images."),
        (table(as_they_are), "without standardising. Give every channel mean 0 and deviation 1 first."),
    ]
    mistakes = [(other, f"These are the accuracies {message}") for other, message in mistakes]
    tolerance = 1.5 / len(val_y)  # one image may lie on a border, or the deviation divide by n − 1
    if problem := explain("accuracies", accuracies, table(train), mistakes, tolerance):
        return problem
    if type(name) is not str or name not in train:
        return f"The layer is to be one of the names {list(train)}."
    if float(accuracies[name]) < max(map(float, accuracies.values())):
        return "The accuracies are right, but the layer is not the one that has the highest."
    return None


def _accuracy(x, y, query, labels, reference):
    mean, std = reference.double().mean(dim=0), reference.double().std(dim=0, correction=0)
    x, query = (x - mean) / std, (query - mean) / std
    centres = torch.stack([x[y == c].mean(dim=0) for c in y.unique()])
    return (torch.cdist(query, centres).argmin(dim=1) == labels).double().mean().item()
