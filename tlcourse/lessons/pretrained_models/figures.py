"""What the notebook draws: each function returns a figure and its alt text."""

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from torchvision.models.feature_extraction import create_feature_extractor

from tlcourse.training import extract_features


def draw_features(model, layer, image, gallery, count=8):
    """Draw what one layer makes of an image: its strongest activation maps, and the images that it finds most alike.

    Args:
        model: network in eval mode that takes (n, 3, side, side) images.
        layer: the name of a layer with a spatial output, such as "layer2".
        image: (3, side, side) float32 tensor in [0, 1].
        gallery: Images to look for neighbours in, at least count; nearest is the largest cosine between the layer's
            outputs averaged over space.
        count: maps and neighbours to show; fewer maps where the layer has fewer channels.

    Returns:
        (matplotlib Figure, alt text).
    """
    with torch.inference_mode():
        maps = create_feature_extractor(model, {layer: "maps"})(image.unsqueeze(0))["maps"][0]  # (C, h, w)
    strongest = maps.mean(dim=(1, 2)).argsort(descending=True)[:count]
    similarity = F.cosine_similarity(maps.mean(dim=(1, 2)), extract_features(model, gallery, layer))
    nearest = similarity.argsort(descending=True)[:count]
    names = [gallery.classes[label] for label in gallery.y[nearest].tolist()]

    figure, axes = plt.subplots(2, count + 1, figsize=(6.4, 2.2))
    for axis in axes.flat:
        axis.axis("off")
    for row, title in zip(axes[:, 0], ("image", "nearest")):
        row.imshow(image.permute(1, 2, 0))
        row.set_title(title, fontsize=9, loc="left")
    for axis, channel in zip(axes[0, 1:], strongest.tolist()):
        axis.imshow(maps[channel], cmap="gray")
        axis.set_title(f"map {channel}", fontsize=8)
    for axis, index, name in zip(axes[1, 1:], nearest.tolist(), names):
        axis.imshow(gallery.x[index].permute(1, 2, 0))
        axis.set_title(name, fontsize=9)
    alt = (
        f"An image, the {len(strongest)} strongest of the {len(maps)} activation maps of {layer}, and its {count} nearest "
        f"neighbours there, labelled {', '.join(names)}."
    )
    return figure, alt
