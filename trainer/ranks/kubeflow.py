"""What a TrainJob of Kubeflow tells its pods: the options of torchrun, as variables, without a torchrun."""

from collections.abc import Mapping
from typing import Final

import torch

from fovea.errors import SettingsInvalid

RANK_OF: Final = {
    "PET_NNODES": "WORLD_SIZE",
    "PET_NODE_RANK": "RANK",
    "PET_MASTER_ADDR": "MASTER_ADDR",
    "PET_MASTER_PORT": "MASTER_PORT",
}
"""Where each node has one rank."""
AS_THERE_ARE_GPUS: Final = {"auto", "gpu"}
"""What Kubeflow says where a TrainJob does not: torchrun would start a rank for each GPU."""


def as_of_a_rank(environment: Mapping[str, str]) -> Mapping[str, str]:
    """The variables with those of a rank, where they are a TrainJob's; others as they are.

    A process that torchrun has started has them already, beside torchrun's own. Raises SettingsInvalid for
    nodes of several ranks, which torchrun has to start.
    """
    if "PET_NNODES" not in environment or environment.get("WORLD_SIZE"):
        return environment
    text = environment.get("PET_NPROC_PER_NODE") or "1"
    count = str(max(1, torch.cuda.device_count())) if text in AS_THERE_ARE_GPUS else text
    if count != "1":
        raise SettingsInvalid(
            f"PET_NPROC_PER_NODE is {text!r}, {count} ranks on a node: give the TrainJob numProcPerNode: 1 "
            "and a node for each rank, or `torchrun -m trainer train` for its command, which starts several"
        )
    given = {ours: environment[theirs] for theirs, ours in RANK_OF.items() if theirs in environment}
    return {**environment, **given}
