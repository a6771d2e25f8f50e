"""What maps of one pixel are convolved with, and that it changes nothing."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from trainer.network.model import Network, build_network
from trainer.network.one_pixel import OneTapConv2d, use_one_tap_of_one_pixel

ONE_TAP: list[dict[str, Any]] = [
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "padding": 1, "stride": 2, "bias": False},
    {"kernel_size": 7, "padding": 3, "stride": 2},
    {"kernel_size": (1, 5), "padding": (0, 2)},
    {"kernel_size": 3, "padding": 2, "dilation": 2},
    {"kernel_size": 3, "padding": 1, "groups": 2},
    {"kernel_size": 2, "padding": 1, "stride": 2},
    {"kernel_size": 4, "padding": 2, "stride": 4},
]
OTHERS: list[dict[str, Any]] = [
    {"kernel_size": 1},
    {"kernel_size": 2, "padding": 1},  # an output of two pixels
    {"kernel_size": 3, "padding": 2, "stride": 2},
    {"kernel_size": 2, "padding": 3, "stride": 8},  # which meets padding alone
    {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
    {"kernel_size": 3, "padding": "same"},
]


def test_one_tap_gives_the_sums_and_the_gradients_of_the_whole_kernel() -> None:
    for options in ONE_TAP:
        plain = nn.Conv2d(4, 6, **options)
        for side in (1, 2, 5):
            torch.manual_seed(side)
            features = torch.randn(3, 4, side, side, requires_grad=True)
            expected, whole = _outcome(plain, features)
            layer = nn.Conv2d(4, 6, **options)
            layer.load_state_dict(plain.state_dict())
            use_one_tap_of_one_pixel(layer)
            assert type(layer) is OneTapConv2d, options
            given, own = _outcome(layer, features)
            assert given.shape == expected.shape
            for mine, theirs in zip([given, *own], [expected, *whole], strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5, msg=f"{options} of {side}")


def test_what_sees_more_than_one_tap_is_left_alone() -> None:
    for options in OTHERS:
        layer = nn.Conv2d(4, 6, **options)
        use_one_tap_of_one_pixel(layer)
        assert type(layer) is nn.Conv2d, options


def test_what_is_exported_is_the_convolution_itself() -> None:
    layer = nn.Conv2d(4, 6, 3, padding=1)
    use_one_tap_of_one_pixel(layer)
    program = torch.export.export(layer.eval(), (torch.zeros(2, 4, 1, 1),))
    called = [str(node.target) for node in program.graph.nodes if node.op == "call_function"]
    assert called == ["aten.conv2d.default"]


def test_a_resnet_of_small_images_computes_no_kernel_over_one_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    network = build_network("resnet18", 3, 16).eval()
    pixels = 255 * torch.rand(4, 16, 16, 3)
    seen = _Kernels()
    with seen:
        lean = _gradients(network, pixels)
    assert seen.over_one_pixel == {(1, 1)}  # of downsamplings
    monkeypatch.setattr(OneTapConv2d, "forward", nn.Conv2d.forward)
    with seen:
        whole = _gradients(network, pixels)
    assert (3, 3) in seen.over_one_pixel
    for name, gradient in whole.items():
        torch.testing.assert_close(lean[name], gradient, rtol=1e-3, atol=1e-4, msg=name)


class _Kernels(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sizes of the kernels that maps of one pixel were convolved with."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.over_one_pixel: set[tuple[int, ...]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.convolution.default and args[0].shape[2:] == (1, 1):
            self.over_one_pixel.add(tuple(args[1].shape[2:]))
        return func(*args, **(kwargs or {}))


def _outcome(layer: nn.Module, features: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Output, and the gradients of input and parameters."""
    given = layer(features)
    return given, torch.autograd.grad(given.square().sum(), [features, *layer.parameters()])


def _gradients(network: Network, pixels: Tensor) -> dict[str, Tensor]:
    network.zero_grad()
    network(pixels).square().sum().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
