import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torchvision.models.vision_transformer import VisionTransformer

from tests.trainer.explain.networks import BLUE, LABELS, ORIGIN, RED, colour_network, corners
from tests.trainer.layers import convolution, last_layer
from trainer.explain.explanation import NamedImage, explain
from trainer.explain.page import render_page
from trainer.explain.pictures import overlay
from trainer.explain.saliency import BATCH_SIZE, NoMaps, saliency_maps, saliency_point
from trainer.network.backbones import in_layers
from trainer.network.model import Network, build_head, build_network, freeze_backbone
from trainer.network.tokens import TokenPool
from trainer.options.architectures import ARCHITECTURES

FAMILIES = (
    *("alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "mnasnet0_5", "mobilenet_v3_small"),
    *("regnet_y_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "vgg11"),
)


def _noise(count: int, size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)


def test_the_corner_that_a_class_depends_on_lights_up_and_no_other() -> None:
    pixels = np.stack([corners(), corners()])
    red, blue = saliency_maps(colour_network(), pixels, np.array([RED, BLUE]))
    assert red.shape == (8, 8)
    assert (red[:2, :2] == 1).all()
    assert (blue[-2:, -2:] == 1).all()
    for saliency in (red, blue):
        assert np.count_nonzero(saliency) == 4


def test_class_that_nothing_speaks_for_has_a_map_of_zeros() -> None:
    network = colour_network()
    nn.init.zeros_(last_layer(network).weight)
    saliency = saliency_maps(network, corners()[None], np.array([RED]))
    assert not saliency.any()


def test_network_of_numbers_that_are_none_gives_zeros_and_no_nan() -> None:
    network = colour_network()
    nn.init.constant_(last_layer(network).weight, float("nan"))
    assert not saliency_maps(network, corners()[None], np.array([RED])).any()


@pytest.mark.parametrize("arch", FAMILIES)
def test_maps_of_every_family_lie_between_zero_and_one(arch: str) -> None:
    network = build_network(arch, 3, 64)
    saliency = saliency_maps(network, _noise(2, 64), np.array([0, 2]))
    assert saliency.dtype == np.float32
    assert saliency.shape[0] == 2
    assert min(saliency.shape[1:]) >= 4 or arch == "alexnet"  # whose first layers reduce so much
    assert ((saliency >= 0) & (saliency <= 1)).all()
    assert set(np.unique(saliency.max((1, 2)))) <= {0.0, 1.0}


def test_every_family_is_tried() -> None:
    families = {"".join(c for c in a.split("_")[0] if c.isalpha()) for a in FAMILIES}
    others = {"resnext", "wide", "maxvit", "vit"}  # resnets; and those that small images are nothing for
    assert {"".join(c for c in a.split("_")[0] if c.isalpha()) for a in ARCHITECTURES} - others == families


def test_large_images_have_the_map_of_the_last_layer_and_small_ones_of_one_that_can_show_a_place() -> None:
    network = build_network("resnet18", 3, 32)
    points = [saliency_point(network, size) for size in (128, 64, 24)]
    assert [point.name for point in points] == ["layer4", "layer3", "layer1"]


def test_small_image_lights_up_at_its_corner_too() -> None:
    network = colour_network()
    network.backbone.append(nn.AvgPool2d(8))  # to a single point
    red, blue = saliency_maps(network, np.stack([corners(), corners()]), np.array([RED, BLUE]))
    assert red.shape == blue.shape == (8, 8)
    assert red[0, 0] == blue[-1, -1] == 1
    assert not red[3:].any()
    assert not blue[:5].any()


def test_network_is_left_as_it_was() -> None:
    network = build_network("resnet18", 3, 64)
    freeze_backbone(network)
    network.train()
    network.backbone.get_submodule("layer4").eval()
    last_layer(network).weight.grad = torch.ones_like(last_layer(network).weight)
    modes = [module.training for module in network.modules()]
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        saliency_maps(network, _noise(2, 64), np.array([0, 2]))
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    with_gradient = [name for name, p in network.named_parameters() if p.grad is not None]
    assert with_gradient == [f"head.{len(network.head) - 1}.weight"]
    gradient = last_layer(network).weight.grad
    assert gradient is not None
    assert set(gradient.flatten().tolist()) == {1}
    assert not convolution(network, "conv1").weight.requires_grad


def test_image_has_the_same_map_in_any_company() -> None:
    torch.manual_seed(0)
    network, pixels = build_network("resnet18", 3, 64), _noise(BATCH_SIZE + 2, 64)
    classes = np.arange(len(pixels)) % 3
    together = saliency_maps(network, pixels, classes)
    assert len(together) == len(pixels)
    alone = saliency_maps(network, pixels[-1:], classes[-1:])
    np.testing.assert_allclose(together[-1], alone[0], atol=1e-3)  # sums of another order


def test_no_images_have_no_maps() -> None:
    assert len(saliency_maps(colour_network(), _noise(0, 32), np.zeros(0, np.int64))) == 0


def test_overlay_is_a_small_picture_that_is_lightest_where_the_heat_is() -> None:
    pixels = np.full((32, 32, 3), 128, np.uint8)
    saliency = np.zeros((8, 8), np.float32)
    saliency[:3, :3] = 1
    file = overlay(pixels, saliency, side=160)
    assert len(file) < 20_000
    with Image.open(io.BytesIO(file)) as image:
        assert image.size == (160, 160)
        grey = np.asarray(image.convert("L"), np.float32)
    assert grey[:40, :40].mean() > 1.5 * grey[80:, 80:].mean()


def test_patch_that_a_transformer_goes_by_lights_up() -> None:
    """It learns within two seconds to tell a red patch from a blue one, wherever it lies."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    net = VisionTransformer(32, 8, num_layers=3, num_heads=2, hidden_dim=32, mlp_dim=64)
    network = Network(in_layers(net), build_head(TokenPool(), 64, 2))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(40):
        pixels, targets, _ = _coloured_patches(32, random)
        loss = functional.cross_entropy(network(torch.tensor(pixels)), torch.tensor(targets))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    pixels, targets, places = _coloured_patches(64, random)
    maps = saliency_maps(network, pixels, targets)
    assert maps.shape == (64, 4, 4)
    lit = [np.unravel_index(saliency.argmax(), (4, 4)) for saliency in maps]
    assert np.mean([tuple(place) == there for place, there in zip(places, lit, strict=True)]) > 0.9
    assert np.mean([m[tuple(place)] / m.sum() for m, place in zip(maps, places, strict=True)]) > 0.5
    page = render_page(explain(network, LABELS[:2], [NamedImage("patch.png", pixels[0])]), ORIGIN)
    assert "new maps from those before it, as many and as large." in page
    assert "smaller and smaller" not in page


def _coloured_patches(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Noise with a patch of 8 pixels that is red (0) or blue (1): pixels, targets and the patches' places."""
    pixels = random.integers(100, 156, (count, 32, 32, 3), np.uint8)
    targets, places = random.integers(0, 2, count), random.integers(0, 4, (count, 2))
    for image, target, (row, column) in zip(pixels, targets, 8 * places, strict=True):
        image[row : row + 8, column : column + 8] = ((230, 30, 30), (30, 30, 230))[target]
    return pixels, targets, places


def test_network_without_places_says_so() -> None:
    network = Network(nn.Sequential(MeanColours()), nn.Sequential(nn.Linear(3, 3)))
    with pytest.raises(NoMaps, match="keeps a map"):
        saliency_maps(network, _noise(2, 32), np.array([0, 1]))
    page = render_page(explain(network, LABELS, [NamedImage("noise.png", _noise(1, 32)[0])]), ORIGIN)
    assert "so there are no heat maps" in page
    assert "Heat map for" not in page
    assert "Each stage makes" not in page


class MeanColours(nn.Module):
    """Which have no places."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means: torch.Tensor = self.convolution(images).mean((2, 3))
        return means
