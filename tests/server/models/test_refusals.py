"""What callers are told of a version that is not served."""

import pytest

from fovea.errors import BundleInvalid
from server.models.refusals import refusal_of

PLACES = "s3://bucket/models/pets", "/var/cache/my models"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("s3://bucket/models/pets/3: its name is another", "its name is another"),
        ("s3://bucket/models/pets/3/model.onnx: changed", "model.onnx: changed"),
        ("/var/cache/my models/3-0a1b2c: golden check failed", "golden check failed"),
        (
            "s3://bucket/models/pets/3/model.onnx: no: /var/cache/my models/3-0a1b2c/model.onnx is bad",
            "model.onnx: no: model.onnx is bad",
        ),
        ("the image has 3/4 of its pixels", "the image has 3/4 of its pixels"),
    ],
)
def test_callers_are_told_without_the_place(reason: str, told: str) -> None:
    refusal = refusal_of(3, (), BundleInvalid(reason), *PLACES)
    assert (refusal.reason, refusal.public_reason) == (reason, told)


def test_what_was_not_foreseen_is_for_the_log_alone() -> None:
    refusal = refusal_of(3, (), OSError("/etc/secret: no"), *PLACES)
    assert refusal.reason == "OSError: /etc/secret: no"
    assert refusal.public_reason == "it fails in a way that was not foreseen; the server's log says more"
