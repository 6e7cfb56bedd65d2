"""The one training loop: what stood on loops of its own trains as it did, and any network, batch and loss will do."""

import copy
import math
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from tlcourse import adapt, data, models, training

# Of short runs at commit b203324, when each of the three had a loop of its own: losses, then norms of weights.
BEFORE = {
    "fit": (
        [4.88995, 4.43262, 4.10827, 2.33652, 2.03936, 1.95821],
        [2.68376, 10.2231, 16.9652, 1.81772, 1.76889],
    ),
    "range test": ([2.74945, 2.70953, 2.68923, 2.527, 2.39133, 2.20328, 1.90009, 2.15121], [0.00053367]),
    "train_adapted": (
        [3.03814, 3.09243, 3.14305, 2.57557, 2.53963, 2.19287],
        [2.6831, 10.2255, 16.9659, 1.82107, 1.69862],
    ),
}
SOURCE, TARGET = data.glyphs(60, "digits", seed=3), data.digits("train")[:60]


def measure_weights(model):
    names = ("conv1", "layer2.0.conv1", "layer3.0.bn2", "fc")
    norms = [model.get_submodule(name).weight.norm().item() for name in names]
    return [*norms, model.bn1.running_var.sum().item()]


def run_fit(model, few):
    history = training.fit(
        model,
        few,
        data.digits("val"),
        epochs=3,
        lr=1e-3,
        batch_size=8,
        seed=5,
        lr_scale=training.layer_decay(model, 0.4),
        penalty=training.joint_loss(SOURCE, batch_size=10, seed=2),
        augment=lambda x: x + 0.01 * torch.randn_like(x),
    )
    return history["train_loss"] + history["val_loss"], measure_weights(model)


def run_range_test(model, few):
    found = training.lr_range_test(model, few, steps=12, batch_size=8, seed=3)
    return found.losses[:8], [found.suggested]


def run_train_adapted(model, few):
    options = {"method": adapt.DANN(128, seed=1), "apart": True, "schedule": "one-cycle"}
    history = adapt.train_adapted(model, SOURCE, TARGET, steps=6, lr=1e-3, batch_size=16, seed=9, **options)
    return [row["source_loss"] + row["method_loss"] for row in history], measure_weights(model)


@pytest.mark.parametrize(
    "name, run", [("fit", run_fit), ("range test", run_range_test), ("train_adapted", run_train_adapted)]
)
def test_a_short_run_gives_what_it_gave_on_a_loop_of_its_own(name, run, one_cpu_thread):
    found = run(models.load("letters", num_classes=10, seed=3), data.few_shot(data.digits("train"), 3, seed=1))
    for now, before in zip(found, BEFORE[name], strict=True):
        assert now == pytest.approx(before, rel=1e-4)


class Small(nn.Module):
    """Two inputs, two classes, a BatchNorm whose statistics move, and dropout that draws."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.2), nn.Linear(8, 2))

    def forward(self, x):
        return self.layers(x)


def make_small():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Small()


def draw_points(count=None):
    while count is None or count > 0:
        x = torch.randn(16, 2)
        yield x, (x[:, 0] > x[:, 1]).long()
        count = None if count is None else count - 1


def loss_on_points(model, batch):
    x, y = batch
    return F.cross_entropy(model(x), y)


def state_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def break_gradient(parameter):
    """Zero, with a gradient that is not a number."""
    return (parameter.sum() * 0).sqrt()


def test_it_learns_returns_the_loss_of_each_step_and_leaves_eval_mode():
    model = make_small()
    losses = training.train(model, draw_points(), loss_on_points, steps=80, lr=0.05)
    assert len(losses) == 80 and sum(losses[-10:]) < sum(losses[:10]) / 2
    assert not model.training and all(parameter.grad is None for parameter in model.parameters())


def test_batches_and_dropout_follow_the_seed_and_the_global_random_state_is_put_back():
    states = []
    for seed, outside in ((1, 5), (1, 6), (2, 5)):
        torch.manual_seed(outside)
        expected = torch.rand(3)
        torch.manual_seed(outside)
        model = make_small()
        training.train(model, draw_points(), loss_on_points, steps=3, lr=0.05, seed=seed)
        assert torch.equal(torch.rand(3), expected)
        states.append(state_of(model))
    assert same(states[0], states[1]) and not same(states[0], states[2])


def test_train_adapted_with_dropout_follows_its_seed_alone():
    states = []
    for outside in (5, 6):
        torch.manual_seed(outside)
        model = models.load("digits-rendered")
        model.fc = nn.Sequential(nn.Dropout(0.5), model.fc)
        adapt.train_adapted(model, SOURCE, TARGET, method=adapt.deep_coral, steps=2, lr=1e-3, batch_size=8)
        states.append(state_of(model))
    assert same(*states)


class Pair(NamedTuple):
    x: torch.Tensor
    name: str


@pytest.mark.parametrize(
    "batch, read",
    [
        (torch.ones(4, 2), lambda batch: batch),
        ((torch.ones(4, 2), "a"), lambda batch: batch[0]),
        ([{"x": torch.ones(4, 2)}, 3], lambda batch: batch[0]["x"]),
        ({"inputs": (torch.ones(4, 2), None)}, lambda batch: batch["inputs"][0]),
        (Pair(torch.ones(4, 2), "a"), lambda batch: batch.x),
        (7, lambda batch: torch.full((4, 2), float(batch))),
    ],
    ids=["tensor", "tuple", "list", "dict", "named tuple", "number"],
)
def test_a_batch_may_be_anything(batch, read):
    kinds = set()

    def loss(model, now):
        kinds.add(type(now))
        return model(read(now)).square().mean()

    assert len(training.train(make_small(), [batch], loss, steps=3, lr=0.01)) == 3  # the list begins again
    assert kinds == {type(batch)}


def test_a_data_loader_begins_again_with_a_new_order(few):
    seen = []

    def loss(model, batch):
        x, y = batch
        seen.append(y.tolist())
        return F.cross_entropy(model(x), y)

    loader = DataLoader(few, batch_size=25, shuffle=True)
    training.train(models.load("letters", num_classes=10), loader, loss, steps=4, lr=1e-3)
    passes = [seen[0] + seen[1], seen[2] + seen[3]]
    assert [sorted(labels) for labels in passes] == [sorted(few.y.tolist())] * 2 and passes[0] != passes[1]


def test_batches_that_end_and_cannot_begin_again_are_named_and_undone():
    model = make_small()
    before = state_of(model)
    with pytest.raises(ValueError, match="batches: there are none left"):
        training.train(model, draw_points(2), loss_on_points, steps=3, lr=0.01)
    assert same(state_of(model), before)


def test_a_schedule_may_be_a_function_of_the_step(monkeypatch):
    rates, real = [], torch.optim.AdamW.step

    def step(optimizer, *args):
        rates.append(optimizer.param_groups[0]["lr"])
        return real(optimizer, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    training.train(make_small(), draw_points(), loss_on_points, steps=4, lr=0.5, schedule=lambda done: 0.1**done)
    assert rates == pytest.approx([0.5, 0.05, 0.005, 0.0005])


def test_clip_scales_a_long_gradient_down_and_leaves_a_short_one(monkeypatch):
    lengths, real = [], torch.optim.AdamW.step

    def step(optimizer, *args):
        gradients = [parameter.grad for parameter in optimizer.param_groups[0]["params"]]
        lengths.append(torch.cat([gradient.flatten() for gradient in gradients]).norm().item())
        return real(optimizer, *args)

    def loss(model, batch):
        return 1000 * loss_on_points(model, batch)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    for clip in (None, 0.5, 1e6):
        training.train(make_small(), draw_points(), loss, steps=1, lr=1e-3, clip=clip)
    whole, clipped, untouched = lengths
    assert whole == untouched > 50 and clipped == pytest.approx(0.5, rel=1e-3)


def test_after_step_counts_and_ends_the_run_by_stop_iteration():
    steps = []

    def after_step(done):
        steps.append(done)
        if done == 3:
            raise StopIteration

    model = make_small()
    assert len(training.train(model, draw_points(), loss_on_points, steps=9, lr=0.01, after_step=after_step)) == 3
    assert steps == [1, 2, 3] and not model.training
    options = {"steps": 9, "lr": 1e-3, "batch_size": 4, "after_step": after_step}
    assert len(adapt.train_adapted(models.load("digits-rendered"), SOURCE, TARGET, **options)) == 3


@pytest.mark.parametrize("where", ["loss", "gradient"])
@pytest.mark.parametrize("mode", [True, False])
def test_what_is_not_finite_in_the_last_step_ends_the_run_and_all_is_as_before(where, mode):
    model = make_small().train(mode)
    model.layers[1].eval()
    before, done = state_of(model), []

    def loss(network, batch):
        value = loss_on_points(network, batch)
        if len(done) == 4:
            value = value * math.nan if where == "loss" else value + break_gradient(network.layers[0].weight)
        return value

    with pytest.raises(FloatingPointError, match=f"the {where} became nan in step 4; lower lr"):
        training.train(model, draw_points(), loss, steps=5, lr=0.05, after_step=done.append)
    assert len(done) == 4 and same(state_of(model), before)
    assert model.training == mode and not model.layers[1].training and model.layers[2].training == mode
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_gradient_that_is_not_a_number_in_the_last_step_of_fit_and_of_train_adapted(few):
    model = models.load("letters", num_classes=10).eval()
    before, steps = state_of(model), []

    def penalty(network):
        steps.append(1)
        return break_gradient(network.fc.weight) if len(steps) == 2 else network.fc.weight.sum() * 0

    with pytest.raises(FloatingPointError, match="gradient became nan in step 1"):
        training.fit(model, few, epochs=1, lr=1e-3, batch_size=25, penalty=penalty)
    assert same(state_of(model), before) and not model.training

    class Breaking(adapt.DANN):
        def forward(self, batch):
            value = super().forward(batch)
            return value + break_gradient(self.discriminator.layers[0].weight) if batch.progress == 0.5 else value

    method = Breaking(128)
    of_method = state_of(method)
    with pytest.raises(FloatingPointError, match="gradient became nan in step 1"):
        adapt.train_adapted(model, SOURCE, TARGET, method=method, steps=2, lr=1e-3, batch_size=8)
    assert same(state_of(model), before) and same(state_of(method), of_method) and method.training


@pytest.mark.parametrize("error, undone", [(RuntimeError, True), (KeyboardInterrupt, False)])
def test_an_error_in_the_loss_undoes_the_run_and_an_interrupt_keeps_what_was_learned(error, undone):
    model = make_small()
    before, seen = state_of(model), []

    def loss(network, batch):
        if len(seen) == 3:
            raise error("stop")
        seen.append(1)
        return loss_on_points(network, batch)

    with pytest.raises(error):
        training.train(model, draw_points(), loss, steps=9, lr=0.05)
    assert same(state_of(model), before) == undone
    assert model.training == undone  # as before, or in eval mode as after a run that was not cut short


@pytest.mark.parametrize(
    "change, error, named",
    [
        ({"steps": 0}, ValueError, "steps=0"),
        ({"lr": math.nan}, ValueError, "lr=nan"),
        ({"clip": 0}, ValueError, "clip=0"),
        ({"schedule": "step"}, ValueError, "schedule='step'"),
        ({"lr_scale": lambda name: 0}, ValueError, "lr_scale: gave 0 for every parameter"),
        ({"batches": []}, ValueError, "batches: there are none left"),
        ({"loss": lambda model, batch: model(batch[0])}, TypeError, r"loss: .*shape \(16, 2\).*\.mean\(\)"),
        ({"loss": lambda model, batch: loss_on_points(model, batch).item()}, TypeError, "got float"),
        ({"loss": lambda model, batch: loss_on_points(model, batch).detach()}, TypeError, "has a gradient"),
        ({"model": make_small().requires_grad_(False)}, ValueError, "every parameter is frozen"),
    ],
)
def test_a_bad_argument_is_named(change, error, named):
    arguments = {
        "model": make_small(),
        "batches": draw_points(),
        "loss": loss_on_points,
        "steps": 2,
        "lr": 0.01,
    } | change
    with pytest.raises(error, match=named):
        training.train(arguments.pop("model"), arguments.pop("batches"), arguments.pop("loss"), **arguments)


def make_pooled(outputs=10):
    """A network whose BatchNorm sees one value for each channel of an image."""
    pool = nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(pool, nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, outputs))


@pytest.mark.parametrize("batch_size", [49, 7, 1])
def test_a_batch_of_one_is_refused_before_the_first_step_where_batchnorm_cannot_take_it(few, batch_size):
    model = make_pooled()
    before = state_of(model)
    for train in (
        lambda network: training.fit(network, few, epochs=1, lr=1e-3, batch_size=batch_size),
        lambda network: training.lr_range_test(network, few, steps=60, batch_size=batch_size),
    ):
        with pytest.raises(ValueError, match=rf"batch_size={batch_size}: 50 images leave a batch of one.*another"):
            train(model)
        assert same(state_of(model), before) and model.training
        train(models.load("letters", num_classes=10))  # its BatchNorm has sixteen values or more
        train(training.freeze(copy.deepcopy(model), train=("3",)))  # held in eval mode
    training.fit(model, few, epochs=1, lr=1e-3, batch_size=batch_size + 1)
    assert training.lr_range_test(make_pooled(), few, steps=10, batch_size=4)


def test_a_range_test_that_ends_before_a_batch_of_one_is_not_refused(few):
    images = data.digits("train")[:81]
    assert len(training.lr_range_test(make_pooled(), images, steps=10, highest=1e-3, batch_size=8).lrs) == 10
    with pytest.raises(ValueError, match="81 images leave a batch of one"):
        training.lr_range_test(make_pooled(), images, steps=11, batch_size=8)


def test_batchnorm_is_adapted_to_301_images():
    model, images = make_pooled().eval(), data.digits("train")[:301]
    adapted = adapt.adapt_batchnorm(model, images)
    with torch.no_grad():
        features = model[0](images.x)
    torch.testing.assert_close(adapted[1].running_var, features.var(dim=(0, 2, 3)), rtol=1e-4, atol=1e-6)


def five(seed=0):
    return models.load("letters", num_classes=5, seed=seed)


NINE = data.digits("val")
MEETINGS = {
    "fit": ("train", lambda: training.fit(five(), NINE, epochs=1, lr=1e-3)),
    "fit, val": ("val", lambda: training.fit(five(), NINE[NINE.y < 5], NINE, epochs=1, lr=1e-3)),
    "evaluate": ("images", lambda: training.evaluate(five(), NINE)),
    "lr_range_test": ("train", lambda: training.lr_range_test(five(), NINE)),
    "joint_loss": ("source", lambda: training.joint_loss(NINE)(five())),
    "rehearsal": ("images", lambda: training.rehearsal(five(), NINE)),
    "train_adapted": ("source", lambda: adapt.train_adapted(five(), NINE, TARGET, steps=1, lr=1e-3)),
    "validate_unlabelled": ("source", lambda: adapt.validate_unlabelled(five(), NINE, TARGET)),
    "head only": ("train", lambda: training.STRATEGIES["head only"](five(), NINE, NINE, training.Budget(2, (1e-3,)))),
    "full, val": (
        "val",
        lambda: training.STRATEGIES["full"](five(), NINE[NINE.y < 5], NINE, training.Budget(2, (1e-3,))),
    ),
}


@pytest.mark.parametrize("meeting", MEETINGS)
def test_a_label_that_the_head_has_no_output_for_is_named_wherever_labels_meet_a_head(meeting):
    name, call = MEETINGS[meeting]
    with pytest.raises(ValueError, match=f"{name}: has label 9, but the head of the model has 5 outputs"):
        call()


def test_a_negative_label_is_named_too():
    images = data.Images(NINE.x.clone(), NINE.y.clone(), NINE.classes)
    images.y[3] = -100  # what cross-entropy would pass over without a word
    for call in (
        lambda: training.fit(models.load("letters", num_classes=10), images, epochs=1, lr=1e-3),
        lambda: training.evaluate(models.load("letters", num_classes=10), images),
    ):
        with pytest.raises(ValueError, match="has label -100, .* from 0 to 9"):
            call()


def test_a_language_model_trains_on_it():
    tokens = torch.tensor([ord(letter) % 32 for letter in "to be or not to be that is the question " * 8])

    def draw():
        while True:
            start = torch.randint(len(tokens) - 17, (8, 1)) + torch.arange(17)
            yield {"inputs": tokens[start[:, :-1]], "targets": tokens[start[:, 1:]]}

    def loss(model, batch):
        embedding, recurrent, head = model
        states, _ = recurrent(embedding(batch["inputs"]))
        return F.cross_entropy(head(states).flatten(0, 1), batch["targets"].flatten())

    model = nn.ModuleList([nn.Embedding(32, 16), nn.GRU(16, 32, batch_first=True), nn.Linear(32, 32)])
    losses = training.train(model, draw(), loss, steps=60, lr=0.02, clip=1.0)
    assert losses[0] > 3 and losses[-1] < 1.5


def test_a_detector_trains_on_lists_of_boxes():
    def draw():
        while True:
            boxes = [torch.randint(2, 12, (int(torch.randint(1, 3, ())), 2)) for _ in range(8)]
            images = torch.zeros(8, 1, 16, 16)
            for image, corners in zip(images, boxes, strict=True):
                for top, left in corners.tolist():
                    image[0, top : top + 4, left : left + 4] = 1
            yield images, boxes

    def loss(model, batch):
        images, boxes = batch
        scores = model(images)
        target = torch.zeros_like(scores)
        for place, corners in zip(target, boxes, strict=True):
            place[0, corners[:, 0], corners[:, 1]] = 1
        return F.binary_cross_entropy_with_logits(scores, target, pos_weight=torch.tensor(20.0))

    model = nn.Sequential(nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 1, 5, padding=2))
    losses = training.train(model, draw(), loss, steps=60, lr=0.02)
    assert sum(losses[-5:]) < sum(losses[:5]) / 3
