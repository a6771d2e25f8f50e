"""`python -m trainer`, whose networks compute the same in training and in evaluation: batch norm keeps its
statistics, and nothing is dropped. So a batch's parts have the gradients of the whole."""

from torch import nn

from fovea import exits
from tests.trainer.ranks import unreleased
from trainer import __main__ as program
from trainer.network.model import Network


def _train(network: Network, mode: bool = True) -> Network:
    nn.Module.train(network, mode)
    for module in network.modules():
        if isinstance(module, (nn.modules.batchnorm._BatchNorm, nn.Dropout)):
            module.eval()
    return network


if __name__ == "__main__":
    Network.train = _train  # type: ignore[method-assign, assignment]
    unreleased.release_nothing()
    exits.run(program.main)
