"""How a training that was broken off goes on."""

import logging
from pathlib import Path
from typing import Any, cast

from fovea.errors import DataInvalid
from trainer.fit.made_on import changes, made_on, ranks_of
from trainer.fit.state import SavedTraining, TrainingState
from trainer.network.checkpoint import EPOCH_FILE, Weights, read_training
from trainer.network.model import Network
from trainer.network.precision import Precision
from trainer.network.snapshot import set_generators
from trainer.ranks.group import Ranks
from trainer.runs.history import EpochRecord

logger = logging.getLogger(__name__)

Saved = tuple[Weights, SavedTraining]


def resume(run: Path, network: Network, precision: Precision, ranks: Ranks) -> TrainingState | None:
    """Puts weights and random generators back to where the training in `run` was broken off, which the first
    rank reads: after its last step, or with another number of ranks at the end of its last epoch.

    None where it begins, or begins again. Raises DataInvalid when what is there is damaged or of another
    network.
    """
    saved = ranks.from_first(lambda: _find(run, ranks.share.world))
    if saved is None:
        return None
    try:
        state = _put_back(saved, network)
    except Exception as error:  # of a file that is no checkpoint of this run, everything may be wrong
        raise DataInvalid(f"{run}: its checkpoint does not fit this training") from error
    if not state.finished:
        where = f"epoch {state.epoch + 1}, after {len(state.step_losses)} steps of it"
        logger.info("going on with the run %s in %s", run.name, where)
        if changed := changes(saved[1]["made_on"], made_on(precision, ranks)):
            logger.warning(
                "the run was begun with %s: its end may differ in the last bits", "; ".join(changed)
            )
    return state


def _find(run: Path, world: int) -> Saved | None:
    last = cast("Saved | None", read_training(run))
    if last is None:
        return None
    before, state = ranks_of(last[1]["made_on"]), last[1]["state"]
    if before == world or state["finished"]:
        return last
    changed = f"the run {run.name} had {_ranks(before)}, and has {_ranks(world)} now"
    if not (steps := len(state["step_losses"])):
        logger.warning("%s: going on from the end of its last epoch", changed)
        return last
    if not state["records"]:
        logger.warning("%s: going on from its beginning, %d steps before its last", changed, steps)
        return None
    epochs_end = cast("Saved | None", read_training(run, EPOCH_FILE))
    if epochs_end is None or not _leads_to(epochs_end[1], state):
        logger.warning("%s, and its last epoch's end was not kept: going on after its last step", changed)
        return last
    logger.warning("%s: going on from the end of its last epoch, %d steps before its last", changed, steps)
    return epochs_end


def _leads_to(training: SavedTraining, later: dict[str, Any]) -> bool:
    """Whether it is from the end of the epoch before."""
    state = training["state"]
    return len(state["records"]) == len(later["records"]) and not state["step_losses"]


def _ranks(count: int) -> str:
    return "1 rank" if count == 1 else f"{count} ranks"


def _put_back(saved: Saved, network: Network) -> TrainingState:
    weights, training = saved
    network.load_state_dict(weights)
    records = [EpochRecord(**record) for record in training["state"]["records"]]
    state = TrainingState(
        **{**training["state"], "records": records},
        resumed_optimizer=training["optimizer"],
        resumed_scaler=training["scaler"],
        resumed_average=training.get("average", {}),
    )
    set_generators(training["generators"])
    return state
