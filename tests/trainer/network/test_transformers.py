"""torchvision's ViT and MaxViT: their layers in stages, their weights, the sizes of images that they take."""

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models._api import register_model
from torchvision.models.vision_transformer import VisionTransformer, interpolate_embeddings

from fovea.errors import DataInvalid, SettingsInvalid
from trainer.network.backbones import build_backbone, in_layers
from trainer.network.model import Network, adamw, build_network, freeze_backbone
from trainer.network.tokens import TokenPool, fit_positions
from trainer.network.weights import load_weights
from trainer.options.architectures import ARCHITECTURES

TINY = "vit_tiny_8"


@pytest.fixture(scope="module", autouse=True)
def _known_to_torchvision() -> None:
    """A vision transformer of which tests may make many."""

    def vit_tiny_8(*, weights: None = None, image_size: int = 224) -> VisionTransformer:
        return _small(image_size)

    register_model(TINY)(vit_tiny_8)


def _small(size: int = 32) -> VisionTransformer:
    net = VisionTransformer(size, 8, num_layers=3, num_heads=2, hidden_dim=16, mlp_dim=16).eval()
    nn.init.normal_(net.class_token)
    return net


def _tokens(net: VisionTransformer, images: Tensor) -> Tensor:
    """As torchvision computes them, before its head takes the first."""
    patches = net._process_input(images)
    tokens: Tensor = net.encoder(torch.cat([net.class_token.expand(len(images), -1, -1), patches], dim=1))
    return tokens


def test_stages_of_a_vision_transformer_compute_what_torchvision_does() -> None:
    net, images = _small(), torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        tokens = in_layers(net)(images)
        assert torch.equal(tokens, _tokens(net, images))
        assert torch.equal(TokenPool()(tokens)[:, :16], tokens[:, 0])
        assert torch.allclose(TokenPool()(tokens)[:, 16:], tokens[:, 1:].mean(1))


def test_torchvisions_weights_are_read_and_positions_fitted_to_the_image_size(tmp_path: Path) -> None:
    vit = _small()
    torch.save({"model": vit.state_dict(), "epoch": 3}, tmp_path / "w.pt")
    same, larger = build_network(TINY, 3, 32), build_network(TINY, 3, 48)
    for network in (same, larger):
        load_weights(network, TINY, str(tmp_path / "w.pt"), None, tmp_path)
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(same.backbone.eval()(images), _tokens(vit, images))
    theirs = interpolate_embeddings(48, vit.patch_size, vit.state_dict())["encoder.pos_embedding"]
    assert torch.equal(larger.backbone.get_parameter("patches.pos_embedding"), theirs)


def test_positions_of_no_square_fit_nothing() -> None:
    assert fit_positions(torch.zeros(1, 1 + 16, 4), 1 + 15) is None
    assert fit_positions(torch.zeros(1, 1 + 15, 4), 1 + 16) is None
    fitted = fit_positions(torch.zeros(1, 1 + 16, 4), 1 + 25)
    assert fitted is not None
    assert fitted.shape == (1, 26, 4)


def test_weights_of_another_transformer_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.network.weight_names.ARCHITECTURES", ("resnet18",))  # all take seconds
    monkeypatch.setattr("trainer.network.weight_names.TIMM", ("mobilenetv3_small_100",))
    deeper = {**_small().state_dict(), "encoder.layers.encoder_layer_3.ln_1.weight": torch.ones(16)}
    torch.save(deeper, tmp_path / "w.pt")
    with pytest.raises(DataInvalid, match=r"a name that the network has not, such as .*encoder_layer_3"):
        load_weights(build_network(TINY, 3, 32), TINY, str(tmp_path / "w.pt"), None, tmp_path)


def test_sizes_that_do_not_fit_are_a_usage_error_that_names_one_that_does() -> None:
    for arch, size, said in (
        ("vit_b_16", 100, r"patches of 16 pixels; it should be a multiple of that, such as 96 or 112"),
        ("vit_b_32", 24, r"patches of 32 pixels; it should be a multiple of that, such as 32"),
        ("maxvit_t", 256, r"windows of 7 by 7 places; it should be 224, or a multiple of that"),
    ):
        with pytest.raises(SettingsInvalid, match=rf"--size {size}: {arch} .*{said}"):
            build_network(arch, 2, size)


def test_maxvits_stages_have_torchvisions_names() -> None:
    with torch.device("meta"):
        names = {name for name, _ in build_backbone("maxvit_t", 448).named_children()}
        theirs = torchvision.models.maxvit_t(input_size=(448, 448))
    assert names == {"stem", *(f"blocks_{index}" for index in range(4))}
    assert [name for name, _ in theirs.named_children()] == ["stem", "blocks", "classifier"]


def test_layers_of_a_transformer_learn_at_rates_of_their_own() -> None:
    backbone = in_layers(_small())
    network = Network(backbone, nn.Sequential(TokenPool(), nn.Linear(32, 2)))
    names = {id(p): name for name, p in network.named_parameters()}
    groups = adamw(network, 1e-5, 1e-3).param_groups
    rates = {names[id(p)]: group["max_lr"] for group in groups for p in group["params"]}
    decays = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    assert rates["backbone.patches.class_token"] == pytest.approx(1e-5)
    assert rates["backbone.encoder_layer_2.mlp.0.weight"] == pytest.approx(1e-4)
    assert rates["head.1.weight"] == pytest.approx(1e-3)
    assert decays["backbone.patches.conv_proj.weight"] == 0.01
    for name in (
        "patches.class_token",
        "patches.pos_embedding",
        "encoder_layer_0.self_attention.in_proj_bias",
    ):
        assert decays[f"backbone.{name}"] == 0
    freeze_backbone(network)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name.split(".")[-2] for name in learning if name.startswith("backbone")} == {"ln_1", "ln_2", "ln"}


def test_what_no_onnx_file_can_hold_is_not_offered() -> None:
    """Of 2 GiB: an offered network's weights, as torchvision counts them, leave room."""
    for arch in ARCHITECTURES:
        meta = torchvision.models.get_model_weights(arch).DEFAULT.meta
        assert 4 * meta["num_params"] < 2**31, arch
