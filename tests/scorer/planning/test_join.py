"""The listing and an earlier run's rows, compared key by key."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.errors import DataInvalid
from fovea.stores.folder import Entry
from fovea.stores.storage import LocalFolder, open_folder
from scorer.files.manifest import RowPlace, key_bytes
from scorer.planning.carry import Rule, carry_forward
from scorer.planning.earlier import EarlierRow
from scorer.planning.planner import make_plan
from tests.scorer.runs import planned, settings_for


class Listing(LocalFolder):
    """A folder that lists what it is told to."""

    def __init__(self, path: Path, keys: list[str], etag: str = "1") -> None:
        super().__init__(path)
        self.keys, self.etag = keys, etag

    def entries(self) -> Iterator[Entry]:
        return (Entry(key, 1, self.etag, datetime(2026, 1, 1, tzinfo=UTC)) for key in self.keys)


@pytest.mark.parametrize("keys", [["b.png", "a.png"], ["a.png", "a.png"], ["é.png", "z.png"]])
def test_a_store_that_lists_unsorted_is_refused(
    keys: list[str], photos: Path, tiny_models: Path, output: Path
) -> None:
    options = settings_for(photos, tiny_models, output)
    spec = planned(options).spec.model_copy(update={"run": "other"})
    with pytest.raises(DataInvalid, match=r"does not list its keys sorted .* by --keys"):
        make_plan(options, open_folder(str(output)), spec, Listing(photos, keys))
    assert not (output / "plan" / "other" / "plan.json").exists()


KEYS = st.sampled_from(["a", "a/a", "a\\xe9", "a\udce9", "a\udcff", "aé", "b", "\U0001f600", "\uffff"])
# Few values, so that much is the same.
ETAGS = st.sampled_from(["1", "1", "2", ""])
STATUSES = st.sampled_from(["ok", "ok", "undecodable"])


@settings(max_examples=300, deadline=None)
@given(
    listed=st.dictionaries(KEYS, st.tuples(ETAGS, st.integers(0, 9))),
    earlier=st.dictionaries(KEYS, st.tuples(ETAGS, STATUSES)),
    statuses=st.sampled_from([frozenset({"ok"}), frozenset({"ok", "undecodable"})]),
)
def test_the_join_carries_what_a_dictionary_would(
    listed: dict[str, tuple[str, int]], earlier: dict[str, tuple[str, str]], statuses: frozenset[str]
) -> None:
    entries = [Entry(key, size, etag, datetime.now(UTC)) for key, (etag, size) in listed.items()]
    entries.sort(key=lambda entry: key_bytes(entry.key))
    names = sorted(earlier, key=key_bytes)
    rows = [EarlierRow(key_bytes(key), *earlier[key], "file", row) for row, key in enumerate(names)]
    images = list(carry_forward(entries, rows, Rule(statuses, max_image_bytes=5)))
    assert [image.entry for image in images] == entries
    for entry, carried in images:
        etag, status = earlier.get(entry.key, ("", ""))
        same = etag == entry.etag != ""
        holds = same and status in statuses and (status != "ok" or entry.size <= 5)
        assert carried == (RowPlace("file", names.index(entry.key)) if holds else None)
