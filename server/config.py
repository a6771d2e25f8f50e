"""The server's settings: each is a flag, a variable FOVEA_SERVE_... and a default."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from fovea.capture.options import HourlyCaptureOptions
from fovea.command_line import flag
from fovea.images.preprocess import MAX_IMAGE_BYTES, MAX_IMAGE_PIXELS
from fovea.logs import LogFormat, LogLevel
from fovea.model.providers import Provider
from fovea.settings import CommaSeparated, ProgramSettings
from server.choices import FrontsChoice, ServedPrecision, VersionChoice, number_of
from server.rollout_options import RolloutOptions

PROGRAM: Final = "python -m server"
TRACED_AS: Final = "fovea-serve"
"""The service.name of its spans, where the environment gives no other."""
PORT: Final = 8001
METRICS_PORT: Final = 8002
HEALTH_PORT: Final = 8003
HTTP_PORT: Final = 8000


def _is_safe(url: SplitResult) -> bool:
    is_here = url.hostname in {"localhost", "127.0.0.1", "::1"}
    return bool(url.hostname) and (url.scheme == "https" or (url.scheme == "http" and is_here))


_OF_WEB_TOKENS: Final = ("jwt_jwks", "jwt_issuer", "jwt_audience")

LARGEST_MESSAGE_BYTES: Final = 2**31 - 1
"""gRPC counts a message's bytes in 32 bits."""


_MODELS: Final = (
    "the model's folder of versions: a path, s3://, gs://, az://; of several models, each, by a --models of "
    "its own or with commas between"
)


class ServingOptions(ProgramSettings):
    """All but what is captured."""

    models: CommaSeparated = Field(
        (),
        description=_MODELS,
    )
    model_root: str | None = Field(
        None, min_length=1, description="a folder of models instead, each a folder of versions in it"
    )
    default_model: str | None = Field(
        None, min_length=1, description="of several models, the one that calls mean which name none"
    )
    model_memory_bytes: int | None = Field(
        None,
        ge=1,
        description="of several models on a CPU: what all may take; one that is not in use gives way to "
        "others, and comes back when it is called",
    )
    model_version: VersionChoice = Field("latest", description="the version to serve: latest, or its number")
    wait_for_model: bool = Field(
        False, description="wait, live but not ready, while no version is published yet, instead of ending"
    )
    model_cache: Path | None = Field(
        None, description="where a bucket's models are kept; unless set, fovea in the user's cache folder"
    )

    watch_interval_s: float = Field(
        10,
        ge=0,
        le=86_400,
        description="seconds between looks for a new version; 0 looks at SIGHUP alone",
    )

    host: str = Field("0.0.0.0", min_length=1, description="the address to listen on")  # noqa: S104
    port: int = Field(PORT, ge=0, le=65535, description="gRPC; 0 takes a free port")
    http: bool = Field(True, description="answer HTTP too, on --http-port")
    http_port: int = Field(
        HTTP_PORT, ge=0, le=65535, description="classification over HTTP; 0 takes a free port"
    )
    metrics_port: int = Field(
        METRICS_PORT, ge=0, le=65535, description="Prometheus metrics over HTTP; 0 takes a free port"
    )
    health_port: int = Field(
        HEALTH_PORT, ge=0, le=65535, description="gRPC health alone, for probes; 0 takes a free port"
    )

    fronts: FrontsChoice = Field(
        "auto",
        description="processes that speak gRPC and HTTP with callers: a number, or auto, which is one unless "
        "there are 8 cores, or 4 and a GPU",
    )

    precision: ServedPrecision = Field(
        "fp32",
        description="fp16, int8, int8-full where the bundle has them; auto takes the best that is fast here",
    )
    gpu_memory_bytes: int | None = Field(
        None, ge=64 * 1024 * 1024, description="the most that the model takes of the GPU's memory"
    )
    provider: Provider = Field("auto", description="where the model runs; a provider named here must come up")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="cores that the model takes on the CPU; unless set, all that the server may use",
    )
    decode_threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="threads that decode images for a GPU; unless set, as many as the cores it may use",
    )
    max_batch_size: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="images computed together, at most; unless set, 16 on a CPU, 64 on a GPU",
    )
    max_queue_delay_ms: float = Field(
        0, ge=0, le=10_000, description="how long a batch that is not full waits for more, in milliseconds"
    )

    queue_capacity: int = Field(
        256, ge=1, description="images in flight; a call that would exceed it is refused at once"
    )
    max_inflight_bytes: int = Field(
        256 * 1024 * 1024, ge=1, le=2**40, description="bytes of the images in flight, refused likewise"
    )
    max_images_per_call: int = Field(64, ge=1, description="images in one ClassifyBatch or ModelInfer call")
    max_image_bytes: int = Field(MAX_IMAGE_BYTES, ge=1, description="bytes of one encoded image")
    max_image_pixels: int = Field(MAX_IMAGE_PIXELS, ge=1, description="pixels of one image, width x height")

    max_connection_age_s: float = Field(
        10,
        ge=1,
        le=86_400,
        description="seconds after which callers connect anew, and find new servers; calls under way go on",
    )
    drain_delay_s: float = Field(
        0, ge=0, le=3600, description="seconds served on after SIGTERM, while load balancers take note"
    )
    grace_s: float = Field(
        30, ge=0, le=3600, description="seconds that calls in flight then have to finish before they are cut"
    )
    tls_cert: Path | None = Field(
        None,
        description="PEM file of the server's certificate and its chain: turns TLS on",
    )
    tls_key: Path | None = Field(None, description="PEM file of the private key of --tls-cert")
    tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities whose certificates callers must show (mTLS)"
    )
    token_file: Path | None = Field(
        None,
        description="file of the tokens by which calls are let in, a line each: NAME SCOPES SHA256; unless "
        "set, anybody may call",
    )
    jwt_jwks: str | None = Field(
        None,
        min_length=1,
        description="the issuer's keys, by whose JSON Web Tokens calls are let in too: a file, or https://",
    )
    jwt_issuer: str | None = Field(None, min_length=1, description="what these tokens must have as iss")
    jwt_audience: str | None = Field(
        None, min_length=1, description="what they must have as aud: that they are for this server"
    )
    open_metrics: bool = Field(
        True,
        description="show the metrics to anybody, also where calls need a token; else to a token for metrics",
    )
    open_health: bool = Field(
        True,
        description="answer the inference protocol's health and /ping to anybody likewise; else to any token "
        "that is known",
    )
    log_level: LogLevel = Field("info", description="debug adds a line for each call")
    log_format: LogFormat = Field("auto", description="auto is text on a terminal, JSON elsewhere")
    distance_sample: float = Field(
        0,
        ge=0,
        le=1,
        description="share of the images whose distance from the training's is measured for the metrics, "
        "though no caller wants it",
    )
    access_log_sample: float = Field(
        0.01, ge=0, le=1, description="share of the calls that get a line in the log; bugs always do"
    )

    @model_validator(mode="after")
    def _there_is_a_model(self) -> Self:
        if not self.models and self.model_root is None:
            raise ValueError(f"--models (or FOVEA_SERVE_MODELS) is missing: {_MODELS}")
        if self.models and self.model_root is not None:
            raise ValueError("--models and --model-root exclude each other")
        if not self.has_several:
            for name in ("default_model", "model_memory_bytes"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"{flag(name)} is for several models: more than one --models, or --model-root"
                    )
        elif self.version is not None:
            raise ValueError(
                "--model-version is for one model: of several, each has the latest version served"
            )
        return self

    @field_validator("tls_cert", "tls_key", "tls_client_ca", mode="before")
    @classmethod
    def _path_of_a_file(cls, value: object) -> object:
        if value == "":  # would be the working folder
            raise ValueError("must be the path of a PEM file")
        return value

    @field_validator("token_file", mode="before")
    @classmethod
    def _path_of_tokens(cls, value: object) -> object:
        if value == "":
            raise ValueError("must be the path of a file")
        return value

    @model_validator(mode="after")
    def _certificate_has_a_key(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            given, missing = ("key", "cert") if self.tls_cert is None else ("cert", "key")
            raise ValueError(f"--tls-{given} needs --tls-{missing} beside it")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("--tls-client-ca needs --tls-cert and --tls-key beside it")
        return self

    @field_validator("jwt_jwks")
    @classmethod
    def _address_is_safe(cls, value: str | None) -> str | None:
        # Whoever answers in the issuer's place lets in whom they like.
        if value and "://" in value and not _is_safe(urlsplit(value)):
            raise ValueError("must be a file or https://, or http:// to this machine")
        return value

    @model_validator(mode="after")
    def _web_tokens_have_issuer_and_audience(self) -> Self:
        given = {name: getattr(self, name) is not None for name in _OF_WEB_TOKENS}
        if any(given.values()) and not all(given.values()):
            missing = next(name for name, is_given in given.items() if not is_given)
            present = next(name for name, is_given in given.items() if is_given)
            raise ValueError(f"{flag(present)} needs {flag(missing)} beside it")
        return self

    @model_validator(mode="after")
    def _tokens_can_be_known(self) -> Self:
        for name, is_open in (("open_metrics", self.open_metrics), ("open_health", self.open_health)):
            if not is_open and self.token_file is None and self.jwt_jwks is None:
                raise ValueError(f"--no-{flag(name)[2:]} needs --token-file or --jwt-jwks beside it")
        return self

    @model_validator(mode="after")
    def _largest_call_can_be_admitted(self) -> Self:
        if self.max_images_per_call > self.queue_capacity:
            raise ValueError(
                f"--max-images-per-call ({self.max_images_per_call}) must not be more than "
                f"--queue-capacity ({self.queue_capacity}): such a call could never be admitted"
            )
        if self.max_image_bytes > min(self.max_inflight_bytes, LARGEST_MESSAGE_BYTES // 2):
            raise ValueError(
                f"--max-image-bytes ({self.max_image_bytes}) must not be more than --max-inflight-bytes "
                f"({self.max_inflight_bytes}), nor than 1 GiB"
            )
        return self

    @property
    def has_several(self) -> bool:
        """There may be more models than one."""
        return self.model_root is not None or len(self.models) > 1

    @property
    def version(self) -> int | None:
        """The version's number, None for the latest."""
        return number_of(self.model_version)

    @property
    def max_message_bytes(self) -> int:
        """The largest call that can be admitted, with room for what surrounds the images."""
        images = min(self.max_images_per_call * self.max_image_bytes, self.max_inflight_bytes)
        return min(images + 1024 * 1024, LARGEST_MESSAGE_BYTES)


class ServeSettings(HourlyCaptureOptions, RolloutOptions, ServingOptions):
    """Serves a published model: gRPC, with health and reflection, on --port, and HTTP on --http-port."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_SERVE_")

    @model_validator(mode="after")
    def _has_room_for_a_second_version(self) -> Self:
        self.check_rollout(several=self.has_several, pinned=self.version)
        return self
