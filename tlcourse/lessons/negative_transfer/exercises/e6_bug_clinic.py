"""Fix a script that measures the gap unfairly: both arms start alike, train alike and are tuned alike."""

import numpy as np
import torch
import torch.nn.functional as F

from tlcourse.checks.compare import as_array, differs, explain, misfit, name_mistake, project, same_tensors
from tlcourse.checks.spec import Case
from tlcourse.checks.toolkit import draw_images
from tlcourse.lessons.negative_transfer.exercises.e4_gate import USED_UP, WRONG_SIGN
from tlcourse.lessons.negative_transfer.observers import RATES, STEPS, clinic_model
from tlcourse.training import extract_features

ID, TITLE, POINTS, ENTRY_POINT, SECONDS = "04.6", "Bug clinic", 6, "measure_gap", 10


def cases(rng):
    """On validation one rate is the best, on test another, in both arms; and between the best the source helps."""
    rates = (([1, 2], [2, 0]), ([2, 1], [1, 0]))  # the numbers of two rates: with the source, without it
    return [_draw_case(rng, best, lucky) for best, lucky in rates]


def verify(case, seen):
    if seen is None:
        return "Return three things: the gap, and for each arm a pair (learning rate, network), that with the source first."
    seed, *arrays = case.inputs
    model = clinic_model(seed)
    given = project(model)["state"]
    if not same_tensors(seen["given"], given):
        return "The network that you were given was changed. Every trial trains a copy.deepcopy of it."
    source, target, val, test = ((_features(model, x), y) for x, y in zip(arrays[::2], arrays[1::2]))
    body = {key: value for key, value in given.items() if not key.startswith("fc.")}
    start = _head(model)
    heads = _train_arms(start, source, target)
    on_val, on_test = (((x @ heads.mT).argmax(dim=-1) != y).double().mean(dim=2) for x, y in (val, test))
    chosen = []
    for arm, (lr, state) in enumerate(zip(seen["rates"], seen["states"])):
        name = f"The arm {('with', 'without')[arm]} the source"
        if state.keys() != given.keys() or not same_tensors({key: state[key] for key in body}, body):
            return f"{name}: its body changed. Only the head trains, in evaluation mode."
        if misfit("lr", lr, ()) or float(as_array(lr)) not in RATES:
            return f"{name}: the learning rate is to be one of {list(RATES)}."
        i = RATES.index(float(as_array(lr)))
        got, right = [state["fc.weight"], state["fc.bias"]], _layer(heads[arm, i])
        others = [(_layer(head), m) for head, m in _mistakes(arm, i, start, heads, source, target, val)]
        problem = f"its head is not what {STEPS} steps at lr {RATES[i]} make of the head you were given. Both arms start from that head, and every trial does."
        if problem := explain("head", got, right, others, 1e-3, problem):
            return f"{name}: {problem}"
        if on_val[arm, i] > on_val[arm].min() + 1.5 / len(val[1]):  # an image may lie on a border
            if on_test[arm, i] == on_test[arm].min():
                return f"{name}: this is the best rate on the test images. Choose on validation, in both arms."
            return f"{name}: another rate has a lower risk on validation. Both arms are tuned, and in the same way."
        chosen.append(i)
    val_gap, gap = (risks[0, chosen[0]] - risks[1, chosen[1]] for risks in (on_val, on_test))
    if not differs("gap", seen["gap"], gap, 2.5 / len(test[1])):
        return None
    problem = (
        "The gap is not that of the two returned networks: share of wrong test images with the source minus without."
    )
    return name_mistake(seen["gap"], [(-gap, WRONG_SIGN), (val_gap, USED_UP)], problem)


def _draw_case(rng, best, lucky):
    while True:
        seed = int(rng.integers(2**31))
        model = clinic_model(seed)
        y, clean_y, pool_y = (torch.tensor(rng.permutation(np.resize(np.arange(4), n))) for n in (8, 16, 160))
        x, source_x, pool = (_draw_images_of(rng, labels) for labels in (y, clean_y, pool_y))
        on_x, on_source, on_pool = (_features(model, images) for images in (x, source_x, pool))
        for _ in range(10):
            wrong = torch.tensor(rng.uniform(size=16) < 0.4)
            source_y = torch.where(wrong, torch.tensor(rng.integers(4, size=16)), clean_y)
            heads = _train_arms(_head(model), (on_source, source_y), (on_x, y))
            read = (on_pool @ heads.mT).argmax(dim=-1)
            val, val_y, _, ahead = _pick_images(read[..., :80], best)
            test, test_y, right, ahead_on_test = _pick_images(read[..., 80:], lucky)
            if ahead >= 3 and ahead_on_test >= 1 and right[0, best[0]] >= right[1, best[1]] + 4:
                return Case((seed, source_x, source_y, x, y, pool[:80][val], val_y, pool[80:][test], test_y))


def _draw_images_of(rng, labels):
    x = draw_images(rng, len(labels))
    x[torch.arange(len(labels)), labels % 3] *= 0.3  # something to learn
    x[labels == 3] *= 0.5
    return x


def _pick_images(read, wanted):
    """Choose 40 images and labels that a wanted rate of each arm reads best, from the class that each reads (2, rates, n).

    Returns the images' places, their labels, how many each arm reads right at each rate (2, rates), and by how many the
    wanted rates are ahead at least.
    """
    is_wanted = F.one_hot(torch.tensor(wanted), len(RATES))
    kept, labels = [], []
    for focus in range(2):  # half of the images tell the rates of one arm apart, half those of the other
        strength = (3 * is_wanted - 1) * torch.tensor([[1.0], [0.4]]).roll(focus, 0)
        votes = sum((strength[:, :, None, None] * F.one_hot(read, 4)).flatten(0, 1))  # in this order, so ties stay ties
        votes[kept] = -torch.inf
        value, names = votes.max(dim=1)
        kept += value.argsort(descending=True, stable=True)[:20].tolist()
        labels += names[kept[-20:]].tolist()
    labels = torch.tensor(labels)
    right = (read[..., kept] == labels).sum(dim=2)
    ahead = right[is_wanted == 1][:, None] - right
    return kept, labels, right, ahead[is_wanted == 0].min()


# A head is one matrix (classes, features + 1): the bias is the weight of a feature that is always 1.


def _head(model):
    return torch.cat([model.fc.weight.detach(), model.fc.bias.detach()[:, None]], dim=1)


def _layer(head):
    return [head[:, :-1], head[:, -1]]


def _features(model, x):
    return F.pad(extract_features(model, x), (0, 1), value=1.0)


def _train(head, sets, lr, steps=STEPS):
    """The head after gradient descent on the sum of the mean cross-entropies of some (features, labels)."""
    for _ in range(steps):
        head = head - lr * sum(((x @ head.mT).softmax(dim=-1) - F.one_hot(y, 4)).mT @ x / len(y) for x, y in sets)
    return head


def _train_arms(start, source, target):
    """The heads of both arms at every rate, (2, rates, classes, features + 1), as the task says."""
    rates = torch.tensor(RATES)[:, None, None]
    return torch.stack([_train(start, sets, rates) for sets in ([target, source], [target])])


def _mistakes(arm, i, start, heads, source, target, val):
    """What likely mistakes make of the head of an arm, and the message to each."""
    both, more = (tuple(map(torch.cat, zip(target, images))) for images in (source, val))
    own, lr = ([target, source], [target])[arm], RATES[i]
    extra = "it learned from the validation images as well. Both arms get the same labelled images."
    alone = "it trained on the source alone. It gets the target's images as well."
    one_mean = "its loss is one mean over all images. It is the sum of two means, one for each set."
    chained = "it starts from the network that the source has trained. Both arms start from the one you were given."
    found = [
        *((_train(start, own, lr, n), f"it takes {n} steps. Both arms take {STEPS}.") for n in (2 * STEPS, 3 * STEPS)),
        (heads[1 - arm, i], ("it never saw the source.", "it trained on the source.")[arm]),
        (_train(start, [more, *own[1:]], lr), extra),
    ]
    if arm == 0:
        return [*found, (_train(start, [source], lr), alone), (_train(start, [both], lr), one_mean)]
    return [*found, *((_train(head, own, lr), chained) for head in heads[0])]
