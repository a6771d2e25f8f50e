"""Whose weights a state dict holds: what other libraries call the layers of torchvision's networks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

import torch
from torch import Tensor, nn

from fovea.errors import SettingsInvalid
from trainer.network.backbones import CONTAINERS, PARTS_REPLACED, build_backbone
from trainer.network.tokens import fit_positions
from trainer.options.architectures import ARCHITECTURES, TIMM, TIMM_PREFIX

Shapes = Mapping[str, torch.Size]

COUNTER: Final = "num_batches_tracked"
"""Of batch norm; files of older versions of torch lack it."""
_HEADS: Final = PARTS_REPLACED | {"last_linear", "pre_logits", "global_pool", "aux_logits", "head_dist"}
_OTHER_NAMES: Final = (
    (r"^timm\.model\.", ""),
    (r"^patches\.pos_embedding$", "encoder.pos_embedding"),
    (r"^patches\.", ""),
    (r"^(encoder_layer_\d+\.)", r"encoder.layers.\1"),
    (r"^ln\.", "encoder.ln."),
)
"""What layers are called in timm's networks, and in torchvision's vision transformers."""
POSITIONS: Final = ("pos_embedding", "pos_embed")
"""End the name of what is added to the tokens by their places, which fits another image size."""
_SIGNATURES: Final = (
    (
        r"(^|\.)layer\d\.\d+\.se\.",
        "a resnet with squeeze-and-excitation (timm's seresnet), not torchvision's",
    ),
    (r"(^|\.)conv1\.6\.weight$", "timm's resnet with a deep stem (such as resnet50d), not torchvision's"),
    (r"(^|\.)conv_stem\.weight$", "timm's efficientnet or mobilenet, whose names are not torchvision's"),
    (r"(^|\.)stages\.\d\.blocks\.", "timm's convnext, whose names are not torchvision's"),
    (r"(^|\.)s1\.b1\.", "timm's regnet, whose names are not torchvision's"),
    (r"(^|\.)cls_token$|(^|\.)patch_embed\.", "a transformer of timm's (such as its vit), not torchvision's"),
    (r"(^|\.)encoder\.stages\.", "Hugging Face's transformers, whose names are not torchvision's"),
    (r"(^|\.)trunk_output\.", "torchvision's regnet, of another size"),
)


@dataclass(frozen=True)
class NameMatch:
    """How a state dict answers to one network under one naming."""

    names: dict[str, str]
    """the network's own name -> the one in the file, of all that are there"""
    missing: list[str]
    """as the file would call them, without counters"""
    misshapen: list[str]
    """the network's own names"""
    surplus: list[str]
    """names beside the network's, in the same part of the file, that are no head"""
    part: str
    """what stands before every name in the file, such as `module.`"""

    @property
    def complete(self) -> bool:
        return not (self.missing or self.misshapen or self.surplus)


def match_names(state: Mapping[str, Tensor], backbone: nn.Sequential) -> list[NameMatch]:
    """Every way to find the whole backbone in it, else the one that comes nearest."""
    own = {name: value.shape for name, value in backbone.state_dict().items()}
    matches = [
        _compare(state, naming, part, own)
        for naming in _namings(backbone, list(own))
        for part in _parts(state, naming)
    ]
    complete = {tuple(match.names.values()): match for match in matches if match.complete}
    nearest = max(matches, key=lambda match: len(match.names) - len(match.misshapen) - len(match.surplus))
    # Of a file that is nothing like it, torchvision's own name is told, which comes first.
    return list(complete.values()) or [nearest if 2 * len(nearest.names) > len(own) else matches[0]]


def fitted(name: str, value: Tensor, shape: torch.Size) -> Tensor | None:
    """The value for a parameter of this shape: positions are those of another image size. None where it does
    not fit."""
    if value.shape == shape:
        return value
    if not name.endswith(POSITIONS) or value.shape[::2] != shape[::2] or len(shape) != 3:
        return None
    return fit_positions(value.float(), shape[1])


def describe_weights(state: Mapping[str, Tensor]) -> str:
    """What it is, for a person: another architecture of the trainer's, another library's network, or its
    first name."""
    looks = next(
        (looks for pattern, looks in _SIGNATURES if any(re.search(pattern, name) for name in state)), None
    )
    arch = _identify(state, _timms() if looks else (*_torchvisions(), *_timms()))
    if arch:
        return f"these are the weights of {arch} (--arch {arch})"
    if looks and "timm" in looks and not _timms():
        return f"it looks like {looks}; with the extra timm installed, it is compared with timm's own"
    return f"it looks like {looks}" if looks else f"its first name is {next(iter(state))}"


def _torchvisions() -> tuple[str, ...]:
    """The likeliest come first."""
    return tuple(sorted(ARCHITECTURES, key=lambda arch: "resne" not in arch))


def _timms() -> tuple[str, ...]:
    return tuple(f"{TIMM_PREFIX}{name}" for name in TIMM) if find_spec("timm") else ()


def _identify(state: Mapping[str, Tensor], candidates: tuple[str, ...]) -> str | None:
    """Takes seconds where it is one of the last, or none."""
    for arch in candidates:
        try:
            with torch.device("meta"):
                backbone = build_backbone(arch)
        except (
            NotImplementedError,
            SettingsInvalid,
        ):  # torchvision's regnets compute; others want another size
            continue
        if any(match.complete for match in match_names(state, backbone)):
            return arch
    return None


def _namings(backbone: nn.Sequential, own: list[str]) -> list[dict[str, str]]:
    """Name in a file -> own name: as torchvision calls the layers, as our own checkpoints do, as
    torchvision's older densenets do, and by their places, as fastai's bodies and any nn.Sequential do."""
    children = dict.fromkeys(_nested(f"{name}.").split(".", 1)[0] for name, _ in backbone.named_children())
    places = {name: str(place) for place, name in enumerate(children)}
    theirs = {_nested(name): name for name in own}
    older = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12]\.)", r"\1.\2", name): n for name, n in theirs.items()
    }
    by_places = all(name.split(".", 1)[0] in places for name in theirs)  # not so of a vision transformer
    placed = {_placed(name, places): n for name, n in theirs.items()} if by_places else theirs
    distinct: list[dict[str, str]] = []
    for naming in (theirs, {name: name for name in own}, older, placed):
        if naming not in distinct:
            distinct.append(naming)
    return distinct


def _nested(name: str) -> str:
    """Our own name -> torchvision's or timm's."""
    for ours, theirs in _OTHER_NAMES:
        if re.match(ours, name):
            return re.sub(ours, theirs, name)
    return re.sub(rf"^({'|'.join(CONTAINERS)})_", r"\1.", name)


def _placed(name: str, places: Mapping[str, str]) -> str:
    first, rest = name.split(".", 1)
    return f"{places[first]}.{rest}"


def _parts(state: Mapping[str, Tensor], naming: Mapping[str, str]) -> list[str]:
    """What may stand before each name, such as Lightning's `model.`: what does before the first of them."""
    first = next(iter(naming))
    parts = [name.removesuffix(first) for name in state if name.endswith(first)]
    return sorted({"", *(part for part in parts if part.endswith("."))})


def _compare(state: Mapping[str, Tensor], naming: Mapping[str, str], part: str, own: Shapes) -> NameMatch:
    names = {mine: part + theirs for theirs, mine in naming.items() if part + theirs in state}
    missing = [
        theirs for theirs, mine in naming.items() if mine not in names and not theirs.endswith(COUNTER)
    ]
    misshapen = [mine for mine, theirs in names.items() if fitted(mine, state[theirs], own[mine]) is None]
    taken = set(names.values())
    places = [int(name.split(".", 1)[0]) for name in naming if name.split(".", 1)[0].isdigit()]
    last_place = max(places, default=None) if len(places) == len(naming) else None
    surplus = [
        name
        for name in state
        if name.startswith(part) and name not in taken and not _replaced(name.removeprefix(part), last_place)
    ]
    return NameMatch(names, missing, misshapen, surplus, part)


def _replaced(name: str, last_place: int | None) -> bool:
    """Whether it belongs to a head, or counts batches. Where places are names, a head's lie behind the last
    of the backbone."""
    first = name.split(".", 1)[0]
    of_head = int(first) > last_place if last_place is not None and first.isdigit() else first in _HEADS
    return of_head or name.endswith(COUNTER)
