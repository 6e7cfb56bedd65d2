"""LEEP's logarithm for each image, before the mean."""

import numpy as np
import torch
from scipy.special import expit, softmax

from tlcourse.checks.compare import as_array, explain
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "07.1", "LEEP, image by image", 5, "log_expected_predictions", 2
_NOT_FINITE = {
    "plain": "It is not finite: the logarithm of something that is no probability. Turn the logits into probabilities first.",
    "empty class": "A source class that gets no probability from any image makes it NaN: its P(y|z) is 0/0. Nothing goes by way of it, so let P(y|z) be 0 there.",
    "large": "It is not finite once the logits are large: exp overflows. Subtract each row's maximum first, or call softmax.",
}


def cases(rng):
    for kind, n, source_classes, classes in (("plain", 24, 6, 3), ("empty class", 30, 7, 4), ("large", 40, 5, 3)):
        labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
        pull = rng.normal(size=(classes, source_classes))[labels]
        logits = pull + 1.5 * rng.normal(size=(n, source_classes))
        if kind == "empty class":
            logits[:, rng.integers(source_classes)] = -1000.0
        if kind == "large":
            logits += rng.choice((-1000.0, 500.0, 1000.0), size=(n, 1))
        yield Case((torch.tensor(logits, dtype=torch.float32), torch.tensor(labels)), {"kind": kind})


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def verify(case, output):
    logits, labels = case.inputs[0].double().numpy(), case.inputs[1].numpy()
    n, array = len(labels), as_array(output)
    if array is not None and array.shape == ():
        return f"That is one number. LEEP is the mean of the {n} that are asked for: return them before the mean."
    if array is not None and array.shape == (n,) and not np.isfinite(array).all():
        return _NOT_FINITE[case.truth["kind"]]
    probs = softmax(logits, axis=1)
    hardest, by_image = np.eye(probs.shape[1])[probs.argmax(axis=1)], softmax(logits, axis=0)
    inside = (probs * np.log(np.maximum(_given(_joint(probs, labels))[labels], 1e-300))).sum(axis=1)

    def log(probs, condition=_given):
        return np.log(expect(probs, labels, condition))

    right, by_label = log(probs), log(probs, lambda joint: joint / joint.sum(axis=1, keepdims=True))
    others = [
        (np.exp(right), "Those are the expected predictions themselves. Take the logarithm of each."),
        (log(hardest), "You use only the most likely source class. That is NCE; LEEP weighs all source classes."),
        (log(by_image), "The softmax runs over the images. The probabilities of each image sum to 1: each row."),
        (log(np.exp(logits)), "The rows of the probabilities do not sum to 1. Divide by their sum: softmax."),
        (log(expit(logits)), "A sigmoid of each logit makes rows that do not sum to 1. Take the softmax."),
        (log(probs, lambda joint: joint), "You average the joint P(y, z). Divide it by P(z) to get P(y|z)."),
        (by_label, "You divide by P(y), which gives P(z|y). Divide the joint by P(z), its sum over the labels."),
        (inside, "The logarithm stands inside the sum over z. Sum the probabilities first."),
    ]
    return explain("output", output, right, others, 1e-4)


def _joint(probs, labels):
    return np.eye(labels.max() + 1)[labels].T @ probs / len(labels)


def _given(joint):
    """P(y|z) from P(y, z); 0 where P(z) is."""
    return joint / np.maximum(joint.sum(axis=0), 1e-300)


def expect(probs, labels, condition=_given):
    """For each image, the sum over z of p(z|x) · P(y|z) at its own label y."""
    return (probs * condition(_joint(probs, labels))[labels]).sum(axis=1)
