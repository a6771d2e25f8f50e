"""What callers are told of a version that is not served."""

from pathlib import Path

import pytest

from fovea.errors import BundleInvalid
from server.models.following import Candidate, VersionSearch, refusal_of

PLACES = "s3://bucket/models/pets", "/var/cache/my models"


@pytest.mark.parametrize(
    ("reason", "public"),
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
def test_callers_are_told_without_the_place(reason: str, public: str) -> None:
    refusal = refusal_of(Candidate(3, ()), BundleInvalid(reason), PLACES)
    assert (refusal.reason, refusal.public_reason) == (reason, public)


def test_what_was_not_foreseen_is_for_the_log_alone() -> None:
    refusal = refusal_of(Candidate(3, ()), OSError("/etc/secret: no"), PLACES)
    assert refusal.reason == "OSError: /etc/secret: no"
    assert refusal.public_reason == "it fails in a way that was not foreseen; the server's log says more"


def test_a_refused_version_is_next_again_when_a_file_of_it_has_changed(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "bundle.json").write_text("{}")
    search = VersionSearch(str(tmp_path), None)
    second = search.next(0, set())
    assert second is not None
    assert second.version == 2
    search.refuse(second, BundleInvalid("it is bad"))
    first = search.next(0, set())
    assert first is not None
    assert first.version == 1
    assert str(search.why_there_is_none()) == "it is bad"
    assert search.next(1, set()) is None
    (tmp_path / "2" / "model.onnx").write_bytes(b"another")
    changed = search.next(1, set())
    assert changed is not None
    assert (changed.version, search.next(1, {2})) == (2, None)
    assert (search.next(2, set()), search.refused) == (None, {})
