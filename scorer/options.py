"""The options of `python -m scorer`, in groups: each command's settings put together those that it needs."""

import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from fovea.capture.options import RunCaptureOptions
from fovea.command_line import flag
from fovea.cpus import available_cpus
from fovea.images.names import IMAGE_GLOBS
from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fovea.logs import LogFormat, LogLevel
from fovea.model.providers import Provider
from fovea.settings import CommaSeparated, ProgramSettings, variable
from fovea.stores.patience import MAX_PATIENCE_S


def utc_timestamp() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


class CommonOptions(ProgramSettings):
    """Of every command."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_SCORE_")

    output: str = Field(
        min_length=1,
        description="where plan/, runs/ and latest.json are written, a folder or a bucket's prefix",
    )
    run_id: str = Field(
        default_factory=utc_timestamp,
        description="the run's name, by default the time; given again, it finishes what is missing",
    )
    store_patience_s: float | None = Field(
        None,
        ge=0,
        le=MAX_PATIENCE_S,
        description="how long a bucket whose store is away is waited for, in seconds, from its last answer "
        "on; by default 45, and one that never answered is given up at once",
    )
    log_level: LogLevel = Field("info", description="least severe messages that are logged")
    log_format: LogFormat = Field("auto", description="auto is text on a terminal and JSON elsewhere")

    @field_validator("run_id")
    @classmethod
    def _run_id_names_a_folder(cls, value: str) -> str:
        return _as_run_id(value)


class ModelOptions(CommonOptions):
    """Of the commands that load the model."""

    provider: Provider = Field("auto", description="what runs the model; auto is CUDA where it comes up")
    threads: int = Field(
        1,
        ge=1,
        description="cores that work on one batch in the model; on a CPU there are as many batches at once "
        "as decode threads, so that more than 1 helps only where those are few",
    )
    model_cache: Path | None = Field(
        None, description="where a bucket's model is kept unless in fovea below the user's cache folder"
    )


class PlanOptions(RunCaptureOptions, ModelOptions):
    """What is to be scored, and into how many pieces it is cut."""

    requeue: str | None = Field(
        None,
        description="a finished run whose images that are not ok are tried again; the rest of its rows is "
        "copied. SOURCE and the model are that run's",
    )
    source: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        description="the images: a folder, or a prefix as s3://, gs:// or az://BUCKET/PREFIX (required)",
    )
    keys: str | None = Field(
        None,
        description="a parquet or CSV file whose column key names the images, relative to SOURCE; without it "
        "SOURCE is listed",
    )
    models: str = Field(
        min_length=1, description="one model's folder of versions, local or in a bucket (models/pets)"
    )
    model_version: str = Field("latest", description="a version's number, or latest")
    include: CommaSeparated = Field(
        IMAGE_GLOBS,
        description="score the keys that match one of these globs (a,b,c), in either case; * crosses "
        "folders too, but takes hidden and system files (._a.jpg, __MACOSX/) only where a glob names them",
    )
    exclude: CommaSeparated = Field((), description="of those, leave out the keys that match one of these")
    full: bool = Field(
        False,
        description="score every image again; else the rows of unchanged ones are copied from the last run",
    )
    top_k: int = Field(5, ge=1, description="best classes in each row; fewer if the model has fewer")
    label_sets: bool = Field(
        False,
        description="a column label_set in each row: the labels that hold the truth as often as the model "
        "was released for",
    )
    distances: bool = Field(
        False,
        description="columns distance and unknown: how far an image is from those that the model was trained "
        "on, and whether too far for the model to know it",
    )
    embeddings: bool = Field(
        False, description="a column embedding: what the network sees in the image, as a vector of length 1"
    )
    shard_images: int = Field(
        10_000, ge=1, le=1_000_000, description="images in a parquet file, which is what a restart keeps"
    )
    shard_bytes: int = Field(
        4 * 1024**3, ge=1, description="bytes to be fetched for a parquet file; one larger image comes alone"
    )
    max_image_bytes: int = Field(
        MAX_IMAGE_BYTES, ge=1, description="larger images get a row too_large and are not fetched"
    )
    max_image_pixels: int = Field(
        MAX_IMAGE_PIXELS, ge=1, description="images of more pixels get a row too_large and are not decoded"
    )

    @field_validator("requeue")
    @classmethod
    def _requeue_is_a_run_id(cls, value: str | None) -> str | None:
        return None if value is None else _as_run_id(value)

    @field_validator("source")
    @classmethod
    def _source_is_given(cls, value: str, others: ValidationInfo) -> str:
        if not value and others.data.get("requeue"):
            return value
        # plan.json is UTF-8, and a name that is not comes from Python with surrogates in it.
        return matching("[^\ud800-\udfff]+", value, "name the folder or prefix of the images, in UTF-8")

    @field_validator("model_version")
    @classmethod
    def _version_is_a_number(cls, value: str) -> str:
        return matching("latest|[1-9][0-9]*", value, "a version is a number from 1 on, or latest")

    @field_validator("include")
    @classmethod
    def _something_is_included(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("there must be a glob, such as *.jpg")
        return value

    @property
    def version(self) -> int | None:
        """The version that is asked for, None for the latest."""
        return None if self.model_version == "latest" else int(self.model_version)


class WorkOptions(ModelOptions):
    """How a shard is worked on; none of it changes a row."""

    batch_size: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="images that the model classifies at once, by default 4 on a CPU and 64 on a GPU",
    )
    decode_threads: int = Field(
        # One more than the cores: each waits for Python's lock for some of its time, and a core with it.
        default_factory=lambda: available_cpus() + 1,
        ge=1,
        le=256,
        description="images decoded at once, and on a CPU batches classified; by default one more than the "
        "cores",
    )
    fetch_concurrency: int = Field(32, ge=1, le=512, description="images fetched at once")
    max_inflight_bytes: int = Field(
        256 * 1024 * 1024,
        ge=1,
        description="bytes of image files held in memory; one that is larger comes alone",
    )


class CommitOptions(CommonOptions):
    """What a run must be for latest.json to name it."""

    max_bad_fraction: float = Field(
        # More bad images than good ones is a wrong prefix or a broken export, whatever the images are; what
        # is normal below that only the owner of the images knows.
        0.5,
        ge=0,
        le=1,
        description="fail the run (65), and leave latest.json, if more of its rows than this are not ok; "
        "below 1 also if it has none, and the last run some",
    )
    max_drift: float | None = Field(
        None,
        ge=0,
        description="leave latest.json, and end with 65, if the PSI of the run's labels, probabilities or "
        "share of abstentions against the last run's, or without one the held-out images', is above this "
        "(0.25 is a large change) and above what chance gives; of a multi-label model, how far the odds of "
        "the label furthest off have moved (0.25: by 2.75 times)",
    )
    verify: str | None = Field(
        None,
        min_length=1,
        description="host:port of a live server that is asked for a sample of the images again; if it says "
        "something else than the rows, fail the run (65), and leave latest.json",
    )
    verify_tls: bool = Field(False, description="speak TLS to that server, trusting the public authorities")
    verify_tls_ca: Path | None = Field(
        None, description="speak TLS to it, trusting the authority in this PEM file instead"
    )
    verify_tls_cert: Path | None = Field(
        None, description="the certificate to show it, for mutual TLS; with --verify-tls-key"
    )
    verify_tls_key: Path | None = Field(None, description="the key of --verify-tls-cert")
    verify_token_file: Path | None = Field(
        None, description="file of the token that says who calls it, where it asks for that"
    )
    verify_images: int = Field(64, ge=1, le=10_000, description="how many images --verify asks for")

    @model_validator(mode="after")
    def _certificate_has_its_key(self) -> Self:
        if (self.verify_tls_cert is None) != (self.verify_tls_key is None):
            raise ValueError("--verify-tls-cert and --verify-tls-key go together: one of them is missing")
        return self

    @model_validator(mode="after")
    def _something_is_to_be_verified(self) -> Self:
        given = [name for name in _OF_VERIFY if name in self.model_fields_set and getattr(self, name)]
        # In a pod's environment it may stand for those nights that ask a server.
        given = [name for name in given if variable(type(self), name) not in os.environ]
        if given and self.verify is None:
            raise ValueError(f"{flag(given[0])} is for --verify, which is not given")
        return self

    @field_validator("verify")
    @classmethod
    def _server_has_a_port(cls, value: str | None) -> str | None:
        # Found before the night, and not at its end; gRPC has other names, too, such as dns:///fovea:8001.
        server = r"(dns|ipv4|ipv6|unix):\S+|[^\s/]+:[0-9]{1,5}"
        return value and matching(server, value, "a server is written host:port, such as localhost:8001")


_OF_VERIFY: Final = (
    *("verify_tls", "verify_tls_ca", "verify_tls_cert", "verify_tls_key"),
    *("verify_token_file", "verify_images"),
)


def _as_run_id(value: str) -> str:
    allowed = "a run id is letters, digits, dots, dashes and underscores, at most 100"
    return matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", value, allowed)


def matching(pattern: str, value: str, otherwise: str) -> str:
    if not re.fullmatch(pattern, value):
        raise ValueError(otherwise)
    return value
