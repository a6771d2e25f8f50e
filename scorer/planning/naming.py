"""A name of its own for each run that was not given one."""

import itertools
import json
import os
from typing import Final, TypeVar

from fovea.stores.storage import open_reachable
from scorer.files import layout
from scorer.options import CommonOptions

S = TypeVar("S", bound=CommonOptions)

CLAIM: Final = "claim.json"


def claim_run(settings: S) -> S:
    """The settings with a run id that no other process has.

    A given one stays: several planners and workers share it. The default is the time; where others began in
    the same second, -2, -3, ... follow it. The claim is put if absent, before anything else of the run.
    Raises Unavailable.
    """
    if "run_id" in settings.model_fields_set:
        return settings
    output = open_reachable(settings.output)
    run, numbers = settings.run_id, itertools.count(2)
    while not output.put_if_absent(
        f"{layout.plan_folder(run)}/{CLAIM}", json.dumps({"process": os.getpid()}).encode()
    ):
        run = f"{settings.run_id}-{next(numbers)}"
    return settings.model_copy(update={"run_id": run})
