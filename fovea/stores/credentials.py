"""Credentials that obstore does not find by itself, as each store's own tools would.

obstore reads keys, tokens and identities of the environment, and asks a cloud's metadata service. The rest
is read by the stores' own libraries, where they are installed: the extras `aws`, `azure` and `google`.
"""

import json
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from fovea.errors import Unavailable
from fovea.stores import aws, google
from fovea.stores.azure import azure_config
from fovea.stores.extras import is_installed

_READ_BY_OBSTORE: Final = frozenset({"service_account", "authorized_user"})
# botocore hands out what is valid for ten minutes more at least.
_AWS_VALID: Final = timedelta(minutes=10)
# Any of these tells obstore who it is, or that nobody needs to be.
_AWS_OWN: Final = ("AWS_ACCESS_KEY_ID", "AWS_SKIP_SIGNATURE")
_AZURE_OWN: Final = (
    *("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY", "AZURE_STORAGE_MASTER_KEY"),
    *("AZURE_STORAGE_SAS_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_TOKEN", "AZURE_SKIP_SIGNATURE"),
    *("AZURE_CLIENT_SECRET", "AZURE_STORAGE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"),
    *("IDENTITY_ENDPOINT", "AZURE_USE_AZURE_CLI"),
)


def store_options(scheme: str) -> dict[str, Any]:
    """What obstore's `from_url` is to be given for a bucket of `s3`, `gs` or `az`. Nothing is contacted yet.

    Raises Unavailable for credentials that need a library which is not installed, or that cannot be read;
    SettingsInvalid for a connection string that is none.
    """
    return {"s3": _aws, "gs": _google, "az": _azure}[scheme]()


def hint(scheme: str) -> str:
    """For the end of the line that says that there are no credentials."""
    if scheme == "s3" and _has_profile() and not aws.is_installed():
        return f"; profiles and shared credentials files are read with the extra aws ({_install('aws')})"
    if scheme == "az" and not is_installed("azure.identity"):
        return f"; what `az login` left is read with the extra azure ({_install('azure')})"
    return ""


def _aws() -> dict[str, Any]:
    if any(os.environ.get(name) for name in _AWS_OWN) or not (_has_profile() and aws.is_installed()):
        return {}
    from botocore.exceptions import BotoCoreError

    try:
        session = aws.session()
    except BotoCoreError as error:
        raise Unavailable(f"the credentials of AWS cannot be read: {error}") from error

    def ready() -> Callable[[], Any]:
        from obstore.auth.boto3 import Boto3CredentialProvider

        try:
            return Boto3CredentialProvider(session, ttl=_AWS_VALID)
        except ValueError as error:  # which speaks of its own functions
            raise LookupError(f"the profile {session.profile_name} has none") from error

    region = {"region": session.region_name} if session.region_name else {}
    return {"credential_provider": _Later(ready), **region}


def _has_profile() -> bool:
    named = os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
    files = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
    return bool(named) or any(_file(os.environ.get(name, usual)).is_file() for name, usual in files.items())


def _google() -> dict[str, Any]:
    kind = _google_kind()
    if kind is None or kind in _READ_BY_OBSTORE:
        return {}
    if not is_installed("google.auth"):
        raise Unavailable(
            f"Google's credentials are of the type {kind}, which is read with the extra google "
            f"({_install('google')})"
        )

    def ready() -> Callable[[], Any]:
        from obstore.auth.google import GoogleCredentialProvider

        return GoogleCredentialProvider(google.default_credentials())

    return {"credential_provider": _Later(ready)}


def _google_kind() -> str | None:
    """What the file of the application default credentials says that it is, None where there is none."""
    if any(os.environ.get(f"GOOGLE_SERVICE_ACCOUNT{end}") for end in ("", "_PATH", "_KEY")):
        return None
    config = os.environ.get("CLOUDSDK_CONFIG", "~/.config/gcloud")
    usual = f"{config}/application_default_credentials.json"
    file = _file(os.environ.get("GOOGLE_APPLICATION_CREDENTIALS") or usual)
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return None  # obstore says what is wrong with it
    kind = content.get("type") if isinstance(content, dict) else None
    return kind if isinstance(kind, str) else None


def _azure() -> dict[str, Any]:
    config: Mapping[str, Any] = azure_config(os.environ)
    is_known = "account_key" in config or "sas_key" in config
    if is_known or any(os.environ.get(name) for name in _AZURE_OWN) or not is_installed("azure.identity"):
        return dict(config)

    def ready() -> Callable[[], Any]:
        from obstore.auth.azure import AzureCredentialProvider

        return AzureCredentialProvider()

    return {**config, "credential_provider": _Later(ready)}


class _Later:
    """A credential provider that is made when it is first asked, in the thread that waits for the store."""

    def __init__(self, ready: Callable[[], Callable[[], Any]]) -> None:
        self._ready = ready
        self._provider: Callable[[], Any] | None = None

    def __call__(self) -> Any:
        """Whatever it raises, obstore says in its own error."""
        self._provider = self._provider or self._ready()
        return self._provider()


def _file(path: str) -> Path:
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises where there is no home


def _install(extra: str) -> str:
    return f"pip install 'fovea-vision[{extra}]'"
