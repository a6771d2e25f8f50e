"""The pages in docs/ name commands, options and pages that exist."""

import inspect
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import get_args

import kubernetes_validate
import pytest
from google.protobuf import json_format
from prometheus_client import generate_latest

from fovea.command_line import flag
from fovea.errors import ExitCode
from fovea.images import decode_limits, metadata, tiff
from fovea.images.formats import IMAGE_SUFFIXES, readable
from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fovea.oip import open_inference_pb2
from fovea.settings import load
from fovea.stores import aws, azure, azure_strings, connection, credentials, google
from fovea.stores.conditional_puts import PROBE
from fovea.v1 import classify_pb2
from scorer.__main__ import COMMANDS
from scorer.cluster.job import job_body, read_template
from scorer.files.rows import SCHEMA, Status
from server.config import ServeSettings
from server.oip.request_limits import MAX_NUMBERS_BYTES, MAX_REST_BYTES
from server.telemetry.metrics import Metrics
from server.triton.config import TritonSettings
from trainer.__main__ import SETTINGS
from trainer.config import TrainSettings
from trainer.images.traits import DOUBTFUL

ROOT = Path(__file__).parents[1]
OBSTORE_READS = {
    *("aws_secret_access_key", "aws_session_token", "aws_web_identity_token_file", "aws_role_arn"),
    *("google_service_account", "google_service_account_key", "azure_storage_account_name"),
    *("azure_client_id", "azure_tenant_id", "azure_client_secret"),
}
"""Of what the page of buckets names, what no code of ours does."""
PAGES = sorted((ROOT / "docs").glob("*.md"))
TRAINER = [
    pytest.param(line.strip(), id=f"{page.name}: {line.strip()}")
    for page in PAGES
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python -m trainer ")
]


def test_there_are_pages_and_commands_to_check() -> None:
    assert {"training.md", "serving.md", "scoring.md"} <= {page.name for page in PAGES}
    assert len(TRAINER) >= 5


@pytest.mark.parametrize("command", TRAINER)
def test_trainer_takes_the_command(command: str) -> None:
    _, _, _, name, *arguments = shlex.split(command)
    assert load(SETTINGS[name], arguments, command, SETTINGS.values())


def test_options_that_the_training_page_names_exist() -> None:
    text = (ROOT / "docs" / "training.md").read_text()
    known = {
        "--" + name.replace("_", "-") for settings in SETTINGS.values() for name in settings.model_fields
    } | {"--help", "--json"}
    assert set(re.findall(r"--[a-z][a-z0-9-]*", text)) <= known


def test_options_that_the_serving_page_names_exist() -> None:
    # Between its fences are other programs' commands.
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / "serving.md").read_text(), flags=re.DOTALL)
    known = {flag(name) for name in (*ServeSettings.model_fields, *TritonSettings.model_fields)}
    assert set(re.findall(r"--[a-z][a-z0-9-]*", text)) <= known | {"--help"}


def test_metrics_that_the_serving_page_names_are_the_servers() -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    page = generate_latest(Metrics().registry).decode()
    shown = set(re.findall(r"^# TYPE (fovea_\w+)", page, re.MULTILINE))
    assert set(re.findall(r"`(fovea_\w+)`", text)) == shown | {"fovea_model_info"}


def test_requests_that_the_serving_page_writes_as_json_are_requests() -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    (image,) = re.findall(r"echo \"(.*?)\" \| grpcurl", text)
    unquoted = re.sub(r"\$\(.*?\)", "aW1hZ2U=", image).replace('\\"', '"')
    request = json_format.Parse(unquoted, classify_pb2.ClassifyRequest())
    assert (request.image, request.top_k) == (b"image", 3)
    (named,) = re.findall(r"grpcurl -plaintext -d '(.*?)' \S+ inference", text)
    assert json_format.Parse(named, open_inference_pb2.ModelMetadataRequest()).name == "pets"


@pytest.mark.parametrize("contract", [classify_pb2, open_inference_pb2], ids=["fovea.v1", "inference"])
def test_methods_that_the_serving_page_calls_exist(contract: ModuleType) -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    (service,) = contract.DESCRIPTOR.services_by_name.values()
    called = re.findall(rf"{re.escape(service.full_name)}/(\w+)", text)
    assert called
    assert set(called) <= set(service.methods_by_name)


def test_limits_of_a_request_that_the_serving_page_states_are_the_servers() -> None:
    text = (ROOT / "docs" / "serving.md").read_text()
    rest, numbers = re.findall(r"may have (\d+) KiB apart from its tensors' data, and (\d+) MiB of", text)[0]
    assert (int(rest) * 1024, int(numbers) * 1024 * 1024) == (MAX_REST_BYTES, MAX_NUMBERS_BYTES)


SERVING_STATED = {
    "max_images_per_call": r"takes up to (\d+) \(`--max-images-per-call`\)",
    "queue_capacity": r"(\d+) images \(`--queue-capacity`\)",
    "watch_interval_s": r"every (\d+) seconds \(`--watch-interval-s`\)",
    "grace_s": r"`--grace-s` \((\d+) seconds\)",
    "max_connection_age_s": r"`--max-connection-age-s` \((\d+) seconds,",
}


@pytest.mark.parametrize("name", SERVING_STATED)
def test_default_that_the_serving_page_states_is_the_options_own(name: str) -> None:
    found = re.search(SERVING_STATED[name], (ROOT / "docs" / "serving.md").read_text())
    assert found, f"the page does not say {name} so"
    assert float(found[1]) == ServeSettings.model_fields[name].default


STATED = {
    "max_bad_fraction": (r"`--max-bad-fraction` of them \((\d+) %\)", 0.01),
    "val_fraction": (r"a (fifth) of each class is held out", 1.0),
    "frozen_epochs": (r"`--frozen-epochs` \((\d+)\)", 1.0),
    "max_accuracy_drop": (r"`--max-accuracy-drop` \((half) a point\)", 0.01),
}
"""Setting -> how the training page states its default, and in what unit."""
WORDS = {"fifth": 0.2, "half": 0.5}


@pytest.mark.parametrize("name", STATED)
def test_default_that_the_training_page_states_is_the_options_own(name: str) -> None:
    pattern, unit = STATED[name]
    found = re.search(pattern, (ROOT / "docs" / "training.md").read_text())
    assert found, f"the page does not say {name} so"
    stated = WORDS[found[1]] if found[1] in WORDS else float(found[1])
    assert stated * unit == pytest.approx(TrainSettings.model_fields[name].default)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)#]+)\)", page.read_text())]
    assert [t for t in targets if not t.startswith("http") and not (page.parent / t).exists()] == []


SCORING = (ROOT / "docs" / "scoring.md").read_text()
SCORER = [
    pytest.param(line.strip(), id=f"{page.name}: {line.strip()}")
    for page in (*PAGES, ROOT / "README.md")
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL)
    for line in block.splitlines()
    if line.startswith("python -m scorer ")
]
SCORER_SETTINGS = {name: command.settings for name, command in COMMANDS.items()}
SCORER_FIELDS = {name for settings in SCORER_SETTINGS.values() for name in settings.model_fields}


@pytest.mark.parametrize("command", SCORER)
def test_scorer_takes_the_command(command: str) -> None:
    _, _, _, name, *arguments = shlex.split(command)
    assert load(SCORER_SETTINGS[name], arguments, command, SCORER_SETTINGS.values())


def test_every_command_of_the_scorer_is_shown() -> None:
    shown = {shlex.split(str(command.values[0]))[3] for command in SCORER}
    assert shown == set(COMMANDS)


def test_options_that_the_scoring_page_names_are_the_scorers_and_all_of_them() -> None:
    of_positionals, of_others = {"--source"}, {"--help", "--from"}  # the latter is kubectl's
    known = {flag(name) for name in SCORER_FIELDS} - of_positionals
    assert set(re.findall(r"--[a-z][a-z0-9-]*", SCORING)) - of_others == known


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.name)
def test_scoring_variables_that_a_page_names_exist(page: Path) -> None:
    named = set(re.findall(r"FOVEA_SCORE_([A-Z_]+[A-Z])", page.read_text()))
    assert {name.lower() for name in named} <= SCORER_FIELDS


def test_columns_and_statuses_that_the_scoring_page_names_are_the_rows_own() -> None:
    columns, statuses = (
        set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE))))
        for table in re.findall(r"\| (?:column|status) \|.*?\n\n", SCORING, re.DOTALL)
    )
    assert columns == set(SCHEMA.names)
    assert statuses == set(get_args(Status))


def test_exit_codes_that_the_scoring_page_names_are_all_there_are() -> None:
    (table,) = re.findall(r"\| code \| the run \|\n\|---\|---\|\n(.*?)\n\n", SCORING, re.DOTALL)
    named = {
        int(code) for cell in re.findall(r"^\| ([\d, ]+) \|", table, re.MULTILINE) for code in cell.split(",")
    }
    assert named == set(ExitCode)


def test_the_job_template_that_the_scoring_page_shows_is_one(tmp_path: Path) -> None:
    (template,) = re.findall(r"```yaml\n(.*?)```", SCORING, re.DOTALL)
    (tmp_path / "job.yaml").write_text(template)
    body = job_body(read_template(tmp_path / "job.yaml"), "s3://my-bucket/scores", "night-7", 8)
    kubernetes_validate.validate(body, kubernetes_validate.latest_version(), strict=True)


SCORING_STATED = {
    "max_bad_fraction": r"when more of its rows are not `ok`; ([\d.]+) unless",
}


@pytest.mark.parametrize("name", SCORING_STATED)
def test_default_that_the_scoring_page_states_is_the_options_own(name: str) -> None:
    found = re.search(SCORING_STATED[name], SCORING)
    assert found, f"the page does not say {name} so"
    assert float(found[1]) == SCORER_SETTINGS["run"].model_fields[name].default


IMAGES = (ROOT / "docs" / "images.md").read_text()


def test_the_page_of_buckets_names_what_is_read_and_nothing_else() -> None:
    """Variables of ours, by what reads them, and the extras that pyproject.toml has."""
    page = (ROOT / "docs" / "buckets.md").read_text()
    named = set(re.findall(r"`((?:AWS|AZURE|GOOGLE)_[A-Z_]+)`", page))
    source = "".join(
        inspect.getsource(module) for module in (aws, azure, azure_strings, credentials, google, connection)
    )
    obstores = {name.upper() for name in OBSTORE_READS}
    assert {"AWS_PROFILE", "AZURE_STORAGE_CONNECTION_STRING", "GOOGLE_APPLICATION_CREDENTIALS"} <= named
    assert [name for name in sorted(named) if name not in source and name not in obstores] == []
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"the extra `(\w+)`", page)) == {"aws", "azure", "google"} <= set(extras)
    assert f"`{PROBE}`" in page


def test_formats_and_endings_that_the_page_of_images_names_are_those_that_are_read() -> None:
    rows = re.findall(r"^\| ([A-Z][\w, ]+) \| (`.*?`) \|", IMAGES, re.MULTILINE)
    named = {"HEIC, HEIF": "HEIF", "JPEG XL": "JXL"}
    assert {named.get(name, name.upper()) for name, _ in rows} == set(readable())
    assert sorted(ending for _, cell in rows for ending in re.findall(r"`(\w+)`", cell)) == sorted(
        IMAGE_SUFFIXES
    )


def test_limits_that_the_page_of_images_states_are_the_image_paths() -> None:
    bytes_, pixels = re.findall(r"decoded: (\d+) MiB and (\d+) megapixels", IMAGES)[0]
    assert (int(bytes_) * 1024**2, int(pixels) * 1_000_000) == (MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS)
    assert f"more than {decode_limits.MAX_SCANS} scans" in IMAGES
    assert f"{tiff.MAX_VALUES:,} places of strips" in IMAGES
    assert metadata.MAX_PIECES == 1_000_000
    assert f"run-length encoded up to {decode_limits.MAX_RLE_PIXELS // 1_000_000} megapixels" in IMAGES
    assert set(re.findall(r'as "([\w ]+)", and also', IMAGES)) < set(DOUBTFUL)
