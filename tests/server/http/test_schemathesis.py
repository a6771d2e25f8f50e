"""schemathesis makes up requests by the document, good ones and bad ones, and holds the answers to it."""

from collections.abc import Iterable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from tests.servers import ServerProcess
from tests.tiny import picture

IMAGES = strategies.one_of(
    strategies.sampled_from([picture("red"), picture("blue", kind="JPEG"), picture("green", kind="WEBP")]),
    strategies.binary(max_size=100),
)
LATE = "504"
"""Of X-Timeout-Ms a tiny part of a millisecond is as good as any."""
GOOD = ["2xx", "400", "404", "413", LATE]
"""No schema tells an image from other bytes, how many labels there are, or which versions."""
EXAMPLES = 60


@pytest.mark.slow
def test_nothing_is_answered_that_the_document_does_not_say(server: ServerProcess) -> None:
    for operation in operations(server):

        @hypothesis.given(case=operation.as_strategy())
        @hypothesis.settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            suppress_health_check=[*hypothesis.HealthCheck],
        )
        def try_out(case: Any) -> None:
            case.call_and_validate()

        try_out()


def operations(server: ServerProcess) -> Iterable[Any]:
    import schemathesis

    for media_type in ("image/*", "application/octet-stream"):
        schemathesis.openapi.media_type(media_type, IMAGES)
    checks = {
        "positive_data_acceptance": {"expected-statuses": GOOD},
        "not_a_server_error": {"expected-statuses": ["2xx", "4xx", LATE]},
    }
    config = schemathesis.Config.from_dict({"checks": checks})
    url = f"http://127.0.0.1:{server.ready['http_port']}/openapi.json"
    loaded: Any = schemathesis.openapi.from_url(url, config=config)
    found = [each.ok() for each in loaded.get_all_operations()]
    assert len(found) >= 17  # all but the document itself, which schemathesis leaves out
    return found
