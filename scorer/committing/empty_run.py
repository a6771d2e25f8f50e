"""A run without images after one that has some: rather a wrong prefix, or a disk that is not mounted."""

import json

from fovea.errors import DataInvalid, ObjectMissing
from fovea.stores.folder import Folder
from scorer.files import layout
from scorer.files.latest import read_latest
from scorer.files.plan import Plan


def empty_run_refusal(output: Folder, plan: Plan) -> str | None:
    """In words, that latest.json would come to name nothing; None where it names nothing now.

    Raises DataInvalid when the run that it names cannot be understood.
    """
    latest = read_latest(output)
    if plan.images or latest is None or latest.run == plan.spec.run:
        return None
    path = f"{layout.run_folder(latest.run)}/{layout.SUMMARY}"
    try:
        images = int(json.loads(output.read(path))["images"])
    except ObjectMissing:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DataInvalid(f"{output.uri}/{path}: not a run's summary: {error}") from error
    if not images:
        return None
    return (
        f"it has no image, and the last run, {latest.run}, has {images}: latest.json stays; to accept that, "
        "run again with this --run-id and --max-bad-fraction 1"
    )
