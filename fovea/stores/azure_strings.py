"""What Azure's own tools read from the environment beside what obstore reads."""

from collections.abc import Mapping
from typing import Final

from fovea.errors import SettingsInvalid

CONNECTION_STRING: Final = "AZURE_STORAGE_CONNECTION_STRING"

# Of the emulator, Azurite: Microsoft publishes both.
_EMULATED: Final = {
    "AccountName": "devstoreaccount1",
    "AccountKey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


def azure_config(environment: Mapping[str, str]) -> dict[str, str]:
    """obstore's settings by a connection string, else by AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or
    AZURE_STORAGE_SAS_TOKEN, which are the names of the `az` command.

    Raises SettingsInvalid for a connection string that names no account.
    """
    if text := environment.get(CONNECTION_STRING):
        return _of_connection_string(text)
    names = {
        "account_name": "AZURE_STORAGE_ACCOUNT",
        "account_key": "AZURE_STORAGE_KEY",
        "sas_key": "AZURE_STORAGE_SAS_TOKEN",
    }
    return {key: environment[name] for key, name in names.items() if environment.get(name)}


def _of_connection_string(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.strip().strip(";").split(";"))
    fields = {name.strip(): value.strip() for name, _, value in pairs}
    if fields.get("UseDevelopmentStorage", "").lower() == "true":
        fields = {**_EMULATED, **fields}
    endpoint = fields.get("BlobEndpoint", "").rstrip("/")
    account = fields.get("AccountName") or _account_of(endpoint)
    if not account:
        raise SettingsInvalid(
            f"{CONNECTION_STRING}: it names no account; it is AccountName=...;AccountKey=..., as the portal "
            "shows it"
        )
    protocol = fields.get("DefaultEndpointsProtocol", "https")
    suffix = fields.get("EndpointSuffix", "core.windows.net")
    config = {"account_name": account, "endpoint": endpoint or f"{protocol}://{account}.blob.{suffix}"}
    secrets = {"account_key": "AccountKey", "sas_key": "SharedAccessSignature"}
    return config | {key: fields[name].lstrip("?") for key, name in secrets.items() if fields.get(name)}


def _account_of(endpoint: str) -> str:
    """The first label of its host: https://ACCOUNT.blob.core.windows.net."""
    host = endpoint.partition("://")[2].partition("/")[0]
    return host.partition(".")[0] if ".blob." in host else ""
