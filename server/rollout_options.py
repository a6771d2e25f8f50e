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
    shadow: int | None = Field(
        None,
        ge=1,
        description="a version that answers --shadow-percent of the images a second time, on spare capacity, "
        "to be compared; unless set, none does",
    )
    shadow_percent: float = Field(10, gt=0, le=100, description="percent of the images, drawn by chance")

    def check_rollout(self, *, several: bool, pinned: int | None) -> None:
        """Raises ValueError; `pinned` is the version that is always the current one."""
        given = {"--canary": self.canary, "--shadow": self.shadow}
        for option, version in given.items():
            if version is None:
                continue
            if several:
                raise ValueError(f"{option} is for one model, whose version it names")
            if version == pinned:
                raise ValueError(f"{option} and --model-version must not both be {pinned}")
        if self.canary is not None and self.canary == self.shadow:
            raise ValueError(f"--canary and --shadow must not both be {self.canary}")
