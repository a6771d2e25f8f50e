"""latest.json: which run is the one to read."""

import json
import logging
from dataclasses import dataclass
from datetime import datetime

from fovea.errors import DataInvalid, ObjectMissing
from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.plan import Plan

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Latest:
    """The content of latest.json."""

    run: str
    planned: datetime
    """When its images were listed: of a run that requeues another, when that was planned."""


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
    return not _names(latest, plan) and _why_it_stays(latest, plan) is None


def move_latest(output: Folder, plan: Plan) -> None:
    """Makes latest.json name this run if that is due, and warns if another one's name stays there."""
    latest = read_latest(output)
    if _names(latest, plan):
        return
    if why := _why_it_stays(latest, plan):
        logger.warning("latest.json stays: it %s", why)
        return
    # A requeue saw its images when the run did whose place it takes: the next night's are newer.
    planned = latest.planned if latest and plan.requeues else plan.created
    fields = {
        "run": plan.spec.run,
        "path": layout.run_folder(plan.spec.run),
        "planned": planned.isoformat(),
    }
    output.write(layout.LATEST, layout.json_bytes(fields))


def _names(latest: Latest | None, plan: Plan) -> bool:
    return latest is not None and latest.run == plan.spec.run


def _why_it_stays(latest: Latest | None, plan: Plan) -> str | None:
    if plan.requeues is not None and (latest is None or latest.run != plan.requeues):
        named = f"names {latest.run}" if latest else "is not there"
        return f"{named}, and not {plan.requeues}, which is requeued"
    if plan.requeues is None and latest is not None and latest.planned >= plan.created:
        return f"names {latest.run}, which was planned later or takes the place of this run"
    return None
