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
        outcome = overload(server, times=10, seconds=15)
    assert not outcome.others
    assert len(outcome.refused) > len(outcome.answered) > 0
    assert outcome.late <= 0.05 * len(outcome.answered)
    assert outcome.throughput.images_s > 0.6 * outcome.best.images_s
    assert quantile(outcome.refused, 0.5) < 0.1
    assert quantile(outcome.refused, 0.99) < 0.5
    assert max(outcome.probes) < 1
    assert outcome.memory[1] < 1.1 * outcome.memory[0]
