from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tests.trainer.explain.networks import LABELS, ORIGIN
from tests.trainer.layers import convolution
from trainer.explain.explanation import Explanation, NamedImage, explain
from trainer.explain.page import render_page
from trainer.network.model import Network, build_network


@pytest.fixture(scope="session")
def network() -> Network:
    """With biases, of which resnets have none."""
    torch.manual_seed(0)
    network = build_network("resnet18", len(LABELS), 64)
    layer = convolution(network, "layer1.0.conv1")
    layer.bias = nn.Parameter(torch.linspace(-1, 1, 64))
    return network


@pytest.fixture(scope="session")
def image() -> NamedImage:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    pixels[16:48, 16:48] = (200, 60, 20)
    return NamedImage("barn.png", pixels)


@pytest.fixture(scope="session")
def explanation(network: Network, image: NamedImage) -> Explanation:
    return explain(network, LABELS, [image])


@pytest.fixture(scope="session")
def file(explanation: Explanation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("look") / "barn.png.html"
    path.write_text(render_page(explanation, ORIGIN), encoding="utf-8")
    return path
