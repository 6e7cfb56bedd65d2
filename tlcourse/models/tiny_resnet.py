"""The one architecture of the course: a residual network small enough to train on a laptop in seconds."""

import torch
from torch import nn
from torchvision.models.resnet import BasicBlock


class TinyResNet(nn.Module):
    """A ResNet (He et al., Deep Residual Learning for Image Recognition, CVPR, 2016) for 32×32 images.

    A 3×3 stem with stride 2, then three stages of one torchvision BasicBlock each, 32, 64 and 128 channels wide.
    Parameter names are torchvision's: conv1, bn1, layer1, layer2, layer3, fc.

    Input: (n, 3, 32, 32) float32 in [0, 1], on the network's device. Output: (n, num_classes) logits.

    Raises:
        ValueError: the images are on another device than the network.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(BasicBlock(32, 32))
        self.layer2 = nn.Sequential(BasicBlock(32, 64, stride=2, downsample=_shortcut(32, 64)))
        self.layer3 = nn.Sequential(BasicBlock(64, 128, stride=2, downsample=_shortcut(64, 128)))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(128, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        # A hook, since torch.fx cannot trace a condition in forward().
        self.register_forward_pre_hook(_want_one_device, with_kwargs=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # Channels last in memory: a training step on a CPU takes a quarter less time. (vmap has no memory_format=.)
        x = x.movedim(1, -1).contiguous().movedim(-1, 1)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


def tiny_resnet(num_classes: int, seed: int = 0) -> TinyResNet:
    """Build a TinyResNet with random weights (~0.31 million parameters, 128 features) in training mode.

    Args:
        num_classes: width of the head `fc`, at least 1.
        seed: draws the weights; PyTorch's global random state is left as it was.

    Raises:
        ValueError: num_classes < 1.
    """
    if num_classes < 1:
        raise ValueError(f"num_classes={num_classes}: a head needs at least 1 output")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return TinyResNet(num_classes)


def _want_one_device(network, inputs, named):
    here, there = (inputs[0] if inputs else named["x"]).device, next(iter(network.parameters())).device
    if here != there:
        raise ValueError(f"x is on {here} and the network on {there}; move one of them: x.to({str(there)!r})")


def _shortcut(inputs, outputs):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=1, stride=2, bias=False), nn.BatchNorm2d(outputs))
