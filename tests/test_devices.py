"""Training on a GPU: everything that is computed beside the model follows it there, and home again."""

import pytest
import torch

from tlcourse import adapt, data, models, training

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def make_penalty(name, model, images):
    if name == "L2-SP":
        return training.l2_sp(model, 0.1)
    if name == "EWC":
        return training.ewc(model, training.fisher_diagonal(model, images, samples=8), 10.0)
    if name == "rehearsal":
        return training.rehearsal(model, images)
    if name == "BSS":
        return training.bss(model)
    return training.joint_loss(images)


@pytest.mark.parametrize("name", ["L2-SP", "EWC", "rehearsal", "BSS", "joint loss"])
def test_a_penalty_made_on_the_cpu_trains_on_the_gpu(name, few):
    model = models.load("digits-rendered")
    penalty = make_penalty(name, model, data.glyphs(60, "digits", seed=3))
    training.fit(model, few, epochs=2, lr=1e-3, penalty=penalty, device="cuda")
    assert next(model.parameters()).device.type == "cpu"
    assert training.evaluate(model, few) > 0.3


def test_the_parameters_of_a_method_come_home_with_the_model():
    model, method = models.load("digits-rendered"), adapt.DANN(128)
    source, target = data.glyphs(60, "digits", seed=3), data.digits("train")[:60]
    adapt.train_adapted(model, source, target, method=method, steps=3, lr=1e-3, batch_size=16)
    assert {p.device.type for p in [*model.parameters(), *method.parameters()]} == {"cpu"}


def test_a_network_that_stays_on_the_gpu_reads_images_from_the_cpu(few):
    model = models.load("digits-rendered").cuda()
    on_cpu = models.load("digits-rendered")
    assert training.evaluate(model, few) == pytest.approx(training.evaluate(on_cpu, few), abs=0.05)
    features = training.extract_features(model, few)
    torch.testing.assert_close(features, training.extract_features(on_cpu, few), atol=0.05, rtol=0.05)
    with pytest.raises(ValueError, match="cuda"):
        model(few.x)


@pytest.mark.parametrize("error", [None, RuntimeError])
def test_batches_follow_the_model_to_the_gpu_and_it_comes_home_whatever_happens(error):
    model, seen = torch.nn.Linear(2, 1), []
    before = model.weight.detach().clone()

    def loss(network, batch):
        seen.append({tensor.device.type for tensor in (batch["x"][0], network.weight)})
        if error is not None:
            raise error
        return network(batch["x"][0]).square().mean()

    try:
        training.train(model, [{"x": [torch.ones(3, 2)]}], loss, steps=2, lr=0.1, device="cuda")
    except RuntimeError:
        assert error is not None and torch.equal(model.weight, before)
    assert seen[0] == {"cuda"} and model.weight.device.type == "cpu"
