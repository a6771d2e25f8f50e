"""What every command takes: what to compute on, and how to log."""

from typing import Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from fovea.cpus import available_cpus
from fovea.logs import LogFormat, LogLevel
from fovea.settings import ProgramSettings
from fovea.stores.patience import MAX_PATIENCE_S

Device = Literal["auto", "cpu", "cuda"]
AutoOrSwitch = Literal["auto", "on", "off"]


class TrainerOptions(ProgramSettings):
    """Base of the groups of options. --help shows the groups of a command from its last base to its first."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_TRAIN_", allow_inf_nan=False)


class MachineOptions(TrainerOptions):
    device: Device = Field("auto", description="where to compute; auto takes a CUDA device if there is one")
    threads: int = Field(
        default_factory=available_cpus,
        ge=1,
        description="CPU threads; by default the cores that this process may use",
    )
    store_patience_s: float | None = Field(
        None,
        ge=0,
        le=MAX_PATIENCE_S,
        description="how long a bucket whose store is away is waited for, in seconds, from its last answer "
        "on; by default it is given up at once",
    )


class RankOptions(TrainerOptions):
    """For what several processes do together."""

    nproc_per_node: int = Field(
        1,
        ge=1,
        le=1024,
        description="ranks to start on this machine, which train one network together, each with its part of "
        "every batch, its --threads and, where there are some, a GPU of its own; by default this process "
        "alone, or as one of the ranks that torchrun or RANK, WORLD_SIZE and MASTER_ADDR tell of",
    )
    ranks_patience_s: float = Field(
        300,
        gt=0,
        le=86400,
        description="how long ranks wait for one that is not there yet, or that does not come to the end of "
        "a step, in seconds",
    )


class LogOptions(TrainerOptions):
    log_level: LogLevel = Field("info", description="how much to log (to stderr)")
    log_format: LogFormat = Field("auto", description="auto: text on a terminal, JSON lines elsewhere")
