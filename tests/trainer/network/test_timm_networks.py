"""timm's networks: as timm computes them, with its weights, sizes and image preparation."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from fovea.errors import DataInvalid, SettingsInvalid
from fovea.images.spec import PreprocessSpec
from tests.trainer.conftest import train_settings
from trainer.explain.saliency import saliency_maps, saliency_point
from trainer.explain.stages import activation_maps
from trainer.network.checkpoint import Checkpoint, read_training
from trainer.network.model import Network, adamw, build_network
from trainer.network.timm_networks import image_config, preprocess_for, timm_backbone
from trainer.network.weights import load_weights
from trainer.options.architectures import TIMM
from trainer.preparation import preprocess_of

VIT, CONVOLUTIONS, CHANNELS_LAST = (
    "timm/vit_tiny_patch16_224",
    "timm/mobilenetv3_small_100",
    "timm/swin_tiny_patch4_window7_224",
)


@pytest.fixture(scope="module", params=(VIT, CONVOLUTIONS))
def built(request: pytest.FixtureRequest) -> tuple[str, Network]:
    return request.param, build_network(request.param, 3, 64)


def _timms(arch: str, **options: Any) -> nn.Module:
    model: nn.Module = timm.create_model(arch.removeprefix("timm/"), pretrained=False, **options)
    return model.eval()


def test_every_offered_name_is_one_of_timms_with_images_that_we_can_prepare() -> None:
    for name in TIMM:
        config = timm.get_pretrained_cfg(name)
        assert config is not None, name
        assert config.interpolation == image_config(f"timm/{name}").interpolation, name
        assert config.crop_mode == "center", name
        assert config.hf_hub_id, name


def test_backbone_with_timms_weights_gives_what_timms_classifier_gets(
    built: tuple[str, Network], tmp_path: Path
) -> None:
    """Read from a state dict with its classifier, as timm's own training script and fastai lay them out."""
    arch, network = built
    sized: dict[str, int] = {"img_size": 64} if arch == VIT else {}
    theirs = _timms(arch, **sized)
    state = theirs.state_dict()
    layouts = {
        "timm": state,
        "train.py": {"state_dict": state, "arch": arch, "epoch": 3},
        "fastai": {
            "model": {**{f"0.model.{n}": v for n, v in state.items()}, "1.8.weight": torch.ones(3, 9)},
            "opt": {},
        },
    }
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = theirs.forward_head(theirs.forward_features(images), pre_logits=True)  # type: ignore[operator]
        for layout, content in layouts.items():
            torch.save(content, tmp_path / "w.pt")
            with torch.random.fork_rng():
                nn.init.normal_(next(network.backbone.parameters()))
            assert load_weights(network, arch, str(tmp_path / "w.pt"), None, tmp_path)
            assert torch.equal(network.backbone.eval()(images), expected), layout


def test_positions_are_fitted_to_the_image_size(tmp_path: Path) -> None:
    torch.save(_timms(VIT).state_dict(), tmp_path / "w.pt")
    network = build_network(VIT, 3, 64)
    load_weights(network, VIT, str(tmp_path / "w.pt"), None, tmp_path)
    assert network.backbone.get_parameter("timm.model.pos_embed").shape == (1, 1 + 4 * 4, 192)


def test_layers_learn_at_rates_of_their_own_and_each_weight_once(built: tuple[str, Network]) -> None:
    arch, network = built
    names = {id(p): name for name, p in network.named_parameters()}
    groups = adamw(network, 1e-5, 1e-3).param_groups
    rates = {names[id(p)]: group["max_lr"] for group in groups for p in group["params"]}
    decays = {names[id(p)]: group["weight_decay"] for group in groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    assert sum(len(group["params"]) for group in groups) == len(names)
    first, last = {
        VIT: ("timm.model.patch_embed.proj.weight", "timm.model.blocks.11.mlp.fc2.weight"),
        CONVOLUTIONS: ("timm.model.conv_stem.weight", "timm.model.conv_head.weight"),
    }[arch]
    assert rates[f"backbone.{first}"] == pytest.approx(1e-5)
    assert rates[f"backbone.{last}"] == pytest.approx(1e-4)
    assert rates["head.7.weight"] == pytest.approx(1e-3)
    assert decays[f"backbone.{first}"] == decays[f"backbone.{last}"] == 0.01
    spared = {VIT: ("cls_token", "pos_embed", "norm.weight"), CONVOLUTIONS: ("bn1.weight", "conv_head.bias")}
    assert {decays[f"backbone.timm.model.{name}"] for name in spared[arch]} == {0}


def test_images_are_prepared_and_normalised_as_timms_weights_were_made(tmp_path: Path) -> None:
    network = build_network("timm/vit_tiny_patch16_224", 2, 64)
    assert network.mean.tolist() == network.std.tolist() == [127.5] * 3
    spec = PreprocessSpec(size=224, resize=256)
    assert preprocess_for("resnet34", spec, 224, None) == spec
    prepared = PreprocessSpec(size=224, resize=249, interpolation="bicubic")
    assert preprocess_for(VIT, spec, 224, None) == prepared
    in_training = PreprocessSpec(size=256, resize=256)
    assert preprocess_for(VIT, in_training, 224, None) == prepared.model_copy(update={"size": 249})
    given = PreprocessSpec(size=224, resize=230)
    assert preprocess_for(VIT, given, 224, 230) == given.model_copy(update={"interpolation": "bicubic"})
    padded = PreprocessSpec(size=224, resize=224, fit="pad")
    assert preprocess_for(VIT, padded, 224, None) == padded.model_copy(update={"interpolation": "bicubic"})
    assert preprocess_for("timm/resnet50.tv_in1k", spec, 224, None).interpolation == "bilinear"
    settings = train_settings(tmp_path, tmp_path, arch=VIT, size=64, resize=None)
    assert preprocess_of(settings) == PreprocessSpec(size=64, resize=71, interpolation="bicubic")


def test_checkpoint_keeps_the_normalisation_that_the_network_was_trained_with(tmp_path: Path) -> None:
    """A newer timm may say another one for the same name."""
    network = build_network(CONVOLUTIONS, 2, 64)
    network.mean.fill_(100)
    Checkpoint(network, CONVOLUTIONS, ("a", "b"), PreprocessSpec(size=64, resize=64), 1).save(tmp_path, {})
    loaded = Checkpoint.load(tmp_path)
    assert loaded.network.mean.tolist() == [100] * 3
    assert torch.equal(loaded.network.std, network.std)


def test_checkpoint_of_another_timm_names_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose network may compute otherwise without a word, or have other layers."""
    network = build_network(CONVOLUTIONS, 2, 64)
    made = Checkpoint(network, CONVOLUTIONS, ("a", "b"), PreprocessSpec(size=64, resize=64), 1)
    made.save(tmp_path, {})
    Checkpoint.load(tmp_path)
    assert not caplog.messages
    monkeypatch.setattr("trainer.network.checkpoint.timm_version", lambda: "9.0.0")
    for read in (Checkpoint.load, read_training):
        caplog.clear()
        read(tmp_path)
        (said,) = caplog.messages
        assert f"was made with timm {timm.__version__}, and this is timm 9.0.0" in said
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsInvalid, match="timm is missing"):
        Checkpoint.load(tmp_path)


def test_sizes_that_a_network_does_not_take_are_a_usage_error() -> None:
    with pytest.raises(
        SettingsInvalid, match=r"--size 72: timm/vit_tiny.* patches of 16 pixels; .* such as 64"
    ):
        build_network(VIT, 2, 72)
    with pytest.raises(SettingsInvalid, match=r"--size 98: timm/swin_tiny"):
        build_network(CHANNELS_LAST, 2, 98)


def test_names_tags_and_a_missing_timm_are_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SettingsInvalid, match=r"--arch timm/resnet18\.no: .*tag"):
        build_network("timm/resnet18.no", 2, 64)
    with pytest.raises(ValueError, match=r"such as timm/resnet34"):
        train_settings(tmp_path, tmp_path, arch="timm/resnet43")
    assert train_settings(tmp_path, tmp_path, arch="timm/resnet34.a1_in1k").arch == "timm/resnet34.a1_in1k"
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(SettingsInvalid, match=r"timm is missing: pip install 'fovea-vision\[timm\]'"):
        build_network(CONVOLUTIONS, 2, 64)


def test_weights_of_timms_networks_are_named(tmp_path: Path) -> None:
    for arch, name in (
        ("resnet18", "mobilenetv3_small_100"),
        ("resnet18", "convnext_atto"),
        (CONVOLUTIONS, "resnet18"),
    ):
        torch.save(_timms(name).state_dict(), tmp_path / "w.pt")
        named = "resnet18" if name == "resnet18" else f"timm/{name}"
        with pytest.raises(DataInvalid, match=rf"these are the weights of {named} \(--arch {named}\)"):
            load_weights(build_network(arch, 2, 64), arch, str(tmp_path / "w.pt"), None, tmp_path)


def test_resnets_have_the_same_names_in_timm_and_torchvision(tmp_path: Path) -> None:
    theirs = _timms("resnet18")
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    network = build_network("resnet18", 2, 64)
    load_weights(network, "resnet18", str(tmp_path / "w.pt"), None, tmp_path)
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(network.backbone.eval()(images), theirs.forward_features(images), atol=1e-5)  # type: ignore[operator]


def test_maps_are_of_layers_that_tell_places_apart() -> None:
    """Of a transformer not the last, whose patches no class token reads any more."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 224, 224, 3), np.uint8)
    for arch, layer, shape in (
        (VIT, "blocks.10", (1, 14, 14)),
        (CONVOLUTIONS, "features", (1, 7, 7)),
        (CHANNELS_LAST, "features", (1, 7, 7)),
    ):
        network = build_network(arch, 3, 224)
        assert saliency_point(network, 224).name == layer
        assert saliency_maps(network, pixels, np.array([1])).shape == shape
        assert {stage.shape[1:] for stage in activation_maps(network, pixels[0])} >= {shape[1:]}
        assert timm_backbone(network.backbone) is not None
