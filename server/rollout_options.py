"""The options of a second version beside the current one."""

from pydantic import Field

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

    def check_rollout(self, *, several: bool, pinned: int | None) -> None:
        """Raises ValueError; `pinned` is the version that is always the current one."""
        if self.canary is None:
            return
        if several:
            raise ValueError("--canary is for one model, whose version it names")
        if self.canary == pinned:
            raise ValueError(f"--canary and --model-version must not both be {pinned}")
