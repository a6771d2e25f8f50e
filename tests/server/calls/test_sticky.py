from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.calls.answering import Context
from server.calls.sticky import key_of


@pytest.mark.parametrize(
    ("metadata", "request_id", "key"),
    [
        ((("fovea-sticky-key", "ann"),), "7", "ann"),
        ((("other", "x"), ("fovea-sticky-key", b"ann")), "7", "ann"),
        ((("fovea-sticky-key", ""),), "7", "7"),
        ((("other", "x"),), "", ""),
        (None, "7", "7"),
    ],
)
def test_a_call_is_known_by_its_sticky_key_or_else_by_its_id(
    metadata: Any, request_id: str, key: str
) -> None:
    context = cast("Context", SimpleNamespace(invocation_metadata=lambda: metadata))
    assert key_of(context, request_id) == key
