"""What a run is to score: plan.json, which is written once and read by everybody."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fovea.command_line import flag
from fovea.errors import DataInvalid, ObjectMissing, SettingsInvalid
from fovea.images.passed_over import summary_line
from fovea.model.task import Task
from fovea.settings import SavedSettings
from fovea.stores.folder import Folder
from scorer.files import layout


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class CaptureSpec(_Frozen):
    """What of a run's answers is captured."""

    folder: str
    images: bool = Field(description="with their bytes")
    share: float
    margin: float
    per_run: int
    bytes_per_run: int


class RunSpec(_Frozen):
    """All that decides what a run's rows are. It is the same for every shard and every restart."""

    run: str
    source: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    keys: str | None = Field(None, description="the file that names the keys; None for a listing of source")
    models: str
    model_name: str
    model_version: int
    model_digest: str
    preprocess_digest: str
    image_path: str = Field(
        "", description="revision and decoders, see fovea.images.formats; of old plans, empty"
    )
    earlier_image_path: str = Field("", description="of the rows that --requeue carried, where it is another")
    top_k: int
    label_set_quantile: float | None = Field(
        None, description="of the model's prediction sets, where rows have them: see fovea.truth.sets"
    )
    distances: bool = Field(False, description="rows have distance and unknown")
    embeddings: bool = Field(False, description="rows have the embedding")
    task: Task = Field(
        "single",
        exclude_if=lambda task: task == "single",
        description="the model's, which decides the columns",
    )
    max_image_bytes: int
    max_image_pixels: int
    capture: CaptureSpec | None = None

    @property
    def row_columns(self) -> dict[str, object]:
        """The columns that are the same in every row that the run scores."""
        names = ("run", "model_name", "model_version", "model_digest", "preprocess_digest")
        return {name: getattr(self, name) for name in names}


class PlannedShard(_Frozen):
    """A contiguous range of the keys."""

    index: int
    manifest: str = Field(description="path below the output")
    images: int
    size_bytes: int
    fetch_bytes: int = Field(0, description="of size_bytes, what is to be fetched")
    carried: int = Field(0, description="of the images, those whose rows are copied from an earlier run")

    @property
    def to_score(self) -> int:
        return self.images - self.carried


class LeftOut(_Frozen):
    """Files of one kind that are not scored."""

    model_config = ConfigDict(extra="ignore")  # nothing of it decides what the rows are

    files: int
    names: tuple[str, ...] = Field(description="the first ones, printable")


class Plan(_Frozen):
    """The content of plan.json."""

    format: Literal[1] = 1
    created: datetime
    spec: RunSpec
    shards: tuple[PlannedShard, ...] = Field(min_length=1, description="one empty shard if nothing is there")
    left_out: int = Field(0, description="files that are no images by include, or by their first bytes")
    left_out_kinds: dict[str, LeftOut] = Field({}, description="these files by their endings")
    previous: str | None = Field(None, description="the run whose rows are carried forward")
    requeues: str | None = Field(None, description="the run whose bad images are tried again")
    drifting: tuple[str, ...] = Field(
        (), description="labels that the last run gave more or less often than the held-out images have them"
    )
    settings: SavedSettings = Field(description="the planner's settings, to look up later")

    @property
    def left_out_line(self) -> str:
        return left_out_line(self.left_out, self.left_out_kinds)

    @property
    def images(self) -> int:
        return sum(shard.images for shard in self.shards)

    @property
    def carried(self) -> int:
        return sum(shard.carried for shard in self.shards)


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
            raise SettingsInvalid(
                f"--run-id {planned.run}: this run was planned with {option_of(name)} {value_text(before)}, "
                f"not {value_text(now)}; take another --run-id"
            )


_OPTIONS: Final = {
    "source": "SOURCE",
    "image_path": "the decoders",
    "label_set_quantile": "--label-sets, whose quantile is",
}


def option_of(name: str) -> str:
    """What the user gives for a field of RunSpec."""
    return _OPTIONS.get(name, flag(name))


def value_text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "nothing"
    return str(value) if value not in (None, "") else "nothing"


def left_out_line(files: int, kinds: Mapping[str, LeftOut]) -> str:
    """`3, not images by --include or first bytes: 2 .mov (a.mov), 1 .aae (a.aae)`.

    Plans made before kinds were counted have none.
    """
    line = f"{files:,}, not images by --include or first bytes"
    return f"{line}: {summary_line(kinds)}" if kinds else line
