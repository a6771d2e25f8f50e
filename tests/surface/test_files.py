"""The files of a model and of a night. Those of a training are in tests/trainer, where one is at hand."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from scorer.files.rows import schema_of
from scorer.run import score
from tests import tiny
from tests.scorer.made_runs import made_spec
from tests.scorer.runs import settings_for
from tests.surface.recording import compare, files_below, name_below


def test_files_of_a_model_are_as_recorded(tiny_models: Path) -> None:
    compare("model.json", files_below(tiny_models))


def test_files_of_two_nights_are_as_recorded(tmp_path: Path, tiny_models: Path) -> None:
    photos, output = tmp_path / "photos", tmp_path / "output"
    tiny.fill_folder(photos)
    (photos / "broken.jpg").write_bytes(b"no image")
    for run in ("night-1", "night-2"):
        score(settings_for(photos, tiny_models, output, run=run))
        (photos / "more.png").write_bytes(tiny.picture("red"))
    compare("nights.json", files_below(output))
    files = sorted(output.rglob("*.parquet"))
    compare("tables.json", {name_below(output, file): columns(file) for file in files})


def test_rows_of_a_multi_label_model_are_as_recorded() -> None:
    compare("multi-label.json", {"rows": columns_of(schema_of(made_spec(task="multi")))})


def columns(file: Path) -> dict[str, str]:
    return columns_of(pyarrow.parquet.read_schema(file))


def columns_of(schema: pa.Schema) -> dict[str, str]:
    return {field.name: f"{field.type}{'' if field.nullable else ' not null'}" for field in schema}
