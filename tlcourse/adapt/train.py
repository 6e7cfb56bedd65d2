"""The training loop of domain adaptation: labelled source images, unlabelled target images, and a loss between them."""

import torch
import torch.nn.functional as F

from tlcourse.models.zoo import head_name
from tlcourse.training.fitting import pick_device


def train_adapted(model, source, target, *, method=None, weight=1.0, steps, lr, batch_size=64, seed=0):
    """Train a classifier in place on the source while a loss ties its features to those of the target.

    Each step passes one batch of both domains together, so BatchNorm sees both, whatever the method. The loss is the
    cross-entropy on the source's half plus weight · method(source features, target features). The features are what
    enters the head.

    Args:
        model: network with a linear head, whose outputs are the source's classes.
        source: Images, labelled.
        target: Images of which only x is read.
        method: function from (n, d) source and (n, d) target features to a tensor without dimensions, as coral_loss; by
            default none: the same training on the source alone.
        weight: factor of the method's loss, at least 0.
        steps: gradient steps, at least 1.
        lr: constant learning rate of AdamW, above 0.
        batch_size: images of each domain per step, at least 2.
        seed: draws the batches.

    Returns:
        list with one dict a step: "source_loss", "method_loss". The model is left in eval mode.

    Raises:
        ValueError: an argument out of range, no images.
        FloatingPointError: the loss is not finite.
    """
    for name, images in (("source", source), ("target", target)):
        if len(images) == 0:
            raise ValueError(f"{name}: there are no images; give at least one")
    if steps < 1 or not lr > 0 or batch_size < 2 or not weight >= 0:
        raise ValueError(
            f"steps={steps}, lr={lr}, batch_size={batch_size}, weight={weight}: want at least 1, above 0, at least 2 and 0"
        )
    device = pick_device()
    model.to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    generator = torch.Generator().manual_seed(seed)
    features, history = [], []
    head = model.get_submodule(head_name(model))
    with head.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0])):
        for step in range(steps):
            chosen = torch.randint(len(source), (batch_size,), generator=generator)
            other = torch.randint(len(target), (batch_size,), generator=generator)
            x = torch.cat([source.x[chosen], target.x[other]])
            features.clear()
            logits = model(x.to(device, memory_format=torch.channels_last))
            source_loss = F.cross_entropy(logits[:batch_size], source.y[chosen].to(device))
            method_loss = torch.zeros((), device=device) if method is None else method(*features[0].split(batch_size))
            loss = source_loss + weight * method_loss
            if not torch.isfinite(loss):
                raise FloatingPointError(
                    f"the loss became {loss.item()} in step {step}; lower lr={lr} or weight={weight}"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            history.append({"source_loss": source_loss.item(), "method_loss": method_loss.item()})
    model.eval()
    return history
