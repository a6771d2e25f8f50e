"""How to do it again: the command that a run was started with, from what was saved of its settings."""

import json
import shlex
from typing import Final

from pydantic import JsonValue

from fovea.command_line import flag
from fovea.settings import SavedSettings
from trainer.config import TrainSettings
from trainer.options import implied_by, sources_of

OF_THE_NETWORK: Final = {"weights", "weights_sha256", "frozen_epochs"}
"""What a run that continues another takes from there and may not be given."""


def command_again(
    settings: SavedSettings, model: str, threads: int, continued_from: str | None = None
) -> list[str]:
    """The command, an entry a line: what differs from the defaults is given.

    `settings` are the contract's, JSON-ready; the model is published under models/`model`. Threads are given,
    for the last bit of a sum depends on their number.
    """
    data = " ".join(f"--data {shlex.quote(source)}" for source in _as_given(sources_of(settings["data"])))
    start = f"python -m trainer train {data}"
    options = [_option(name, settings[name]) for name in settings if _differs(settings, name)]
    if continued_from:
        unfit = tuple(flag(name) for name in OF_THE_NETWORK)
        options = [option for option in options if option.split()[0] not in unfit]
        options.append(f"--continue-from {shlex.quote(continued_from)}")
    return [start, f"--models {shlex.quote(f'models/{model}')}", *options, f"--threads {threads}"]


def _as_given(sources: tuple[str, ...]) -> tuple[str, ...]:
    """The first of several would be read as several itself where its name has commas: as JSON it is one."""
    first, *others = sources
    return (json.dumps([first]) if others and sources_of(first) != (first,) else first, *others)


def _differs(settings: SavedSettings, name: str) -> bool:
    field = TrainSettings.model_fields.get(name)
    if field is None or field.is_required() or settings[name] is None:
        return False
    usual = implied_by(settings["data"], settings.get("mode")).get(name, field.get_default())
    return bool(settings[name] != (list(usual) if isinstance(usual, tuple) else usual))


def _option(name: str, value: JsonValue) -> str:
    if isinstance(value, bool):
        return flag(name) if value else flag(f"no_{name}")
    written = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return f"{flag(name)} {shlex.quote(written)}"
