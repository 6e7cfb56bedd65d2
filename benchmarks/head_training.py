"""A new head for a ResNet-18 at 224 px: the loop of the well-known tutorial against features that are computed once.

244 training and 153 validation images, as in PyTorch's transfer-learning tutorial (its part "ConvNet as fixed feature
extractor"): batches of 4, SGD with momentum, 25 epochs with augmentation, the network in training mode, validation after
each epoch, the best of the 25 kept. Ours is `extract_features` and a logistic regression, the best of seven strengths kept by
the same validation images: without augmentation, as a cache implies, and with the image and one augmented view of it,
the middle way. The images are grey crops of scikit-learn's two
photographs under random light, and the network has stand-in weights (random, with BatchNorm statistics of such crops)
unless ImageNet's lie in the cache: both sides get the same, and time does not depend on what is in them.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
import torchvision
from sklearn.datasets import load_sample_images
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm import tqdm

from benchmarks import _report
from tlcourse import data, models, training

SIZES = {"train": 244, "val": 153}
NORMALISE = v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
VIEWS = (1, 2)
STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def write_photos(folder, seed):
    """Save crops of the two photographs as JPEG files, in ImageFolder's layout; no crop of one set overlaps the other's."""
    generator = torch.Generator().manual_seed(seed)
    photos = [torch.from_numpy(photo.copy()).permute(2, 0, 1) for photo in load_sample_images().images]
    for split, count in SIZES.items():
        left_edge = {"train": 0, "val": 340}[split]  # the photographs are 640 wide
        for i in range(count):
            label = i % 2
            side = int(torch.randint(90, 200, (1,), generator=generator))
            top = int(torch.randint(photos[label].shape[1] - side, (1,), generator=generator))
            left = left_edge + int(torch.randint(300 - side, (1,), generator=generator))
            crop = photos[label][:, top : top + side, left : left + side].float().mean(dim=0, keepdim=True)
            light, contrast = torch.rand(2, generator=generator)
            crop = (crop - crop.mean()) / (crop.std() + 1) * (15 + 35 * contrast) + 60 + 130 * light
            crop = v2.functional.resize(crop.expand(3, -1, -1), [256, 256], antialias=True).clamp(0, 255).byte()
            path = Path(folder) / split / ("building", "flower")[label] / f"{i}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            torchvision.io.write_jpeg(crop, str(path), quality=92)


def load_network():
    """ResNet-18 with ImageNet's weights if they are cached, else with stand-in weights; and which of the two."""
    try:
        return models.load("ResNet18_Weights.IMAGENET1K_V1"), "ImageNet weights"
    except ConnectionError:
        torch.manual_seed(0)
        return torchvision.models.resnet18(weights=None), "stand-in weights"


def calibrate(network, images):
    """Give a random network the BatchNorm statistics of some images, without which its activations grow with depth."""
    network.train()
    with torch.no_grad():
        for _ in range(10):
            network(NORMALISE(images.x[:24, :, 16:240, 16:240]))
    return network.eval()


def tutorial(folder, network, epochs):
    """The tutorial's loop -> (seconds, validation accuracy of the best epoch)."""
    augment = v2.Compose(
        [
            v2.PILToTensor(),
            v2.RandomResizedCrop(224),
            v2.RandomHorizontalFlip(),
            v2.ToDtype(torch.float32, scale=True),
            NORMALISE,
        ]
    )
    plain = v2.Compose(
        [v2.PILToTensor(), v2.Resize(256), v2.CenterCrop(224), v2.ToDtype(torch.float32, scale=True), NORMALISE]
    )
    started = time.perf_counter()
    loaders = {
        split: torch.utils.data.DataLoader(
            ImageFolder(Path(folder) / split, transform), batch_size=4, shuffle=True, num_workers=2
        )
        for split, transform in (("train", augment), ("val", plain))
    }
    network.requires_grad_(False)
    network.fc = nn.Linear(512, 2)
    optimizer = torch.optim.SGD(network.fc.parameters(), lr=0.001, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=7, gamma=0.1)
    best = 0.0
    for _ in range(epochs):
        network.train()
        for x, y in loaders["train"]:
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x), y).backward()
            optimizer.step()
        scheduler.step()
        network.eval()
        with torch.no_grad():
            right = sum((network(x).argmax(dim=1) == y).sum().item() for x, y in loaders["val"])
        best = max(best, right / SIZES["val"])
    return time.perf_counter() - started, best


def cached(folder, network, views):
    """Features once, then heads -> (seconds, validation accuracy of the best head)."""
    started = time.perf_counter()
    train, val = (data.folder(Path(folder) / split, side=256) for split in ("train", "val"))
    centre = v2.Compose([v2.CenterCrop(224), NORMALISE])
    augment = v2.Compose([v2.RandomResizedCrop(224), v2.RandomHorizontalFlip(), NORMALISE])
    features = training.extract_features(network, train, transform=centre, batch_size=32)
    if views > 1:
        augmented = training.extract_features(
            network,
            train,
            transform=lambda batch: torch.stack([augment(image) for image in batch]),  # a draw for each image
            views=views - 1,
            batch_size=32,
        )
        features = torch.cat([features, augmented])
    on_val = training.extract_features(network, val, transform=centre, batch_size=32)
    labels = train.y.repeat(views)
    reached = max(training.fit_head(features, labels, strength).score(on_val, val.y) for strength in STRENGTHS)
    return time.perf_counter() - started, reached


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m benchmarks head_training", description=__doc__)
    parser.add_argument("--epochs", type=int, default=25, help="of the tutorial's loop; 25 is its own number")
    parser.add_argument("--pairs", type=int, default=2, help="repeat tutorial, ours, tutorial, ours, …")
    parser.add_argument("--quick", action="store_true", help="one epoch of the tutorial's loop, two pairs")
    options = parser.parse_args(arguments)
    epochs, pairs = (1, 2) if options.quick else (options.epochs, options.pairs)
    works = {"tutorial": lambda folder, network: tutorial(folder, network, epochs)}
    for views in VIEWS:
        works[f"cached, {views} view{'s' * (views > 1)}"] = lambda folder, network, views=views: cached(
            folder, network, views
        )
    runs = {name: [] for name in works}
    with tempfile.TemporaryDirectory() as folder:
        for seed in tqdm(range(pairs), disable=None):
            write_photos(folder, seed)
            photos = data.folder(Path(folder) / "train", side=256)
            for name, work in works.items():
                network, weights = load_network()
                network = calibrate(network, photos[torch.randperm(len(photos))]) if "stand-in" in weights else network
                runs[name].append(work(folder, network))
    seconds = {name: [run[0] for run in runs[name]] for name in runs}
    peer = f"the tutorial's loop, {epochs} epoch{'s' * (epochs > 1)}"
    rows = [_report.row(f"a new head, {name}", peer, seconds[name], seconds["tutorial"]) for name in list(works)[1:]]
    notes = [
        f"{name}: validation accuracy {' and '.join(f'{run[1]:.3f}' for run in runs[name])}, {weights}" for name in runs
    ]
    return _report.report("head_training", rows, ["torchvision", "scikit-learn"], notes=notes)
