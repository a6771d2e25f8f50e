"""python -m scorer run: a label for every image below a folder or a bucket's prefix."""

if __name__ == "__main__":
    from fovea import entry

    entry.run("scorer.__main__")  # runs this program to its end

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from fovea import logs, tracing
from fovea.command_line import choose_command
from fovea.settings import load
from fovea.stopping import Stopping
from fovea.stores.patience import wait_for_stores
from scorer.config import CommitSettings, DriveSettings, PlanSettings, RunSettings, WorkSettings
from scorer.options import CommonOptions, PlanOptions
from scorer.planning.naming import claim_run

S = TypeVar("S", bound=CommonOptions)


@dataclass(frozen=True)
class Command(Generic[S]):
    """What `python -m scorer NAME` does."""

    settings: type[S]
    load: Callable[[], Callable[[S], None]]
    """Loads onnxruntime and pyarrow, which `--help` and a wrong option need not wait for."""
    help: str


def _run() -> Callable[[RunSettings], None]:
    from scorer.run import score

    return score


def _plan() -> Callable[[PlanSettings], None]:
    from scorer.run import plan

    return plan


def _work() -> Callable[[WorkSettings], None]:
    from scorer.scoring.work import work

    return work


def _commit() -> Callable[[CommitSettings], None]:
    from scorer.run import commit_run

    return commit_run


def _drive() -> Callable[[DriveSettings], None]:
    from scorer.cluster.driver import drive  # which needs the Kubernetes client, and nothing else does

    return drive


COMMANDS: Final[dict[str, Command[Any]]] = {
    "run": Command(RunSettings, _run, "plan, score every shard and commit, on this machine"),
    "plan": Command(PlanSettings, _plan, "only list the images and cut them into shards"),
    "work": Command(WorkSettings, _work, "only score a share of a plan's shards"),
    "commit": Command(CommitSettings, _commit, "only add up a run whose shards are all there"),
    "drive": Command(DriveSettings, _drive, "plan, score by a Job on Kubernetes and commit"),
}


def main() -> None:
    helps = {name: command.help for name, command in COMMANDS.items()}
    name, rest = choose_command(helps, sys.argv[1:], "python -m scorer")
    command = COMMANDS[name]
    siblings = [other.settings for other in COMMANDS.values()]
    settings = load(command.settings, rest, f"python -m scorer {name}", siblings)
    logs.set_up(settings.log_level, settings.log_format)
    run = command.load()
    wait_for_stores(settings.store_patience_s)
    again = "run again"
    if not getattr(settings, "dry_run", False):
        settings = claim_run(settings) if isinstance(settings, PlanOptions) else settings
        again = f"run again with --run-id {settings.run_id} to finish"
    Stopping(f"stopped by SIGTERM; {again}")
    about = {"run": run_id} if (run_id := getattr(settings, "run_id", None)) else {}
    try:
        with tracing.run_of("fovea-score", f"scorer {name}", **about):
            run(settings)
    except KeyboardInterrupt:
        print(f"stopped; {again}", file=sys.stderr)
        raise
