"""How a Job ended, and what the driver ends with when shards are missing then."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from fovea.errors import DataInvalid, ExitCode, FoveaError, SettingsInvalid, Unavailable
from scorer.cluster.job import Body
from scorer.files.plan import Plan

_ENDS: Final = ("Complete", "Failed")


def end_of(job: Body) -> Body | None:
    """The condition that says how the Job ended, None while it has not."""
    for condition in (job.get("status") or {}).get("conditions") or []:
        if condition["type"] in _ENDS and condition["status"] == "True":
            ending: Body = condition
            return ending
    return None


def failure(
    name: str, job: Body, exit_codes: Mapping[int, set[int]], missing: Sequence[int], plan: Plan
) -> FoveaError:
    """Of a Job that has ended and left shards missing; `name` is NAMESPACE/NAME.

    What ends a worker with 65 is the data, and with 2 its settings; all else may pass.
    """
    end, listed = end_of(job) or {}, (job.get("status") or {}).get("failedIndexes") or ""
    # What ends the whole Job at once is not among the indexes that were given up before.
    given_up = set(exit_codes) if end.get("reason") == "PodFailurePolicy" else set(indexes(listed))
    given_up = given_up or set(exit_codes)
    codes = sorted(set().union(*(exit_codes.get(index, set()) for index in given_up)))
    namespace, short = name.split("/")
    failed = end.get("type") == "Failed"
    which = f", its indexes {listed}" if listed else ""
    how = f", whose pods ended with {', '.join(map(str, codes))}" if codes and failed else ""
    why = f" ({end.get('reason')}: {end.get('message')})" if failed else ""
    return _kind(failed, codes)(
        f"Job {name} {'failed' if failed else 'is complete'}{which}{how}{why}: {len(missing)} of "
        f"{len(plan.shards)} shards are missing; for another try at these, kubectl -n {namespace} delete job "
        f"{short}, then run again with --run-id {plan.spec.run}"
    )


def indexes(listed: str) -> Iterable[int]:
    """Of `failedIndexes`, such as 1,3-5."""
    for part in filter(None, listed.split(",")):
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _kind(failed: bool, codes: Sequence[int]) -> type[FoveaError]:
    if not failed or ExitCode.BAD_DATA in codes:
        return DataInvalid
    return SettingsInvalid if ExitCode.USAGE in codes else Unavailable
