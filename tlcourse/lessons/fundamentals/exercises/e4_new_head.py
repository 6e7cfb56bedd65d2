"""Put a fresh head on a frozen copy of a network."""

import torch

from tlcourse.checks.compare import differs, same_tensors, short_name
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.fundamentals.observers import source_network, train_twice
from tlcourse.models import tiny_resnet

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "01.4", "A new head on a frozen body", 7, "transplant_head", 5


def cases(rng):
    for source_classes, classes in ((10, 10), (37, 3)):
        x, y = draw_images(rng, 4), torch.tensor(rng.integers(classes, size=4))
        yield Case((int(rng.integers(2**31)), source_classes, classes, x, y))


def verify(case, seen):
    seed, source_classes, classes, x, y = case.inputs
    untouched = source_network(seed, source_classes)
    source = untouched.state_dict()
    if seen["kind"] != "network":
        return f"Return the network; you returned {short_name(seen['kind'])}."
    if not same_tensors(seen["source"]["state"], source):
        return "The source network itself was changed. Work on a copy.deepcopy of it."
    if seen["source"]["trainable"] != sorted(name for name, _ in untouched.named_parameters()):
        return "The source network is frozen now too: yours shares parts with it. Work on a copy.deepcopy of it."
    model = seen["model"]
    state = model["state"]
    if state.keys() != source.keys():
        return "The network has other layers than the source. Replace fc and nothing else."
    weight, bias = state["fc.weight"], state["fc.bias"]
    if weight.shape != (classes, 128) or bias.shape != (classes,):
        return f"fc: want a linear layer from 128 features to {classes} classes, got weight {tuple(weight.shape)}."
    # A fresh row of 128 random weights is nowhere near an old one, nor near another new one.
    if torch.cdist(weight, source["fc.weight"], p=torch.inf).min() < 0.01:
        return "The head still has weights of the old one. The new classes are others: start from a fresh nn.Linear."
    if weight.std(dim=1).min() < 1e-3 or torch.pdist(weight, p=torch.inf).min() < 1e-3:
        return "Weights of the head are equal. A fresh nn.Linear is random."
    if not same_tensors(_body(state), _body(source)):
        return "The body is not the source's. Copy its weights and its BatchNorm statistics unchanged."
    if model["trainable"] != ["fc.bias", "fc.weight"]:
        if "fc.weight" not in model["trainable"]:
            return "The head is frozen. Put the new head on after you have frozen the rest, or thaw it."
        return "More than the head is trainable. Set requires_grad = False on every other parameter."
    if model["training"]:
        return "The network is in training mode. Call eval(), so that BatchNorm uses the source's statistics."
    rebuilt = tiny_resnet(classes)
    rebuilt.load_state_dict(state)
    rebuilt.eval().requires_grad_(False)
    rebuilt.fc.requires_grad_(True)
    if differs("logits", model["output"], rebuilt(x), 1e-4):
        return "The network does not compute what its weights say. Keep the forward pass of the source."
    train_twice(rebuilt, x, y)
    trained, wanted = seen["trained"], rebuilt.state_dict()
    if (wanted["fc.bias"] - bias).abs().max() < 1e-3:
        return "The head does not learn: its weights are far larger than those of a fresh nn.Linear."
    head = ("fc.weight", "fc.bias")
    if not same_tensors(_body(trained), _body(source)) or any(differs(n, trained[n], wanted[n], 1e-4) for n in head):
        return "Two steps of training moved something else than the head. Freeze the body and call eval()."
    return None


def _body(state):
    return {name: value for name, value in state.items() if not name.startswith("fc.")}
