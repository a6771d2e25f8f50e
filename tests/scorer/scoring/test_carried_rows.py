from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from fovea.stores.folder import Entry
from scorer.files.rows import Failure, RowWriter
from scorer.scoring.carried_rows import CarriedRows
from scorer.scoring.shard import RowsInOrder

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def entries(carried_places: list[bool], wanted: bool) -> list[Entry]:
    return [Entry(f"{i:03}", 1, "1", NOW) for i, copied in enumerate(carried_places) if copied == wanted]


def failures(count: int, error: str) -> list[Failure]:
    return [Failure("undecodable", error)] * count


@settings(deadline=None, max_examples=50)
@given(carried_places=st.lists(st.booleans(), min_size=1, max_size=30), batch_size=st.integers(1, 5))
def test_copied_rows_come_where_their_keys_belong(carried_places: list[bool], batch_size: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        names = ("run", "model_name", "model_digest", "preprocess_digest")
        same = {**dict.fromkeys(names, "x"), "model_version": 1}
        old, new = entries(carried_places, wanted=True), entries(carried_places, wanted=False)
        with RowWriter(Path(folder) / "copied.parquet", same) as writer:
            writer.write(old, failures(len(old), "copied"), NOW)
        carried = CarriedRows(np.array(carried_places), writer.path, Counter({"undecodable": len(old)}))
        with RowWriter(path, same) as writer:
            in_order = RowsInOrder(writer, carried)
            for start in range(0, len(new), batch_size):
                part = new[start : start + batch_size]
                in_order.write(part, failures(len(part), "scored"), NOW)
            in_order.finish()
        written = pq.read_table(path)
    assert written["key"].to_pylist() == [f"{i:03}" for i in range(len(carried_places))]
    assert written["error"].to_pylist() == ["copied" if copied else "scored" for copied in carried_places]
