import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.model.bundle import file_digest
from trainer.network.checkpoint import Checkpoint
from trainer.network.model import Network, adamw, build_network, discriminative, freeze_backbone, unfreeze
from trainer.network.weights import load_weights
from trainer.options.architectures import ARCHITECTURES

ARCH = "shufflenet_v2_x0_5"
MANY_WEIGHTS = 10_000_000


@pytest.fixture(scope="module", autouse=True)
def _heads_that_are_thrown_away_are_not_filled() -> Iterator[None]:
    """Of VGG and AlexNet, half a gigabyte: random numbers for it would take seconds."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal_", "kaiming_uniform_"):
            patch.setattr(torch.nn.init, name, _unless_many(getattr(torch.nn.init, name)))
        yield


def _unless_many(fill: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def filled(tensor: Tensor, *how: Any, **options: Any) -> Tensor:
        return tensor if tensor.numel() > MANY_WEIGHTS else fill(tensor, *how, **options)

    return filled


def test_architectures_are_all_that_torchvision_has_and_that_can_be_released() -> None:
    names = set(torchvision.models.list_models(module=torchvision.models))
    other_images, too_large = {"googlenet", "inception_v3"}, {"vit_h_14", "regnet_y_128gf"}
    assert set(ARCHITECTURES) == names - other_images - too_large


@pytest.mark.parametrize(
    "arch", ["mobilenet_v3_small", "regnet_x_400mf", "resnet18", "shufflenet_v2_x0_5", "squeezenet1_0"]
)
def test_families_take_the_new_head_and_torchvisions_weights(arch: str, tmp_path: Path) -> None:
    torch.save(torchvision.models.get_model(arch, weights=None).state_dict(), tmp_path / "w.pt")
    network = build_network(arch, 5, 64)
    load_weights(network, arch, str(tmp_path / "w.pt"), None, tmp_path)
    assert network(torch.zeros(2, 64, 64, 3, dtype=torch.uint8)).shape == (2, 5)


FEATURES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "densenet121": lambda net, images: functional.relu(net.features(images)),
    "efficientnet_b0": lambda net, images: net.features(images),
    "mnasnet0_5": lambda net, images: net.layers(images),
    "regnet_y_400mf": lambda net, images: net.trunk_output(net.stem(images)),
    "swin_t": lambda net, images: net.permute(net.norm(net.features(images))),
    "vgg11_bn": lambda net, images: net.features(images),
}


@pytest.fixture(scope="module", params=FEATURES)
def of_a_family(request: pytest.FixtureRequest) -> tuple[str, Network]:
    return request.param, build_network(request.param, 3, 64)


def test_backbone_with_torchvisions_weights_gives_torchvisions_features(
    of_a_family: tuple[str, Network], tmp_path: Path
) -> None:
    arch, network = of_a_family
    theirs = torchvision.models.get_model(arch, weights=None).eval()
    if arch.startswith("vgg"):
        del theirs.classifier[:-1]  # half a gigabyte, of which nothing is taken
    torch.save(theirs.state_dict(), tmp_path / "w.pt")
    load_weights(network, arch, str(tmp_path / "w.pt"), None, tmp_path)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network.backbone.eval()(images), FEATURES[arch](theirs, images))


def test_first_and_last_layers_of_every_family_learn_at_rates_of_their_own(
    of_a_family: tuple[str, Network],
) -> None:
    sizes: dict[float, int] = {}
    for group in adamw(of_a_family[1], 1e-5, 1e-3).param_groups:
        rate = round(group["max_lr"], 8)
        sizes[rate] = sizes.get(rate, 0) + sum(p.numel() for p in group["params"])
    assert sorted(sizes) == pytest.approx([1e-5, 1e-4, 1e-3])
    assert min(sizes.values()) > 10_000


def test_densenets_older_names_are_read(tmp_path: Path) -> None:
    """As in the files that torchvision offers."""
    state = torchvision.models.densenet121().state_dict()
    older = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): v for name, v in state.items()}
    assert older.keys() != state.keys()
    torch.save(older, tmp_path / "w.pt")
    network = build_network("densenet121", 2, 32)
    assert load_weights(network, "densenet121", str(tmp_path / "w.pt"), None, tmp_path)


@pytest.mark.parametrize("within", ["state_dict", "model"])
def test_weights_within_a_checkpoint_of_another_trainer_are_read(within: str, tmp_path: Path) -> None:
    state = torchvision.models.get_model(ARCH, weights=None).state_dict()
    wrapped = {within: {f"module.{name}": value for name, value in state.items()}, "epoch": 3}
    torch.save(wrapped, tmp_path / "w.pt")
    network = build_network(ARCH, 2, 32)
    assert load_weights(network, ARCH, str(tmp_path / "w.pt"), None, tmp_path)
    assert torch.equal(network.backbone.state_dict()["conv1.0.weight"], state["conv1.0.weight"])


def test_statistics_of_frozen_batch_norm_go_on_updating() -> None:
    network = build_network("resnet18", 2, 32)
    freeze_backbone(network)
    before = network.get_buffer("backbone.bn1.running_mean").clone()
    network.train()(torch.randint(0, 256, (4, 32, 32, 3)))
    assert not torch.equal(network.get_buffer("backbone.bn1.running_mean"), before)


def test_freezing_leaves_head_and_normalisation_to_learn() -> None:
    network = build_network("resnet18", 2, 32)
    freeze_backbone(network)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name in learning if name.startswith("head")}
    assert "backbone.bn1.weight" in learning
    assert "backbone.conv1.weight" not in learning
    assert "backbone.layer1.0.conv1.weight" not in learning
    unfreeze(network)
    assert all(p.requires_grad for p in network.parameters())


def test_groups_cut_resnet_before_layer3_and_spare_norms_and_biases_from_decay() -> None:
    network = build_network("resnet18", 2, 32)
    names = {id(p): name for name, p in network.named_parameters()}
    optimizer = adamw(network, 1e-5, 1e-3)
    rates = {names[id(p)]: g["max_lr"] for g in optimizer.param_groups for p in g["params"]}
    decays = {names[id(p)]: g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    assert rates.keys() == set(names.values())
    assert rates["backbone.layer2.1.conv2.weight"] == pytest.approx(1e-5)
    assert rates["backbone.layer3.0.conv1.weight"] == pytest.approx(1e-4)
    assert rates["head.7.weight"] == pytest.approx(1e-3)
    assert decays["backbone.conv1.weight"] == decays["head.7.weight"] == 0.01
    assert decays["backbone.bn1.weight"] == decays["head.7.bias"] == 0


def test_image_that_is_too_small_for_the_architecture_is_a_usage_error() -> None:
    with pytest.raises(SettingsInvalid, match="--size 32 is too small for alexnet"):
        build_network("alexnet", 2, 32)


def _assert_same_backbone(left: Network, right: Network) -> None:
    a, b = left.backbone.state_dict(), right.backbone.state_dict()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_runs_checkpoint_is_a_start_for_other_classes(trained: Path, tmp_path: Path) -> None:
    checkpoint = Checkpoint.load(trained / "runs" / "a")
    network = build_network("resnet18", 7, 32)
    path = trained / "runs" / "a" / "checkpoint.pt"
    assert load_weights(network, "resnet18", str(path), None, tmp_path) == file_digest(path)
    _assert_same_backbone(network, checkpoint.network)


def test_safetensors_are_read(tmp_path: Path) -> None:
    source = torchvision.models.get_model(ARCH, weights=None)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    network = build_network(ARCH, 2, 32)
    load_weights(network, ARCH, str(tmp_path / "w.safetensors"), None, tmp_path)
    assert torch.equal(network.backbone.state_dict()["conv1.0.weight"], source.conv1[0].weight)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.pt", None, "no such weights file"),
        ("junk.pt", b"junk", "neither a safetensors file nor a torch state dict"),
        ("junk.safetensors", b"junk", "neither a safetensors file nor a torch state dict"),
    ],
)
def test_unusable_weights_file_is_named(name: str, content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataInvalid, match=rf"{name}.*{said}"):
        load_weights(build_network(ARCH, 2, 32), ARCH, str(tmp_path / name), None, tmp_path)


def test_weights_of_another_architecture_are_refused(trained: Path, tmp_path: Path) -> None:
    path = trained / "runs" / "a" / "checkpoint.pt"
    with pytest.raises(DataInvalid, match=f"does not fit {ARCH}: there is no "):
        load_weights(build_network(ARCH, 2, 32), ARCH, str(path), None, tmp_path)


def test_weights_with_another_digest_are_refused(trained: Path, tmp_path: Path) -> None:
    path = trained / "runs" / "a" / "checkpoint.pt"
    with pytest.raises(DataInvalid, match="not the --weights-sha256 0000"):
        load_weights(build_network("resnet18", 2, 32), "resnet18", str(path), "0" * 64, tmp_path)


def test_imagenet_weights_that_cannot_be_had_are_no_random_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.delenv("HTTPS_PROXY", raising=False)
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody listens there
    says = r"by the proxy of https_proxy=http://127\.0\.0\.1:9; .*--weights FILE; or .* --weights none"
    with pytest.raises(Unavailable, match=says):
        load_weights(build_network(ARCH, 2, 32), ARCH, "imagenet", None, tmp_path)
    assert list((tmp_path / "hub" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small", "squeezenet1_1", "shufflenet_v2_x1_0"])
def test_imagenet_weights_are_read_from_torchvisions_cache(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    source = torchvision.models.get_model(arch, weights=None)
    url = torchvision.models.get_model_weights(arch).DEFAULT.url
    cached = tmp_path / "hub" / "checkpoints" / url.rsplit("/", 1)[-1]
    cached.parent.mkdir(parents=True)
    torch.save(source.state_dict(), cached)
    network = build_network(arch, 3, 64)
    assert load_weights(network, arch, "imagenet", None, tmp_path) == file_digest(cached)
    theirs = list(source.state_dict().values())
    for name, value in network.backbone.state_dict().items():
        same = [other for other in theirs if other.shape == value.shape and torch.equal(other, value)]
        assert same, f"{name} is none of torchvision's"


def test_discriminative_rates_rise_by_equal_factors() -> None:
    assert discriminative(1e-5, 1e-3, 3) == pytest.approx([1e-5, 1e-4, 1e-3])
    assert discriminative(1e-5, 1e-3, 1) == [1e-3]
