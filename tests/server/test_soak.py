from pathlib import Path

import pytest

from benchmarks.served import running_server
from benchmarks.serving_models import publish_tiny
from benchmarks.soak import soak


@pytest.mark.slow
def test_two_minutes_of_all_kinds_of_clients_leave_the_server_as_it_was(tmp_path: Path) -> None:
    publish_tiny(tmp_path / "tiny", tmp_path / "staging")
    with running_server(tmp_path / "tiny") as server:
        soaked = soak(server, 120)
    assert soaked.complaints() == []
    assert soaked.ends["OK"] > 1000
    assert soaked.ends["INVALID_ARGUMENT"] > 100
    assert soaked.ends["CANCELLED"] + soaked.ends["DEADLINE_EXCEEDED"] > 100
