"""What obstore leaves out of Google's buckets, by google-auth, where that is installed (the extra `google`).

It is listed by the XML API, as obstore does: the etags of the JSON API are others.
"""

import json
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote_plus

from obstore.exceptions import GenericError

from fovea.stores.extras import is_installed as _is_installed
from fovea.stores.folder import Entry

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

_SCOPE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
_ENDPOINT: Final = "https://storage.googleapis.com"
_BUSY: Final = (408, 429, 500, 502, 503, 504)
_CONNECT_S: Final = 5
_BACKOFF_S: Final = 0.1
_ANSWER_S: Final = 60


def is_installed() -> bool:
    return _is_installed("google.auth") and _is_installed("requests")


def endpoint() -> str:
    """Where the XML API is: `GOOGLE_BASE_URL`, else what a service account's own file says, else Google's."""
    url = os.environ.get("GOOGLE_BASE_URL") or _service_account().get("gcs_base_url") or _ENDPOINT
    return str(url).rstrip("/")


def default_credentials() -> Any:
    """The application default credentials, of google-auth."""
    import google.auth
    from google.auth.credentials import with_scopes_if_required

    # Given scopes, it would ask cloudresourcemanager.googleapis.com for the project, and fail without.
    credentials, _ = google.auth.default()
    return with_scopes_if_required(credentials, [_SCOPE])


class PlainPages:
    """The objects after a key, or with a `delimiter` the prefixes, with their keys as they are, page by page.

    After `next` raised, it may be called again. Raises obstore's GenericError, whose text says what obstore's
    own would.
    """

    def __init__(self, bucket: str, prefix: str, after: str = "", delimiter: str = "") -> None:
        self._bucket = bucket
        self._request = {"list-type": "2", "encoding-type": "url"}
        self._request |= {"prefix": f"{prefix}/"} if prefix else {}
        self._request |= {"start-after": after} if after else {}
        self._request |= {"delimiter": delimiter} if delimiter else {}
        self._session: Any = None
        self._is_last = False

    def next(self) -> list[Entry] | None:
        """The next page, None after the last."""
        answer = self._answer()
        return (
            None
            if answer is None
            else [_entry(element, answer) for element in answer.iterfind("{*}Contents")]
        )

    def next_prefixes(self) -> list[str] | None:
        """As `next`, of the prefixes."""
        answer = self._answer()
        return None if answer is None else list(_prefixes(answer))

    def _answer(self) -> "Element | None":
        from xml.etree.ElementTree import ParseError, fromstring

        if self._is_last:
            return None
        try:
            answer = fromstring(self._asked())  # noqa: S314 - the store's own; expat bounds what entities may do
        except ParseError as error:
            raise GenericError(f"the store's answer to a listing is no XML: {error}") from error
        self._is_last = answer.findtext("{*}IsTruncated") != "true"
        self._request["continuation-token"] = answer.findtext("{*}NextContinuationToken") or ""
        return answer

    def _asked(self) -> bytes:
        from google.auth.exceptions import GoogleAuthError, TransportError
        from requests import RequestException

        url = f"{endpoint()}/{quote(self._bucket)}"
        try:
            self._session = self._session or _session()
            answer = self._session.get(url, params=self._request, timeout=(_CONNECT_S, _ANSWER_S))
        except (RequestException, TransportError) as error:
            raise GenericError(f"HTTP error: {error}") from error
        except (GoogleAuthError, OSError, ValueError) as error:
            raise GenericError(f"External google credential provider: {error}") from error
        if not answer.ok:
            raise GenericError(f"Error performing GET {url} (status code: {answer.status_code})")
        return bytes(answer.content)


def _session() -> Any:
    from google.auth.transport.requests import AuthorizedSession
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    session = AuthorizedSession(_credentials())
    tries = Retry(total=4, backoff_factor=_BACKOFF_S, status_forcelist=_BUSY, raise_on_status=False)
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=tries))
    return session


def _credentials() -> Any:
    """Those that obstore takes, in its order."""
    from google.auth.credentials import AnonymousCredentials
    from google.oauth2.credentials import Credentials
    from google.oauth2.service_account import Credentials as OfServiceAccount

    account = _service_account()
    if os.environ.get("GOOGLE_SKIP_SIGNATURE", "").lower() in {"1", "true"} or account.get("disable_oauth"):
        return AnonymousCredentials()
    if token := os.environ.get("GOOGLE_BEARER_TOKEN"):
        return Credentials(token)
    if account:
        return OfServiceAccount.from_service_account_info(account, scopes=[_SCOPE])
    return default_credentials()


def _service_account() -> dict[str, Any]:
    """What `GOOGLE_SERVICE_ACCOUNT` or `GOOGLE_SERVICE_ACCOUNT_KEY` holds, nothing where it is none."""
    file = os.environ.get("GOOGLE_SERVICE_ACCOUNT") or os.environ.get("GOOGLE_SERVICE_ACCOUNT_PATH")
    try:
        text = Path(file).read_text() if file else os.environ.get("GOOGLE_SERVICE_ACCOUNT_KEY") or "{}"
        content = json.loads(text)
    except (OSError, ValueError):
        return {}  # obstore says what is wrong with it
    return content if isinstance(content, dict) else {}


def _entry(element: "Element", answer: "Element") -> Entry:
    changed = datetime.fromisoformat(element.findtext("{*}LastModified", ""))
    etag = element.findtext("{*}ETag", "").strip('"')
    return Entry(_name(element, "Key", answer), int(element.findtext("{*}Size", "0")), etag, changed)


def _prefixes(answer: "Element") -> Iterator[str]:
    for element in answer.iterfind("{*}CommonPrefixes"):
        yield _name(element, "Prefix", answer)


def _name(element: "Element", tag: str, answer: "Element") -> str:
    """Encoded where the store says that it is."""
    name = element.findtext(f"{{*}}{tag}", "")
    return unquote_plus(name) if answer.findtext("{*}EncodingType") == "url" else name
