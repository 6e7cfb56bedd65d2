"""Deep CORAL, DAN and DANN beside skada's, and beside pytorch-adapt's where it is installed: accuracy, seconds per step.

The same network, images, number of steps, batch size, optimiser, schedule and weight of the loss. Every seed runs ours,
then the peers'. Where the peers' default differs in kind, both stand in the table: skada's DAN adds up 33 kernels of the
distance, so it also runs with a tenth of the weight; the domain classifier that skada makes for DANN ends in a softmax
over its one output, which is 1 whatever comes in, so skada's DANN also runs with our discriminator and a sigmoid. pytorch-adapt
passes the domains apart through BatchNorm and is compared with ours that does so; all others pass them together.

Needs the extra skada. pytorch-adapt 0.0.83 imports pkg_resources: pip install pytorch-adapt "setuptools<81".
"""

import argparse
import statistics
import time
import warnings
from importlib.util import find_spec

import numpy as np
import torch
from scipy.stats import ttest_rel
from skada import deep as skada
from skorch.callbacks import LRScheduler
from torch import nn
from tqdm import tqdm

from benchmarks import _report
from tlcourse import adapt, models, training
from tlcourse.lessons.domain_adaptation.experiment import BATCH, LR, adaptation_sets

EPOCHS, STEPS_OF_EPOCH = 3, 6000 // BATCH  # skada trains by epochs of whole batches
STEPS = EPOCHS * STEPS_OF_EPOCH


class ProbabilityOfDomain(nn.Module):
    """Our discriminator behind a reversal of full strength, as skada wants it: (n, 128) features → (n,) probabilities."""

    def __init__(self, seed):
        super().__init__()
        self.discriminator = adapt.DomainDiscriminator(128, seed=seed)

    def forward(self, features):
        return self.discriminator(adapt.grad_reverse(features)).sigmoid()


def run_ours(method, weight, apart=False):
    def run(source, target, seed):
        model = models.tiny_resnet(10, seed=seed)
        adapt.train_adapted(
            model,
            source,
            target,
            method=method(seed),
            weight=weight,
            apart=apart,
            steps=STEPS,
            lr=LR,
            schedule="one-cycle",
            batch_size=BATCH,
            seed=seed,
        )
        return model

    return run


def run_skada(method, weight, **options):
    def run(source, target, seed):
        torch.manual_seed(seed)
        made = {name: make(seed) for name, make in options.items()}
        schedule = LRScheduler(torch.optim.lr_scheduler.OneCycleLR, max_lr=LR, total_steps=STEPS, step_every="batch")
        net = method(
            models.tiny_resnet(10, seed=seed),
            layer_name="avgpool",
            reg=weight,
            max_epochs=EPOCHS,
            batch_size=BATCH,
            optimizer=torch.optim.AdamW,
            lr=LR,
            train_split=None,
            callbacks=[schedule],
            verbose=0,
            **made,
        )
        y = np.concatenate([source.y.numpy(), np.full(len(target), -1)])  # −1 masks a label
        domain = np.concatenate([np.full(len(source), 1), np.full(len(target), -2)])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the softmax without a dim warns at each step
            net.fit(torch.cat([source.x, target.x]).numpy(), y, sample_domain=domain)
        return net.module_.base_module_.eval()

    return run


def run_pytorch_adapt(make_hook, weights):
    def run(source, target, seed):
        from pytorch_adapt.weighters import MeanWeighter

        model = models.tiny_resnet(10, seed=seed).train()
        body = nn.Sequential(*(module for name, module in model.named_children() if name != "fc"), nn.Flatten())
        parts = {"G": body, "C": model.fc, "D": adapt.DomainDiscriminator(128, seed=seed)}
        optimizer = torch.optim.AdamW([p for part in parts.values() for p in part.parameters()], lr=LR)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, LR, total_steps=STEPS)
        hook = make_hook([optimizer], MeanWeighter(weights=weights))
        generator = torch.Generator().manual_seed(seed)
        for _ in range(STEPS):
            mine, other = (torch.randint(len(x), (BATCH,), generator=generator) for x in (source, target))
            images = {"src_imgs": source.x[mine], "src_labels": source.y[mine], "target_imgs": target.x[other]}
            hook({**parts, **images, "src_domain": torch.zeros(BATCH), "target_domain": torch.ones(BATCH)})
            scheduler.step()
        return model.eval()

    return run


def _coral_hook(optimizers, weighter):
    from pytorch_adapt.hooks import AlignerPlusCHook
    from pytorch_adapt.layers import CORALLoss

    return AlignerPlusCHook(opts=optimizers, loss_fn=CORALLoss(), weighter=weighter)


def _dann_hook(optimizers, weighter):
    from pytorch_adapt.hooks import DANNHook

    return DANNHook(opts=optimizers, weighter=weighter)


# Ours first, then the peers'. skada's losses of DANN are a sum over the domains where ours is a mean: half the weight.
RUNS = {
    "Deep CORAL": {
        "ours": run_ours(lambda seed: adapt.deep_coral, adapt.CORAL_WEIGHT),
        "ours, apart": run_ours(lambda seed: adapt.deep_coral, adapt.CORAL_WEIGHT, apart=True),
        "skada": run_skada(skada.DeepCoral, adapt.CORAL_WEIGHT),
    },
    "DAN": {
        "ours": run_ours(lambda seed: adapt.dan, 1.0),
        "skada": run_skada(skada.DAN, 1.0),
        "skada, weight 0.1": run_skada(skada.DAN, 0.1),
    },
    "DANN": {
        "ours": run_ours(lambda seed: adapt.DANN(128, seed=seed), 0.3),
        "ours, apart": run_ours(lambda seed: adapt.DANN(128, seed=seed), 0.3, apart=True),
        "skada": run_skada(skada.DANN, 0.15, num_features=lambda seed: 128),
        "skada, sigmoid": run_skada(skada.DANN, 0.15, domain_classifier=ProbabilityOfDomain),
    },
}
if find_spec("pytorch_adapt"):
    RUNS["Deep CORAL"]["pytorch-adapt"] = run_pytorch_adapt(
        _coral_hook, {"features_confusion_loss": adapt.CORAL_WEIGHT}
    )
    RUNS["DANN"]["pytorch-adapt"] = run_pytorch_adapt(_dann_hook, {"src_domain_loss": 0.15, "target_domain_loss": 0.15})


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks adaptation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--methods", nargs="+", default=list(RUNS), choices=RUNS)
    parser.add_argument("--quick", action="store_true", help="Deep CORAL alone, two seeds")
    options = parser.parse_args(arguments)
    methods, seeds = (["Deep CORAL"], 2) if options.quick else (options.methods, options.seeds)
    accuracy, took = {}, {}
    progress = tqdm(total=seeds * sum(len(RUNS[method]) for method in methods), disable=None)
    for method in methods:
        for seed in range(options.first, options.first + seeds):
            source, _, target, test = adaptation_sets("printed → handwritten", "closed", seed)
            for who, run in RUNS[method].items():
                start = time.perf_counter()
                model = run(source, target, seed)
                took.setdefault((method, who), []).append((time.perf_counter() - start) / STEPS * 1000)
                accuracy.setdefault((method, who), []).append(training.evaluate(model, test))
                progress.update()
    progress.close()
    rows = []
    notes = [f"accuracy, printed → handwritten, closed; {STEPS} steps of {BATCH} + {BATCH} images, {seeds} seeds:"]
    for method, who in accuracy:
        like = method, "ours, apart" if who == "pytorch-adapt" else "ours"
        compared = ""
        if not who.startswith("ours"):
            if seeds > 1:
                low, high = ttest_rel(accuracy[like], accuracy[method, who]).confidence_interval()
                compared = f"; ours less theirs {low:+.3f} to {high:+.3f} (95%)"
            rows.append(_report.row(f"a step of {method}", who, took[like], took[method, who], unit="ms"))
        notes.append(f"{method}, {who}: {statistics.mean(accuracy[method, who]):.3f}{compared}")
    peers = [name for name in ("skada", "skorch", "pytorch-adapt") if find_spec(name.replace("-", "_"))]
    return _report.report("adaptation", rows, peers, notes=notes)
