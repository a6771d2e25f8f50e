"""`python -m server.access NAME`: makes a token, and the line of it for the server's --token-file."""

if __name__ == "__main__":
    from fovea import entry

    entry.run("server.access.__main__")  # runs this program to its end

import secrets
import sys
from typing import Final

from pydantic import Field, field_validator
from pydantic_settings import CliPositionalArg, SettingsConfigDict

from fovea.errors import ExitCode
from fovea.settings import CommaSeparated, ProgramSettings, load
from server.access.scopes import Scope
from server.access.tokens import Token, is_name, scopes_of

PROGRAM: Final = "python -m server.access"
TOKEN_BYTES: Final = 32


class AccessSettings(ProgramSettings):
    """Makes a token: prints it, this once, and below it the line of it for the server's --token-file."""

    model_config = SettingsConfigDict(env_prefix="FOVEA_ACCESS_")

    name: CliPositionalArg[str] = Field(
        "",
        validate_default=True,
        min_length=1,
        description="whose token it is, as the server's log shall name them (required)",
    )
    scopes: CommaSeparated = Field(
        (Scope.CLASSIFY.value,),
        description=f"what it is for, one or several with commas: {','.join(Scope)}",
    )

    @field_validator("name")
    @classmethod
    def _fits_a_line(cls, value: str) -> str:
        if not is_name(value):
            raise ValueError("must be letters, digits and ._@-, at most 63, the first a letter or digit")
        return value

    @field_validator("scopes")
    @classmethod
    def _are_scopes(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(scopes_of(",".join(value)))


def main() -> ExitCode:
    settings = load(AccessSettings, sys.argv[1:], PROGRAM)
    secret = secrets.token_urlsafe(TOKEN_BYTES)
    print(secret)
    print(Token.of(secret, settings.name, map(Scope, settings.scopes)).line)
    return ExitCode.DONE
