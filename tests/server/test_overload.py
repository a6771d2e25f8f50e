"""Ten times as many images as resnet34 can take. The times are a benchmark's matter: wide limits here."""

from pathlib import Path

import pytest

from benchmarks.overload import overload, quantile
from benchmarks.served import running_server
from benchmarks.serving_models import publish_untrained_resnet34


@pytest.mark.slow
def test_overload_is_refused_at_once_and_what_is_accepted_is_answered_in_time(tmp_path: Path) -> None:
    publish_untrained_resnet34(tmp_path / "resnet34", tmp_path / "staging")
    with running_server(tmp_path / "resnet34") as server:
        seen = overload(server, times=10, seconds=15)
    assert not seen.others
    assert len(seen.refused) > len(seen.answered) > 0
    assert seen.late <= 0.05 * len(seen.answered)
    assert seen.throughput.images_s > 0.6 * seen.best.images_s
    assert quantile(seen.refused, 0.5) < 0.1
    assert quantile(seen.refused, 0.99) < 0.5
    assert max(seen.probes) < 1
    assert seen.memory[1] < 1.1 * seen.memory[0]
