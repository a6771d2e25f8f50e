"""latest.json: which run is the one to read."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from fovea.errors import DataInvalid, ObjectMissing
from fovea.folder import Folder
from scorer import layout
from scorer.plan import Plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Latest:
    """The content of latest.json."""

    run: str
    planned: datetime


def read_latest(output: Folder) -> Latest | None:
    """None while no run was finished. Raises DataInvalid when it cannot be understood."""
    try:
        fields = json.loads(output.read(layout.LATEST))
        return Latest(str(fields["run"]), datetime.fromisoformat(fields["planned"]))
    except ObjectMissing:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{output.uri}/{layout.LATEST}: not Fovea's latest.json: {error}") from error


def is_due(output: Folder, plan: Plan) -> bool:
    """True when latest.json is to name this run: it names another, that was not planned later.

    A run that requeues another takes that one's place, and no other's: what it carries is as old as that.
    """
    latest = read_latest(output)
    if latest is not None and latest.run == plan.spec.run:
        return False
    if plan.requeues is not None and (latest is None or latest.run != plan.requeues):
        named = f"names {latest.run}" if latest else "is not there"
        logger.warning("latest.json stays: it %s, and not %s, which is requeued", named, plan.requeues)
        return False
    if latest is not None and latest.planned > plan.created:
        logger.warning("latest.json stays: it names %s, which was planned later", latest.run)
        return False
    return True


def move_latest(output: Folder, plan: Plan) -> None:
    """Makes latest.json name this run, if that is due."""
    if is_due(output, plan):
        path = layout.run_folder(plan.spec.run)
        latest = {"run": plan.spec.run, "path": path, "planned": plan.created.isoformat()}
        output.write(layout.LATEST, layout.json_bytes(latest))
