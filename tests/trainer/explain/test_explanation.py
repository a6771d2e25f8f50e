"""Kernels as images, activation maps by stage, and all of it together."""

import numpy as np
import pytest
import torch
from torch import nn

from fovea.errors import DataInvalid
from tests.trainer.explain.networks import BLUE, RED, colour_network, corners
from tests.trainer.layers import convolution, last_layer
from trainer.explain.explanation import NamedImage, explain
from trainer.explain.kernels import first_kernels
from trainer.explain.stages import activation_maps
from trainer.network.model import build_network


def _noise(size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)


def test_kernel_is_grey_where_it_is_zero_and_of_full_colour_where_it_is_largest() -> None:
    kernels = first_kernels(colour_network())
    assert kernels.shape == (3, 3, 3, 3)
    red = kernels.images[0]
    assert red[1, 1].tolist() == [255, 128, 128]
    assert (red[0] == 128).all()


def test_negative_weight_is_dark() -> None:
    network = colour_network()
    with torch.no_grad():
        convolution(network, "0").weight.neg_()
    assert first_kernels(network).images[2][1, 1].tolist() == [128, 128, 0]


PATCHES_OF_FOUR = [("stem", 96, 16), ("features_1", 96, 16), ("features_3", 192, 8), ("features_5", 384, 4)]
STAGES = {
    "resnet18": [("stem", 64, 32), ("layer1", 64, 16), ("layer2", 128, 8), ("layer3", 256, 4)],
    "convnext_tiny": PATCHES_OF_FOUR,
    "swin_t": PATCHES_OF_FOUR,
    "vgg11": [("stem", 64, 64), ("features_4", 128, 32), ("features_9", 256, 16), ("features_14", 512, 8)],
}


KERNELS = {
    "resnet18": (64, 3, 7, 7),
    "convnext_tiny": (96, 3, 4, 4),
    "swin_t": (96, 3, 4, 4),
    "vgg11": (64, 3, 3, 3),
}


@pytest.mark.parametrize("arch", STAGES)
def test_kernels_are_the_first_layers_and_maps_those_after_the_stem_and_the_last_of_each_resolution(
    arch: str,
) -> None:
    network = build_network(arch, 3, 64)
    kernels, shape = first_kernels(network), KERNELS[arch]
    assert kernels.shape == shape
    assert kernels.images.shape == (min(64, shape[0]), shape[2], shape[3], 3)  # 64 at most
    assert kernels.sheet.shape == (4 * (shape[2] + 1) - 1, 16 * (shape[3] + 1) - 1, 4)
    stages = activation_maps(network, _noise(64))
    assert [(s.name, s.shape[0], s.shape[1]) for s in stages][:4] == STAGES[arch]
    for stage in stages:
        assert stage.mean.shape == stage.shape[1:]
        assert stage.maps.shape == (len(stage.channels), *stage.shape[1:])


def test_maps_are_what_the_layers_give() -> None:
    stages = activation_maps(colour_network(), corners())
    assert set(stages[0].channels[:2]) == {RED, 2}  # there is no green in the image, so nothing differs
    red = stages[0].maps[stages[0].channels.index(RED)]
    assert red[:8, :8].min() > red[8:, 8:].max()


def test_single_place_has_no_pictures() -> None:
    assert activation_maps(build_network("resnet18", 3, 24), _noise(24))[-1].channels == ()


def test_classes_come_in_order_with_the_temperature_and_saliency_maps_of_the_first_three() -> None:
    network = build_network("resnet18", 7, 64)
    image, labels = NamedImage("a.png", _noise(64)), tuple("abcdefg")
    (cold,), (warm,) = (explain(network, labels, [image], t).images for t in (1.0, 5.0))
    logits = network.eval()(torch.tensor(image.pixels[None]))[0]
    probabilities, order = torch.softmax(logits / 5, 0).sort(descending=True)
    assert [ranked.label for ranked in warm.classes] == [labels[index] for index in order[:5]]
    assert [ranked.probability for ranked in warm.classes] == pytest.approx(probabilities[:5].tolist())
    assert cold.classes[0].probability > warm.classes[0].probability
    assert [ranked.saliency is not None for ranked in warm.classes] == [True] * 3 + [False] * 2


def test_network_of_two_classes_has_two_classes_explained() -> None:
    (image,) = explain(colour_network(), ("red", "blue"), [NamedImage("a.png", corners())]).images
    assert {ranked.label for ranked in image.classes} == {"red", "blue"}
    blue = next(ranked for ranked in image.classes if ranked.label == ("red", "blue")[BLUE])
    assert blue.saliency is not None
    assert blue.saliency[-1, -1] == 1


def test_diverged_network_is_refused() -> None:
    network = colour_network()
    nn.init.constant_(last_layer(network).weight, float("nan"))
    with pytest.raises(DataInvalid, match=r"a\.png: the network answers with what is no number"):
        explain(network, ("red", "blue"), [NamedImage("a.png", corners())])


def test_network_is_left_as_it_was() -> None:
    network = build_network("resnet18", 3, 64).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    explain(network, ("a", "b", "c"), [NamedImage("a.png", _noise(64))])
    assert all(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())
