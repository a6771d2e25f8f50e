"""The store of a bucket: where it is, with which credentials, and how often it is tried again.

Buckets are reached through obstore, with the credentials that it reads from the environment, and those that
`fovea.stores.credentials` adds.
"""

import os
from datetime import timedelta
from typing import TYPE_CHECKING

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from fovea.errors import SettingsInvalid
from fovea.stores import google
from fovea.stores.credentials import store_options
from fovea.stores.patience import patience_s

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_SHORT_RETRIES: "RetryConfig" = {"max_retries": 4, "retry_timeout": timedelta(seconds=60)}
# The time ends it: the pauses, a tenth of a second to five seconds, are drawn by chance.
_LONG_RETRIES: "RetryConfig" = {
    "max_retries": 1000,
    "backoff": {"base": 3, "max_backoff": timedelta(seconds=5)},
    "retry_timeout": timedelta(seconds=45),
}
_TIMEOUTS: "ClientConfig" = {"connect_timeout": "5s", "timeout": "60s"}
# Of an answer's next bytes: what hangs is tried once more, on another connection.
_READ_TIMEOUT: "ClientConfig" = {"read_timeout": "30s"}


def open_store(uri: str, *, long_retries: bool) -> tuple[ObjectStore, str, str]:
    """The store, the bucket's own URI, and the prefix below it. Nothing is contacted yet.

    Raises SettingsInvalid when the URI names no bucket.
    """
    scheme, _, path = uri.partition("://")
    bucket, _, prefix = path.partition("/")
    if not bucket:
        raise SettingsInvalid(f"{uri}: the bucket's name is missing; write {scheme}://BUCKET/PREFIX")
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
    if endpoint and not endpoint.startswith(("http://", "https://")):
        raise SettingsInvalid(f"AWS_ENDPOINT_URL {endpoint}: an endpoint is http://HOST:PORT or https://HOST")
    options = store_options(scheme)
    # obstore reads the endpoint by itself, but refuses http:// unless it is told that this is meant.
    endpoints = (endpoint, options.get("endpoint", ""), google.endpoint() if scheme == "gs" else "")
    plain_http = any(url.startswith("http:") for url in endpoints)
    root = f"{scheme}://{bucket}"
    try:
        store = from_url(
            root,
            **options,
            client_options={**_TIMEOUTS, **(_READ_TIMEOUT if long_retries else {}), "allow_http": plain_http},
            # Where the process has a patience of its own, obstore's would come on top of it.
            retry_config=_LONG_RETRIES if long_retries and patience_s() is None else _SHORT_RETRIES,
        )
    except (BaseError, ValueError) as error:
        raise SettingsInvalid(f"{uri}: cannot be opened: {str(error).splitlines()[0]}") from error
    return store, root, prefix.strip("/")
