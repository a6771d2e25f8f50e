"""`python -m trainer`, which says that it releases, and is never done with it."""

from threading import Event
from typing import Any

from fovea import exits, foreground
from trainer import __main__ as program
from trainer import job


def _go_on_releasing(*_: Any) -> None:
    print("releasing", flush=True)
    foreground.wait_for(Event(), 600)


if __name__ == "__main__":
    job.release = _go_on_releasing  # type: ignore[attr-defined, assignment]
    exits.run(program.main)
