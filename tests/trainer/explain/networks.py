"""Networks so small that the right answer is known."""

import numpy as np
import torch
from torch import nn

from fovea.images.preprocess import Pixels
from trainer.explain.page import Origin
from trainer.network.model import ConcatPool, Network

RED, BLUE = 0, 1
LABELS = ("cat", "dog", "cow")
ORIGIN = Origin("resnet18", "a", 3, calibrated=True)


def colour_network() -> Network:
    """Class 0 is how much red there is, class 1 how much blue."""
    convolution = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    head = nn.Linear(6, 2, bias=False)
    with torch.no_grad():
        convolution.weight.zero_()
        convolution.weight[range(3), range(3), 1, 1] = 1.0
        head.weight.zero_()
        head.weight[RED, 0] = head.weight[RED, 3] = 1.0
        head.weight[BLUE, 2] = head.weight[BLUE, 5] = 1.0
    stages = nn.Sequential(convolution, nn.ReLU(inplace=True), nn.AvgPool2d(4))
    return Network(stages, nn.Sequential(ConcatPool(), head))


def corners() -> Pixels:
    """Black, red in the upper left corner and blue in the lower right: uint8 [32, 32, 3]."""
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:8, :8, 0] = 255
    pixels[-8:, -8:, 2] = 255
    return pixels
