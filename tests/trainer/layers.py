"""The parts of a network, with their types."""

from torch import nn

from trainer.network.model import Network


def last_layer(network: Network) -> nn.Linear:
    """What gives the logits."""
    layer = network.head[-1]
    assert isinstance(layer, nn.Linear)
    return layer


def convolution(network: Network, name: str) -> nn.Conv2d:
    """Of the backbone, as `layer1.0.conv1`."""
    layer = network.backbone.get_submodule(name)
    assert isinstance(layer, nn.Conv2d)
    return layer
