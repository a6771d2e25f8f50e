"""What obstore leaves out of S3, by boto3, where that is installed (the extra `aws`)."""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from obstore.exceptions import GenericError

from fovea.stores.folder import Entry

if TYPE_CHECKING:
    from boto3 import Session

_ANSWER_S: Final = 60
_CONNECT_S: Final = 5


def is_installed() -> bool:
    return find_spec("boto3") is not None


def session() -> "Session":
    """With the credentials that the AWS command line would take."""
    import boto3

    return boto3.Session(region_name=os.environ.get("AWS_REGION") or None)


class PlainPages:
    """The objects after a key, or with a `delimiter` the prefixes, with their keys as they are, page by page.

    After `next` raised, it may be called again. Raises obstore's GenericError, whose text says what obstore's
    own would.
    """

    def __init__(self, bucket: str, prefix: str, after: str = "", delimiter: str = "") -> None:
        self._request = {"Bucket": bucket, "Prefix": f"{prefix}/" if prefix else ""}
        self._request |= {"StartAfter": after} if after else {}
        self._request |= {"Delimiter": delimiter} if delimiter else {}
        self._client: Any = None
        self._is_last = False

    def next(self) -> list[Entry] | None:
        """The next page, None after the last."""
        answer = self._answer()
        return None if answer is None else [_entry(item) for item in answer.get("Contents", [])]

    def next_prefixes(self) -> list[str] | None:
        """As `next`, of the prefixes."""
        answer = self._answer()
        return None if answer is None else [item["Prefix"] for item in answer.get("CommonPrefixes", [])]

    def _answer(self) -> dict[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        if self._is_last:
            return None
        try:
            self._client = self._client or _client()
            answer: dict[str, Any] = self._client.list_objects_v2(**self._request)
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            raise GenericError(f"{error} (status code: {status})") from error
        except BotoCoreError as error:
            raise GenericError(f"HTTP error: {error}") from error
        self._is_last = not answer.get("IsTruncated")
        self._request["ContinuationToken"] = answer.get("NextContinuationToken", "")
        return answer


def _client() -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    anonymous = os.environ.get("AWS_SKIP_SIGNATURE", "").lower() in {"1", "true"}
    settings = Config(
        connect_timeout=_CONNECT_S,
        read_timeout=_ANSWER_S,
        retries={"mode": "standard", "total_max_attempts": 5},
        **({"signature_version": UNSIGNED} if anonymous else {}),
    )
    own = session()
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None
    return own.client(
        "s3", region_name=own.region_name or "us-east-1", endpoint_url=endpoint, config=settings
    )


def _entry(item: dict[str, Any]) -> Entry:
    return Entry(item["Key"], item["Size"], item.get("ETag", "").strip('"'), item["LastModified"])
