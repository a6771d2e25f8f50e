"""The options of a second version beside the current one."""

from pydantic import Field

from fovea.command_line import flag
from fovea.settings import ProgramSettings


class RolloutOptions(ProgramSettings):
    """Of a server."""

    canary: int | None = Field(
        None,
        ge=1,
        description="a version that is loaded beside the current one and answers --canary-percent of the "
        "calls; unless set, none is",
    )
    canary_percent: float = Field(
        1, ge=0, le=100, description="percent of the calls that name no version, which the canary answers"
    )
    shadow: int | None = Field(
        None,
        ge=1,
        description="a version that answers --shadow-percent of the images a second time, on spare capacity, "
        "to be compared; unless set, none does",
    )
    shadow_percent: float = Field(10, gt=0, le=100, description="percent of the images, drawn by chance")

    canary_guard: bool = Field(
        True, description="take the canary out where it is worse than the current version by more than this:"
    )
    canary_min_images: int = Field(
        100, ge=20, le=100_000, description="images of either version before their latency and answers count"
    )
    canary_max_errors: float = Field(
        0.01, ge=0, le=1, description="share of the canary's images that fail, above the current version's"
    )
    canary_max_slowdown: float = Field(
        2.0, ge=1, le=1000, description="its 95th percentile of the time to an answer over the current one's"
    )
    canary_max_shift: float = Field(
        0.25,
        ge=0,
        description="PSI of its predicted labels against the current version's; abstaining is one of "
        "them; of multi-label versions, how far the odds of the label furthest off have moved (0.25: by 2.75 "
        "times)",
    )
    canary_max_disagreement: float = Field(
        0.1, ge=0, le=1, description="share of other labels, of the images that both versions compute"
    )

    def check_rollout(self, *, several: bool, pinned: int | None) -> None:
        """Raises ValueError; `pinned` is the version that is always the current one."""
        given = {"--canary": self.canary, "--shadow": self.shadow}
        for option, name in (("--canary", "canary_percent"), ("--shadow", "shadow_percent")):
            if name in self.model_fields_set and given[option] is None:
                raise ValueError(f"{flag(name)} is of {option}, which names the version")
        for option, version in given.items():
            if version is None:
                continue
            if several:
                raise ValueError(f"{option} is for one model, whose version it names")
            if version == pinned:
                raise ValueError(f"{option} and --model-version must not both be {pinned}")
