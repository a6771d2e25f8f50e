"""What equal weights after equal steps depend on, beside the state of a training."""

from typing import NotRequired, TypedDict

import torch

from trainer.network.precision import Precision
from trainer.ranks.group import Ranks


class MadeOn(TypedDict):
    """Where a training computes."""

    device: str
    threads: int
    torch: str
    """its version"""
    channels_last: NotRequired[bool]
    """not in older ones, which had them so on a CUDA device alone"""
    ranks: NotRequired[int]
    """where there are several"""


def made_on(precision: Precision, ranks: Ranks) -> MadeOn:
    """Here and now."""
    here: MadeOn = {
        "device": precision.device.type,
        "threads": torch.get_num_threads(),
        "torch": str(torch.__version__),
        "channels_last": precision.memory_format == torch.channels_last,
    }
    return here if ranks.share.world == 1 else {**here, "ranks": ranks.share.world}


def ranks_of(made: MadeOn) -> int:
    return made.get("ranks", 1)


def changes(before: MadeOn, now: MadeOn) -> list[str]:
    """What is another than before, for a person, the number of ranks aside."""
    before = {"channels_last": before["device"] == "cuda", **before}
    pairs = {name: (before.get(name), value) for name, value in now.items() if name != "ranks"}
    return [f"{name} {earlier}, now {value}" for name, (earlier, value) in pairs.items() if earlier != value]
