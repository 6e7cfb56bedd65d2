"""A detector in one pass, layer by layer: the small variant of YOLOv2."""

from torch import nn


def tiny_yolo(num_classes: int = 20, anchors: int = 5) -> nn.Sequential:
    """Build Tiny YOLO, version 2, with random weights (Redmon and Farhadi, YOLO9000, CVPR, 2017).

    Nine convolutions and six poolings turn an image into a grid with one cell for every 32×32 pixels. In each cell,
    every anchor (a box of a typical shape) gets four numbers that move and stretch it, one that says whether it holds
    an object, and one score per class. There is no second stage: that made it fast.

    Args:
        num_classes: kinds of objects, at least 1; 20 in Pascal VOC.
        anchors: boxes per cell, at least 1.

    Returns:
        nn.Sequential from (n, 3, H, W) images, H and W multiples of 32, to (n, anchors · (5 + num_classes), H/32, W/32).

    Raises:
        ValueError: num_classes or anchors below 1.
    """
    if num_classes < 1 or anchors < 1:
        raise ValueError(f"num_classes={num_classes}, anchors={anchors}: want at least 1 of each")
    layers, inputs = [], 3
    for outputs in (16, 32, 64, 128, 256):
        layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2)]
        inputs = outputs
    layers += _convolution(256, 512)
    layers += [nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, stride=1)]  # keeps the size of the grid
    layers += _convolution(512, 1024)
    layers += _convolution(1024, 1024)
    layers += [nn.Conv2d(1024, anchors * (5 + num_classes), kernel_size=1)]
    return nn.Sequential(*layers)


def _convolution(inputs, outputs):
    return [
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.1, inplace=True),
    ]
