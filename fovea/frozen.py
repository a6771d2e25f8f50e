"""Records of the bundle's contract."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A part of the contract: what it does not know is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")
