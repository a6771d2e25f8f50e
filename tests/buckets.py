"""A real S3 endpoint on loopback for tests: moto's server, with a bucket of its own for each test."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Bucket:
    """An empty bucket; `client` is boto3's, so that tests do not fill it with the code they test.

    The server is this process's own: what is put and got here goes past HTTP.
    """

    name: str
    client: Any

    @property
    def uri(self) -> str:
        return f"s3://{self.name}"

    def put(self, key: str, data: bytes) -> None:
        _objects().put_object(self.name, key, data)

    def get(self, key: str) -> bytes:
        found = _objects().get_object(self.name, key)
        assert found, f"there is no {key}"
        data: bytes = found.value
        return data

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def listing(self, prefix: str = "") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def remove(self) -> None:
        """From here on the store knows no such bucket."""
        for key in self.listing():
            self.delete(key)
        self.client.delete_bucket(Bucket=self.name)

    def put_folder(self, prefix: str, folder: Path) -> None:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.put(f"{prefix}/{file.relative_to(folder)}", file.read_bytes())


@contextmanager
def bucket_environment(name: str) -> Iterator[dict[str, str]]:
    """An endpoint of its own with one empty bucket; yields the variables that lead a program to it."""
    with _endpoint() as url:
        _client(url).create_bucket(Bucket=name)
        yield _variables(url)


@pytest.fixture(scope="session")
def bucket_endpoint() -> Iterator[str]:
    """The URL of the S3 endpoint."""
    with _endpoint() as url:
        yield url


@pytest.fixture
def bucket(bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A new bucket; the environment leads this process and the ones that it starts to the endpoint."""
    for variable, value in _variables(bucket_endpoint).items():
        monkeypatch.setenv(variable, value)
    bucket = Bucket(f"bucket-{next(_numbers)}", _client(bucket_endpoint))
    bucket.client.create_bucket(Bucket=bucket.name)
    return bucket


class GoogleBucket(Bucket):
    """One of Google's, that everybody may read."""

    @property
    def uri(self) -> str:
        return f"gs://{self.name}"

    def put(self, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=data, ACL="public-read")


@pytest.fixture
def google_bucket(bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> GoogleBucket:
    """Of the S3 server: Google's XML API lists and reads as S3 does, and obstore takes one for the other."""
    monkeypatch.setenv("GOOGLE_BASE_URL", bucket_endpoint)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    # obstore asks Google for a name with its hyphens escaped, which this server takes for another name.
    bucket = GoogleBucket(f"google{next(_numbers)}", _client(bucket_endpoint))
    bucket.client.create_bucket(Bucket=bucket.name, ACL="public-read")
    return bucket


@contextmanager
def _endpoint() -> Iterator[str]:
    from moto.server import ThreadedMotoServer  # takes a second, which only these tests should pay

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _objects() -> Any:
    """What the server keeps."""
    from moto.core.models import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    return s3_backends[DEFAULT_ACCOUNT_ID]["aws"]


def _variables(url: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_REGION": "us-east-1",
    }


@cache
def _client(url: str) -> Any:
    """One for all tests: to make it takes longer than most of them."""
    import boto3

    keys = {"aws_access_key_id": "tests", "aws_secret_access_key": "tests"}
    return boto3.client("s3", endpoint_url=url, region_name="us-east-1", **keys)
