"""What a run is to score: plan.json, which is written once and read by everybody."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.errors import DataInvalid, ObjectMissing, SettingsInvalid
from fovea.folder import Folder
from fovea.settings import flag
from scorer import layout


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class RunSpec(_Frozen):
    """All that decides what a run's rows are. It is the same for every shard and every restart."""

    run: str
    source: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    models: str
    model_name: str
    model_version: int
    model_digest: str
    preprocess_digest: str
    top_k: int
    max_image_bytes: int
    max_image_pixels: int


class PlannedShard(_Frozen):
    """A contiguous range of the keys."""

    index: int
    manifest: str = Field(description="path below the output")
    images: int
    size_bytes: int
    carried: int = Field(0, description="of the images, those whose rows are copied from an earlier run")
    carry_from: tuple[str, ...] = Field(
        (), description="files below the output that hold the carried rows, sorted by key"
    )


class Plan(_Frozen):
    """The content of plan.json."""

    format: Literal[1] = 1
    created: datetime
    spec: RunSpec
    shards: tuple[PlannedShard, ...] = Field(min_length=1, description="one empty shard if nothing is there")
    left_out: int = Field(0, description="files that no glob of include matches")
    previous: str | None = Field(None, description="the run whose rows are carried forward")
    settings: dict[str, Any] = Field(description="the planner's settings, to look up later")

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)


def read_plan(output: Folder, run: str) -> Plan | None:
    """The plan of this run, None while there is none. Raises DataInvalid when it cannot be understood."""
    path = f"{layout.plan_folder(run)}/{layout.PLAN}"
    try:
        return Plan.model_validate_json(output.read(path))
    except ObjectMissing:
        return None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(map(str, first["loc"])) or "the file"
        raise DataInvalid(f"{output.uri}/{path}: not a plan: {field}: {first['msg']}") from error


def check_same_run(planned: RunSpec, wanted: RunSpec) -> None:
    """Raises SettingsInvalid, naming the first difference, when the two would not give the same rows."""
    for name in RunSpec.model_fields:
        before, now = getattr(planned, name), getattr(wanted, name)
        if before != now:
            option = "SOURCE" if name == "source" else flag(name)
            raise SettingsInvalid(
                f"--run-id {planned.run}: this run was planned with {option} {_shown(before)}, "
                f"not {_shown(now)}; take another --run-id"
            )


def _shown(value: object) -> str:
    return ",".join(map(str, value)) or "nothing" if isinstance(value, tuple) else str(value)
