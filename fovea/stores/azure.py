"""What obstore leaves out of Azure: names of variables, and odd keys by the libraries of the extra."""

import os
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from obstore.exceptions import GenericError

from fovea.errors import SettingsInvalid
from fovea.stores.extras import is_installed as _is_installed
from fovea.stores.folder import Entry

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken

CONNECTION_STRING: Final = "AZURE_STORAGE_CONNECTION_STRING"

_ANSWER_S: Final = 60
_CONNECT_S: Final = 5
_BACKOFF_S: Final = 1
_KEYS: Final = ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY")
_SIGNED: Final = ("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN")

# Of the emulator, Azurite: Microsoft publishes both.
_EMULATED: Final = {
    "AccountName": "devstoreaccount1",
    "AccountKey": (
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    ),
    "BlobEndpoint": "http://127.0.0.1:10000/devstoreaccount1",
}


def is_installed() -> bool:
    return _is_installed("azure.storage.blob") and _is_installed("azure.identity")


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


class PlainPages:
    """The objects after a key, or with a `delimiter` the prefixes, with their keys as they are, page by page.

    It begins with the first, for Azure's listings begin at no key; what was there before is left out.
    After `next` raised, it may be called again. Raises obstore's GenericError, whose text says what obstore's
    own would.
    """

    def __init__(self, container: str, prefix: str, after: str = "", delimiter: str = "") -> None:
        self._container = container
        self._prefix = f"{prefix}/" if prefix else None
        self._after = after
        self._delimiter = delimiter
        self._client: Any = None
        self._next: str | None = None
        self._is_last = False

    def next(self) -> list[Entry] | None:
        """The next page, None after the last."""
        page = self._page()
        return None if page is None else [_entry(blob) for blob in page if self._is_asked_for(blob)]

    def next_prefixes(self) -> list[str] | None:
        """As `next`, of the prefixes."""
        from azure.storage.blob import BlobPrefix

        page = self._page()
        return None if page is None else [item.name for item in page if isinstance(item, BlobPrefix)]

    def _is_asked_for(self, blob: Any) -> bool:
        """Accounts with a hierarchical namespace list their folders, too."""
        return blob.name > self._after and (blob.metadata or {}).get("hdi_isfolder") != "true"

    def _page(self) -> list[Any] | None:
        from azure.core.exceptions import AzureError, HttpResponseError

        if self._is_last:
            return None
        try:
            self._client = self._client or _client(self._container)
            pages = self._listing().by_page(self._next)
            page = list(next(pages, ()))
        except HttpResponseError as error:
            if error.status_code is None:  # azure-identity's: no store was asked
                raise GenericError(f"External azure credential provider: {_first_line(error)}") from error
            raise GenericError(f"{_first_line(error)} (status code: {error.status_code})") from error
        except AzureError as error:
            raise GenericError(f"HTTP error: {_first_line(error)}") from error
        except ValueError as error:  # of a key or a URL
            raise GenericError(f"External azure credential provider: {error}") from error
        self._next = pages.continuation_token
        self._is_last = not self._next
        return page

    def _listing(self) -> Any:
        if self._delimiter:
            return self._client.walk_blobs(name_starts_with=self._prefix, delimiter=self._delimiter)
        return self._client.list_blobs(name_starts_with=self._prefix, include=["metadata"])


def _client(container: str) -> Any:
    from azure.storage.blob import ContainerClient, ExponentialRetry

    config = azure_config(os.environ)
    account = config.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    endpoint = config.get("endpoint") or _first(("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"))
    return ContainerClient(
        endpoint or f"https://{account}.blob.core.windows.net",
        container,
        credential=_credential(account, config),
        connection_timeout=_CONNECT_S,
        read_timeout=_ANSWER_S,
        retry_policy=ExponentialRetry(
            initial_backoff=0, increment_base=_BACKOFF_S, retry_total=3, random_jitter_range=_BACKOFF_S
        ),
    )


def _credential(account: str, config: dict[str, str]) -> Any:
    from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
    from azure.identity import DefaultAzureCredential

    if os.environ.get("AZURE_SKIP_SIGNATURE", "").lower() in {"1", "true"}:
        return None
    if token := os.environ.get("AZURE_STORAGE_TOKEN"):
        return _Token(token)
    if key := config.get("account_key") or _first(_KEYS):
        return AzureNamedKeyCredential(account, key)
    if signed := config.get("sas_key") or _first(_SIGNED):
        return AzureSasCredential(signed)
    return DefaultAzureCredential()


class _Token:
    """One that somebody else looks after."""

    def __init__(self, token: str) -> None:
        self._token = token

    def get_token(self, *_scopes: str, **_options: Any) -> "AccessToken":
        from azure.core.credentials import AccessToken

        return AccessToken(self._token, int(time.time()) + 3600)


def _first(names: Iterable[str]) -> str:
    return next((os.environ[name] for name in names if os.environ.get(name)), "")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _entry(blob: Any) -> Entry:
    return Entry(blob.name, blob.size, (blob.etag or "").strip('"'), blob.last_modified)


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
