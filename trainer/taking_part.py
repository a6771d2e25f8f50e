"""What is trained by one process, or by several that this one starts, or as one of them."""

import os
from contextlib import nullcontext

from fovea import logs, tracing
from fovea.errors import ExitCode, SettingsInvalid
from fovea.stores.patience import wait_for_stores
from trainer import job
from trainer.config import TRACED_AS, LrFindSettings, TrainSettings
from trainer.ranks.group import ALONE, Ranks
from trainer.ranks.joining import Invitation, invitation, joined
from trainer.ranks.launching import launch

Settings = LrFindSettings | TrainSettings


def run(settings: Settings) -> ExitCode | None:
    """Raises SettingsInvalid where a rank is to start ranks, and what the job raises."""
    invited, count = invitation(os.environ), settings.nproc_per_node
    if count == 1:
        _work(settings, invited)
        return None
    if invited is not None:
        raise SettingsInvalid(
            f"--nproc-per-node {count}: WORLD_SIZE {invited.share.world} says that this process is one of "
            "several ranks already, which whoever started it did; give one of the two"
        )
    return launch(count, be_a_rank, settings)


def be_a_rank(settings: Settings) -> None:
    """What a process does that was started as one."""
    logs.set_up(settings.log_level, settings.log_format)
    wait_for_stores(settings.store_patience_s)
    _work(settings, invitation(os.environ))


def _work(settings: Settings, invited: Invitation | None) -> None:
    if invited is None:
        _run(settings, ALONE)
        return
    with joined(invited, settings.device, settings.ranks_patience_s) as ranks:
        _run(_as_one_of(settings, invited), ranks)


def _run(settings: Settings, ranks: Ranks) -> None:
    """The first rank makes the spans, as it writes what is written."""
    command = "train" if isinstance(settings, TrainSettings) else "lr-find"
    with tracing.run_of(TRACED_AS, f"trainer {command}") if ranks.is_first else nullcontext():
        if isinstance(settings, TrainSettings):
            job.train(settings, ranks)
        else:
            job.find_lr(settings, ranks)


def _as_one_of(settings: Settings, invited: Invitation) -> Settings:
    """Says how many ranks there are, whoever started them: as many on one machine train the same network.

    Unless told otherwise, those of a machine share its cores.
    """
    own: dict[str, int] = {"nproc_per_node": invited.share.world}
    if "threads" not in settings.model_fields_set:
        own["threads"] = max(1, settings.threads // invited.local_world)
    return settings.model_copy(update=own)
