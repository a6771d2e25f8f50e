"""docs/scoring.md: the columns and statuses of the rows, the exit codes, the template of a Job."""

from pathlib import Path
from typing import get_args

import kubernetes_validate

from fovea.errors import ExitCode
from scorer.cluster.job import job_body, read_template
from scorer.files.rows import DISTANCE, EMBEDDING, LABEL_SET, SCHEMA, Status, schema_of
from tests.docs.pages import SCORING
from tests.scorer.made_runs import made_spec


def test_columns_and_statuses_are_the_rows_own() -> None:
    columns = [name for row in SCORING.table("column") for name in row["column"].code]
    statuses = [name for row in SCORING.table("status") for name in row["status"].code]
    multi_label = schema_of(made_spec(task="multi"))
    every = (*SCHEMA, *multi_label, LABEL_SET, *DISTANCE, EMBEDDING)
    assert sorted(columns) == sorted([*{field.name for field in every}])
    assert sorted(statuses) == sorted(get_args(Status))


def test_exit_codes_are_all_there_are() -> None:
    codes = [int(code) for row in SCORING.table("code") for code in row["code"].text.split(",")]
    assert sorted(codes) == sorted(ExitCode)


def test_the_job_template_is_one(tmp_path: Path) -> None:
    (template,) = SCORING.fences("yaml")
    (tmp_path / "job.yaml").write_text(template)
    body = job_body(read_template(tmp_path / "job.yaml"), "s3://my-bucket/scores", "night-7", 8)
    kubernetes_validate.validate(body, kubernetes_validate.latest_version(), strict=True)
