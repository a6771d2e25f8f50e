"""Starts two ranks, of which the first is never done, and the other at once."""

import os
from threading import Event

from fovea import exits, foreground
from fovea.stopping import Stopping
from trainer.ranks.launching import launch


def work(_: None) -> None:
    Stopping()
    if os.environ["RANK"] == "0":
        print("at work", flush=True)
        foreground.wait_for(Event(), 600)


if __name__ == "__main__":
    exits.run(lambda: launch(2, work, None))
