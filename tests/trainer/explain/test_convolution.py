"""A convolution by hand: its numbers are the network's own, and what they add up to is torch's result."""

import dataclasses
from itertools import chain

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fovea.images.preprocess import Pixels
from tests.trainer.explain.networks import colour_network, corners
from tests.trainer.layers import convolution
from trainer.explain.convolution import ArithmeticWrong, WorkedConvolution, sums, verify, worked_convolution
from trainer.network.model import Network, build_network

SIZE = 64
WITH_BOTH = (
    *("densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small", "regnet_y_400mf"),
    *("resnet18", "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_1"),
)


@pytest.fixture
def pixels() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def torchs_map(network: Network, pixels: Pixels, worked: WorkedConvolution) -> Tensor:
    """What torch makes of the layer's whole input with the layer's whole weight: the patch of one map."""
    layer, inputs = network.backbone.get_submodule(worked.layer), list[Tensor]()
    assert isinstance(layer, nn.Conv2d)
    hook = layer.register_forward_hook(lambda _, given, __: inputs.append(given[0].clone()))
    with torch.no_grad():
        network.eval()(torch.tensor(pixels[None]))
        hook.remove()
        result = functional.conv2d(
            inputs[0], layer.weight, layer.bias, layer.stride, layer.padding, groups=layer.groups
        )
    return result[0, worked.kernel, worked.patch.rows, worked.patch.columns]


@pytest.mark.parametrize("side", [3, 1])
@pytest.mark.parametrize("arch", WITH_BOTH)
def test_sums_by_hand_are_what_torch_gives(arch: str, side: int, pixels: Pixels) -> None:
    network = build_network(arch, 3, SIZE)
    worked = worked_convolution(network, pixels, side)
    assert worked is not None
    assert worked.side == side
    expected = torchs_map(network, pixels, worked).numpy()
    np.testing.assert_allclose(list(sums(worked)), expected, atol=1e-4)
    np.testing.assert_allclose(worked.expected, expected, rtol=1e-6)


@pytest.mark.parametrize("arch", ["convnext_tiny", "swin_t"])
def test_architecture_without_such_kernels_has_none(arch: str, pixels: Pixels) -> None:
    network = build_network(arch, 3, SIZE)
    assert [worked_convolution(network, pixels, side) for side in (3, 1)] == [None, None]


def test_colours_of_the_first_layer_are_all_shown_and_in_their_order() -> None:
    worked = worked_convolution(colour_network(), corners(), 3)
    assert worked is not None
    assert [channel.index for channel in worked.channels] == [0, 1, 2]
    assert worked.others == 0
    assert not any(chain(*worked.rest))


def test_kernel_that_takes_the_middle_gives_the_input_again() -> None:
    """The patch lies at the edge: a row or column of zeros, and then the image as it is."""
    worked = worked_convolution(colour_network(), corners(), 3)
    assert worked is not None
    values = np.array(worked.channels[worked.kernel].values)
    np.testing.assert_allclose(list(sums(worked)), values[1:-1, 1:-1], rtol=1e-6)


def test_padding_is_shown_and_is_zero(pixels: Pixels) -> None:
    worked = worked_convolution(build_network("resnet18", 3, SIZE), pixels, 3)
    assert worked is not None
    assert (worked.stride, worked.padding) == (1, 1)
    values = np.array([channel.values for channel in worked.channels])
    padding = np.array([[worked.patch.is_padding(*place) for place in row] for row in _places(values[0])])
    assert padding.any()
    assert not padding.all()
    assert not values[:, padding].any()


def _places(values: np.ndarray) -> list[list[tuple[int, int]]]:
    return [[(y, x) for x in range(values.shape[1])] for y in range(values.shape[0])]


def test_stride_of_two_passes_over_every_other_place(pixels: Pixels) -> None:
    worked = worked_convolution(build_network("resnet18", 3, SIZE), pixels, 1)
    assert worked is not None
    assert (worked.layer, worked.stride, worked.padding) == ("layer2.0.downsample.0", 2, 0)
    assert len(worked.channels[0].values) == 2 * len(worked.expected) - 1


def test_kernel_of_a_group_sees_that_groups_channels_alone(pixels: Pixels) -> None:
    worked = worked_convolution(build_network("resnext50_32x4d", 3, SIZE), pixels, 3)
    assert worked is not None
    assert worked.group == 4
    assert len({channel.index // 4 for channel in worked.channels}) == 1
    assert worked.others == 1


def test_wrong_weight_is_found(pixels: Pixels) -> None:
    worked = worked_convolution(build_network("resnet18", 3, SIZE), pixels, 3)
    assert worked is not None
    first, *others = worked.channels
    weights = [row[:] for row in first.weights]
    weights[1][1] += 0.1
    wrong = dataclasses.replace(worked, channels=(dataclasses.replace(first, weights=weights), *others))
    with pytest.raises(ArithmeticWrong, match=r"layer1\.0\.conv1: by hand the convolution gives"):
        verify(wrong)


def test_numbers_that_are_none_are_found(pixels: Pixels) -> None:
    network = build_network("resnet18", 3, SIZE)
    nn.init.constant_(convolution(network, "layer1.0.conv1").weight, float("nan"))
    with pytest.raises(ArithmeticWrong):
        worked_convolution(network, pixels, 3)
