"""Turn images into the features that a network computes just before its head, or at any layer."""

import torch

from tlcourse.data.images import Images
from tlcourse.models.zoo import head_name
from tlcourse.training.modes import evaluating


@torch.no_grad()  # not inference_mode: a head is trained on what comes out
def extract_features(model, images, layer=None):
    """Compute the features of every image, in eval mode and without gradients.

    Args:
        model: a network with a linear head.
        images: Images, or an (N, 3, 32, 32) float32 tensor.
        layer: the name of a layer, as in model.named_modules(). Its output is averaged over space. By default the
            input of the head.

    Returns:
        (N, D) float32 tensor on the CPU, detached. The network's mode is put back.

    Raises:
        ValueError: the network has no such layer.
    """
    x = images.x if isinstance(images, Images) else images
    modules = dict(model.named_modules())
    if layer is not None and layer not in modules:
        raise ValueError(f"layer={layer!r}: the network has no such layer; it has {', '.join(n for n in modules if n)}")
    caught = []
    if layer is None:
        watched = modules[head_name(model)]
        hook = watched.register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
    else:
        # clone: a later in-place ReLU would overwrite what is caught here
        hook = modules[layer].register_forward_hook(lambda module, inputs, output: caught.append(output.clone()))
    device = next(model.parameters()).device
    with hook, evaluating(model):
        for part in x.split(500):
            model(part.to(device))
    features = torch.cat(caught).cpu()
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features
