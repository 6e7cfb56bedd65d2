"""Mend a script that trains a new head on letters features."""

import torch

from tlcourse import data, models
from tlcourse.checks.compare import as_array, misfit, same_tensors
from tlcourse.checks.spec import Case

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "01.5", "Bug clinic", 9, "transfer", 10
# No bundled network and no data set knows these, and which symbol has which number is drawn anew for each case.
_SYMBOLS = "#$%&@?!+=*<>~/"
_KINDS, _LABELLED, _QUERIES = 5, 4, 8  # symbols in a case; images of each with and without a label


def cases(rng):
    chosen = "".join(rng.permutation(list(_SYMBOLS))[:_KINDS])
    pool = data.glyphs(_KINDS * (_LABELLED + _QUERIES), classes=chosen, seed=int(rng.integers(2**31)))
    place = torch.argsort(pool.y, stable=True).view(_KINDS, -1)  # one row of positions per symbol
    labelled = torch.tensor(rng.permutation(place[:, :_LABELLED].flatten().numpy()))
    query = torch.tensor(rng.permutation(place[:, _LABELLED:].flatten().numpy()))
    return [Case((pool.x[labelled], pool.y[labelled], pool.x[query]), {"labels": pool.y[query]})]


def verify(case, seen):
    labels = case.truth["labels"]
    if problem := misfit("labels", seen["predicted"], labels.shape, kind="integers"):
        return f"{problem} Return one label per query image: look at the dimension of argmax."
    source, after = models.load("letters"), seen["source"]
    body = [(name, value) for name, value in source.state_dict().items() if not name.startswith("fc.")]
    moved = [name for name, value in body if not same_tensors({name: after.get(name)}, {name: value})]
    if any(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in moved):
        return "The source's BatchNorm statistics moved: it computed features in training mode."
    if moved:
        return "The weights of the body moved. Only the head is to be trained."
    weight, bias = after.get("fc.weight"), after.get("fc.bias")
    if misfit("fc.weight", weight, (_KINDS, 128)) or misfit("fc.bias", bias, (_KINDS,)):
        return f"source.fc is to be the trained head, from 128 features to {_KINDS} classes, with finite weights."
    predicted = torch.as_tensor(as_array(seen["predicted"]))
    accuracy = (predicted == labels).double().mean().item()
    if accuracy < 0.4:
        return (
            f"Accuracy {accuracy:.2f} on new images, far too low. Ask which parameters the optimiser holds, "
            "and whether images and labels stay in the same order."
        )
    source.fc = torch.nn.Linear(128, _KINDS)
    source.load_state_dict(after)
    with torch.inference_mode():
        own = source(case.inputs[2]).argmax(dim=1)
    if (own != predicted).sum() > 1:  # one image may lie on the border between two labels
        return "The labels are not what the frozen body gives with the head that you left in source.fc."
    if accuracy < 0.6:
        return f"Accuracy {accuracy:.2f} on new images; the mended script reaches more than 0.6. Train the head for longer."
    return None
