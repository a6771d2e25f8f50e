"""Weights files as other libraries write them, and whose weights they are."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from fovea.errors import DataInvalid
from trainer.network.model import Network, build_network
from trainer.network.weights import load_weights

SMALL = "shufflenet_v2_x0_5"
State = dict[str, Tensor]


class Arguments:
    """As another trainer's checkpoint holds its own: an object of a class that is not torch's."""

    loaded = False

    def __init__(self) -> None:
        self.lr = 1e-3

    def __setstate__(self, state: dict[str, Any]) -> None:
        Arguments.loaded = True
        self.__dict__.update(state)


def _named(state: State, part: str) -> State:
    return {f"{part}{name}": value for name, value in state.items()}


def _as_fastai(net: nn.Module) -> State:
    """Of vision_learner: the body, in it the children by their places, then the head."""
    body = nn.Sequential(*(layer for name, layer in net.named_children() if name not in ("avgpool", "fc")))
    head = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(2048), nn.Linear(2048, 3))
    return nn.Sequential(body, head).state_dict()


def _as_sequential(net: nn.Module) -> State:
    """The usual way to cut a head off and to put another on."""
    layers = [*list(net.children())[:-1], nn.Flatten(), nn.Linear(1024, 3)]
    return _named(nn.Sequential(*layers).state_dict(), "feature_extractor.")


def _untrained(net: nn.Module) -> State:
    return {name: torch.zeros_like(value) for name, value in net.state_dict().items()}


def _without_counters(net: nn.Module) -> State:
    return {name: value for name, value in net.state_dict().items() if "num_batches" not in name}


LAYOUTS: dict[str, Callable[[nn.Module], Any]] = {
    "torchvision": lambda net: net.state_dict(),
    "older torch": _without_counters,
    "another head": lambda net: {**net.state_dict(), "last_linear.weight": torch.ones(3, 1024)},
    "DDP": lambda net: {"model": _named(net.state_dict(), "module."), "epoch": 3},
    "compiled DDP": lambda net: _named(net.state_dict(), "_orig_mod.module."),
    "AveragedModel": lambda net: AveragedModel(net).state_dict(),
    "torchvision's references": lambda net: {
        "model": _untrained(net),
        "model_ema": AveragedModel(net).state_dict(),
        "args": Arguments(),
    },
    "timm with EMA": lambda net: {
        "state_dict": _untrained(net),
        "state_dict_ema": net.state_dict(),
        "args": Arguments(),
    },
    "Lightning": lambda net: {
        "state_dict": {**_named(net.state_dict(), "model."), "loss.weight": torch.ones(3)},
        "hyper_parameters": {"data": Arguments(), "lr": 1e-3},
        "pytorch-lightning_version": "2.6.6",
    },
    "Lightning over a Sequential": lambda net: {"state_dict": _as_sequential(net), "loops": {}},
    "fastai": _as_fastai,
    "fastai with its optimizer": lambda net: {"model": _as_fastai(net), "opt": {"hypers": Arguments()}},
    "timm in fastai": lambda net: {**_named(net.state_dict(), "0.model."), "1.8.weight": torch.ones(3, 1024)},
    "a detector's backbone": lambda net: {
        **_named(_without_counters(net), "backbone.body."),
        "rpn.head.conv.weight": torch.ones(3),
    },
    "under a name of its own": lambda net: {"best": net.state_dict(), "epoch": 3},
}


@pytest.fixture(scope="module")
def small() -> nn.Module:
    net: nn.Module = torchvision.models.get_model(SMALL, weights=None)
    return net


def _load(content: object, folder: Path, arch: str = SMALL) -> Network:
    torch.save(content, folder / "w.pt")
    network = build_network(arch, 5, 32)
    load_weights(network, arch, str(folder / "w.pt"), None, folder)
    return network


def test_weights_are_read_in_the_layouts_of_other_trainers(small: nn.Module, tmp_path: Path) -> None:
    theirs = small.state_dict()
    for name, layout in LAYOUTS.items():
        for own, value in _load(layout(small), tmp_path).backbone.state_dict().items():
            assert own.endswith("num_batches_tracked") or torch.equal(value, theirs[own]), (name, own)
    assert not Arguments.loaded


@pytest.mark.parametrize("arch", ["densenet121", "efficientnet_b0", "resnet18", "squeezenet1_1"])
def test_fastais_bodies_of_other_families_are_read(arch: str, tmp_path: Path) -> None:
    net = torchvision.models.get_model(arch, weights=None)
    body = _named(nn.Sequential(*list(net.children())[:-1]).state_dict(), "0.")
    values = _load({**body, "1.8.weight": torch.ones(2)}, tmp_path, arch).backbone.parameters()
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(values, net.parameters(), strict=False))


def _said(content: object, folder: Path, arch: str = SMALL) -> str:
    with pytest.raises(DataInvalid) as refused:
        _load(content, folder, arch)
    return str(refused.value).removeprefix(f"{folder / 'w.pt'}: ")


def test_weights_of_another_architecture_are_named(tmp_path: Path) -> None:
    """Also where the file has every name that the network has, and more."""
    deeper: nn.Module = torchvision.models.resnet34(weights=None)
    for layout in (
        deeper.state_dict(),
        _as_fastai(deeper),
        {"state_dict": _named(deeper.state_dict(), "net.")},
    ):
        said = _said(layout, tmp_path, "resnet18")
        assert said.startswith("does not fit resnet18: it has 80 names that the network has not, such as ")
        assert said.endswith("these are the weights of resnet34 (--arch resnet34)")


def test_names_over_are_refused_and_likened(
    small: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.network.weight_names.ARCHITECTURES", ("resnet18", SMALL))  # all take seconds
    monkeypatch.setattr("trainer.network.weight_names.TIMM", ("mobilenetv3_small_100",))
    for name, look in (
        ("layer1.0.se.fc1.weight", "timm's seresnet"),
        ("conv1.6.weight", "timm's resnet with a deep stem"),
        ("gate.weight", "its first name is conv1.0.weight"),
    ):
        said = _said({**small.state_dict(), name: torch.ones(1)}, tmp_path)
        assert f"it has a name that the network has not, such as {name}" in said
        assert look in said


def test_two_networks_in_one_file_are_no_choice(small: nn.Module, tmp_path: Path) -> None:
    state = small.state_dict()
    said = _said({**_named(state, "encoder_q."), **_named(state, "encoder_k.")}, tmp_path)
    assert said.startswith(f"holds more than one network that fits {SMALL} (encoder_k and encoder_q)")


def test_pickled_model_is_refused_without_running_it(small: nn.Module, tmp_path: Path) -> None:
    said = _said(small, tmp_path)
    assert said.startswith(
        "a whole pickled torchvision.models.shufflenetv2.ShuffleNetV2, whose code is not run: "
    )
    assert "torch.save(model.state_dict(), FILE)" in said
    assert "holds no state dict of tensors (its keys are model, epoch)" in _said(
        {"model": Arguments(), "epoch": 3}, tmp_path
    )
    assert not Arguments.loaded
    assert "\n" not in said
