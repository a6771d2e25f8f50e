"""The client with a tenth of its pauses before another try: as a program it is `python -m fovea.client`."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

MODULE = "tests.fovea.client.quick_retries"
_PAUSES = {"initialBackoff": "0.01s", "maxBackoff": "0.1s"}


def options() -> list[tuple[str, str | int]]:
    """Of every channel."""
    from fovea.client import channel

    every = dict(channel.OPTIONS)
    config = json.loads(str(every["grpc.service_config"]))
    (method,) = config["methodConfig"]
    assert _PAUSES.keys() <= method["retryPolicy"].keys()
    method["retryPolicy"] |= _PAUSES
    return list({**every, "grpc.service_config": json.dumps(config)}.items())


def patch(monkeypatch: "pytest.MonkeyPatch") -> None:
    monkeypatch.setattr("fovea.client.channel.OPTIONS", options())


if __name__ == "__main__":
    import fovea.client.command  # noqa: F401 - sets what gRPC is told before it is loaded
    from fovea import entry
    from fovea.client import channel

    channel.OPTIONS[:] = options()
    entry.run("fovea.client.command")
