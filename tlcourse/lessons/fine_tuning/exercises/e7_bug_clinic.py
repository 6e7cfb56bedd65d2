"""Fix a script that chooses the learning rate of a new head."""

import torch
import torch.nn.functional as F

from tlcourse.checks.compare import differs, misfit, same_tensors
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.fine_tuning.observers import RATES, STEPS, build_script_network

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "03.7", "Bug clinic", 7, "tune_head", 10


def cases(rng):
    for best, lucky in ((0, 1), (2, 1)):
        seed = int(rng.integers(2**31))
        x, y = _draw(rng, 10)
        sets = []
        for count, rate in ((40, RATES[best]), (30, RATES[lucky])):  # validation and test
            images, noise = _draw(rng, count)
            # Labels that the network trained at this rate reads best, a fifth of them wrong: the right choice and the
            # choice on test are then two different rates in every case.
            labels = _tuned(seed, x, y, rate)(images).argmax(dim=1)
            wrong = torch.tensor(rng.uniform(size=count) < 0.2)
            sets += [images, torch.where(wrong, noise, labels)]
        yield Case((seed, x, y, *sets))


def _draw(rng, n):
    x, y = draw_images(rng, n), torch.tensor(rng.integers(5, size=n))
    x[torch.arange(n), y % 3] *= 0.3  # something to learn
    return x, y


def _tuned(seed, x, y, lr):
    """Train the head on the frozen body: full batch, plain gradient descent."""
    model = build_script_network(seed).eval().requires_grad_(False)
    model.fc.requires_grad_(True)
    optimizer = torch.optim.SGD(model.fc.parameters(), lr=lr)
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return model


def verify(case, seen):
    seed, x, y, val_x, val_y, test_x, test_y = case.inputs
    if seen is None:
        return "Return three things: the learning rate, the network, its test accuracy."
    start, state = build_script_network(seed).state_dict(), seen["state"]
    if not same_tensors(seen["given"], start):
        return "The network that you were given was changed. Train a copy.deepcopy of it."
    if state.keys() != start.keys():
        return "The network has other layers than the one you were given."

    def kept(names):
        return same_tensors({name: state[name] for name in names}, {name: start[name] for name in names})

    statistics = {name for name in start if "running" in name or "num_batches" in name}
    if not kept(statistics):
        return "BatchNorm's statistics moved: the frozen body ran in training mode."
    if not kept(start.keys() - statistics - {"fc.weight", "fc.bias"}):
        return "The weights of the body moved. Only the head is to be trained."
    if kept({"fc.weight"}):
        if kept({"fc.bias"}):
            return "The head did not move at all. Which parameters did the optimiser get, and when?"
        return "Only the bias of the head moved. Its weight is still frozen, or not in the optimiser."
    if misfit("lr", seen["lr"], ()) or float(seen["lr"]) not in RATES:
        return f"The learning rate is to be one of {list(RATES)}."
    lr = float(seen["lr"])
    networks = {rate: _tuned(seed, x, y, rate) for rate in RATES}
    head = {f"fc.{name}": value for name, value in networks[lr].fc.state_dict().items()}
    if differs("head", {name: state[name] for name in head}, head, 1e-3):
        return (
            f"The head is not what {STEPS} steps of plain gradient descent at lr {lr} make of it. Begin every trial "
            "from the network that you were given, with the loss on all training images at once."
        )
    on_val, on_test = (
        {rate: (network(images).argmax(dim=1) == labels).double().mean().item() for rate, network in networks.items()}
        for images, labels in ((val_x, val_y), (test_x, test_y))
    )
    if on_val[lr] < max(on_val.values()) - 1.5 / len(val_y):  # an image may lie on a border
        on_which = (
            "on the test images it is this one" if on_test[lr] == max(on_test.values()) else "measured in eval mode"
        )
        return (
            f"Another rate reads more validation images; {on_which}. Choose on validation, and begin every trial from the "
            "network that you were given."
        )
    if differs("accuracy", seen["accuracy"], on_test[lr], 1.5 / len(test_y)):
        return (
            "The accuracy is not that of the returned network on the test images, a number from 0 to 1, in eval mode."
        )
    return None
