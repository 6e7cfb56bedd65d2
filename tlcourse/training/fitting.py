"""The training loop of the course, and the accuracy that judges it."""

import copy
import math

import torch
import torch.nn.functional as F
from tqdm.auto import tqdm

from tlcourse.data.images import Images
from tlcourse.training.modes import evaluating


def fit(
    model,
    train,
    val=None,
    *,
    epochs,
    lr,
    batch_size=64,
    seed=0,
    schedule="one-cycle",
    weight_decay=0.01,
    augment=None,
    lr_scale=None,
    penalty=None,
    patience=None,
    device=None,
    progress=False,
):
    """Train a classifier in place with AdamW (Loshchilov and Hutter, 2019) and cross-entropy.

    Only parameters with requires_grad are trained, so freeze() first to train a head.

    Args:
        model: network from (b, 3, 32, 32) images to (b, classes) logits. It is left in eval mode.
        train: Images to learn from.
        val: Images to select on. If given, the weights of the epoch with the highest validation accuracy (the first
            of equals) are restored at the end.
        epochs: passes over the training images, at least 1.
        lr: the highest learning rate of the schedule, above 0.
        batch_size: images per step; the last batch of an epoch may be smaller.
        seed: draws the order of the images and the augmentation.
        schedule: "one-cycle" (Smith and Topin, 2019), "cosine" (Loshchilov and Hutter, 2017) or "constant".
        weight_decay: AdamW's decoupled weight decay.
        augment: a function from a batch of images to a batch of images, applied to training batches only.
        lr_scale: a function from a parameter's name to the factor of its learning rate, at least 0. By default all are 1.
        penalty: a function of the network that returns a tensor without dimensions to add to the loss of each step.
        patience: with val, stop after so many epochs without a higher validation accuracy; at least 1. The schedule is
            then not run to its end, so "constant" fits best.
        device: "cpu", "cuda", "mps" or a torch.device; by default the best present. Afterwards the model is
            back on the device that it came from, so that it takes images as they are.
        progress: show a progress bar over the epochs.

    Returns:
        dict of lists, one entry per epoch: "train_loss", "train_accuracy" (running, while the weights move), and with
        val "val_loss" and "val_accuracy"; and "best_epoch" (int, counted from 0) with val.

    Raises:
        ValueError: an argument out of range, nothing to train, labels that the head has no output for.
        FloatingPointError: the loss is not finite; the message says at which step. The model then holds the weights
            it had before training.
    """
    _check_arguments(model, train, val, epochs, lr, batch_size, patience)
    device = torch.device(device) if device is not None else pick_device()
    home = next(model.parameters()).device
    model.to(device, memory_format=torch.channels_last)  # 20% faster on a CPU
    optimizer = torch.optim.AdamW(_make_groups(model, lr, lr_scale), weight_decay=weight_decay)
    steps_per_epoch = math.ceil(len(train) / batch_size)
    scheduler = make_schedule(schedule, optimizer, epochs * steps_per_epoch)
    before = copy.deepcopy(model.state_dict())
    best, best_accuracy = None, -1.0
    history = {"train_loss": [], "train_accuracy": []}
    if val is not None:
        history |= {"val_loss": [], "val_accuracy": [], "best_epoch": 0}

    with torch.random.fork_rng(devices=[]):  # augmentation and dropout draw from the global state
        torch.manual_seed(seed)
        for epoch in tqdm(range(epochs), desc="epochs", disable=not progress, leave=False):
            model.train()
            loss_sum, correct = 0.0, 0
            for step, index in enumerate(torch.randperm(len(train)).split(batch_size)):
                x = train.x[index].to(device, memory_format=torch.channels_last)
                y = train.y[index].to(device)
                if augment is not None:
                    x = augment(x)
                logits = model(x)
                loss = F.cross_entropy(logits, y)
                if penalty is not None:
                    loss = loss + penalty(model)
                if not torch.isfinite(loss):
                    model.load_state_dict(before)
                    model.to(home).eval()
                    raise FloatingPointError(
                        f"the loss became {loss.item()} in epoch {epoch}, step {step}; lower lr (it is {lr}) or look for "
                        "NaN in the images. The weights are those from before training."
                    )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                scheduler.step()
                loss_sum += loss.item() * len(y)
                correct += (logits.argmax(1) == y).sum().item()
            history["train_loss"].append(loss_sum / len(train))
            history["train_accuracy"].append(correct / len(train))
            if val is not None:
                loss, accuracy = _loss_and_accuracy(model, val)
                history["val_loss"].append(loss)
                history["val_accuracy"].append(accuracy)
                if accuracy > best_accuracy:
                    best, best_accuracy = copy.deepcopy(model.state_dict()), accuracy
                    history["best_epoch"] = epoch
                if patience is not None and epoch - history["best_epoch"] >= patience:
                    break
    if best is not None:
        model.load_state_dict(best)
    model.to(home).eval()
    return history


def evaluate(model, images):
    """Accuracy of a classifier, a float in [0, 1].

    The network is measured in eval mode on the device it is on; its mode is put back afterwards.

    Args:
        model: network from (b, 3, 32, 32) images to (b, classes) logits.
        images: Images, at least one.

    Raises:
        TypeError: images is not Images.
        ValueError: images is empty.
    """
    return _loss_and_accuracy(model, images)[1]


def pick_device():
    """The best device present: CUDA, then Apple's MPS, then the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@torch.inference_mode()
def _loss_and_accuracy(model, images):
    if not isinstance(images, Images):
        raise TypeError(f"images: want Images, got {type(images).__name__}; build one with data.Images(x, y, classes)")
    if len(images) == 0:
        raise ValueError("images: there are none, so there is no accuracy; give at least one")
    device = next(model.parameters()).device
    loss, correct = 0.0, 0
    with evaluating(model):
        for x, y in zip(images.x.split(500), images.y.split(500), strict=True):
            x, y = x.to(device, memory_format=torch.channels_last), y.to(device)
            logits = model(x)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += (logits.argmax(1) == y).sum().item()
    return loss / len(images), correct / len(images)


def _make_groups(model, lr, lr_scale):
    """Parameter groups of an optimiser: the trainable parameters, those with the same learning rate together."""
    groups = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            scale = 1.0 if lr_scale is None else lr_scale(name)
            if not scale >= 0:
                raise ValueError(f"lr_scale: gave {scale} for {name}; want a factor of at least 0")
            groups.setdefault(scale, []).append(parameter)
    return [{"params": parameters, "lr": scale * lr} for scale, parameters in groups.items() if scale > 0]


def make_schedule(schedule, optimizer, steps):
    """A learning-rate scheduler by name, "one-cycle", "cosine" or "constant", for a number of steps."""
    if schedule == "one-cycle":
        highest = [group["lr"] for group in optimizer.param_groups]
        # pct_start · steps must exceed one step, or the scheduler divides by zero
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, highest, total_steps=steps + 1, pct_start=0.3)
    if schedule == "cosine":
        return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    if schedule == "constant":
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    raise ValueError(f"schedule={schedule!r}: use 'one-cycle', 'cosine' or 'constant'")


def _check_arguments(model, train, val, epochs, lr, batch_size, patience):
    for name, images in (("train", train), ("val", val)):
        if images is None and name == "val":
            continue
        if not isinstance(images, Images):
            raise TypeError(
                f"{name}: want Images, got {type(images).__name__}; build one with data.Images(x, y, classes)"
            )
        if len(images) == 0:
            raise ValueError(f"{name}: there are no images; give at least one")
    if epochs < 1:
        raise ValueError(f"epochs={epochs}: train for at least 1")
    if not lr > 0:
        raise ValueError(f"lr={lr}: a learning rate is above 0")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size}: take at least 1 image a step")
    if patience is not None and (val is None or patience < 1):
        raise ValueError(f"patience={patience}: want at least 1, and val= to judge by")
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("model: every parameter is frozen, so there is nothing to train; see training.freeze(train=…)")
    with torch.inference_mode(), evaluating(model):
        outputs = model(train.x[:1].to(next(model.parameters()).device)).shape[1]
    for name, images in (("train", train), ("val", val)):
        if images is not None and int(images.y.max()) >= outputs:
            raise ValueError(
                f"{name}: has label {int(images.y.max())}, but the head of the model has {outputs} outputs; "
                "give it a fresh head with models.load(name, num_classes=…)"
            )
