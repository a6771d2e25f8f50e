"""Credentials as each store's own tools read them, and one line where they are wrong or cannot be read."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from obstore.store import from_url

from fovea.errors import SettingsInvalid, Unavailable
from fovea.stores import aws, credentials
from fovea.stores.azure import azure_config
from fovea.stores.credentials import store_options
from fovea.stores.storage import open_folder
from tests.buckets import Bucket
from tests.faulty_store import faulty_store

KEY = "a2V5IG9mIGFuIGFjY291bnQ="


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine that nobody has logged in from."""
    for name in os.environ:
        if name.startswith(("AWS_", "AZURE_", "GOOGLE_", "CLOUDSDK_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def without_keys(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)


def write_profiles(folder: Path) -> Path:
    file = folder / "profiles"
    file.write_text(
        "[profile night]\nregion = eu-west-1\n[night]\naws_access_key_id = OFNIGHT\n"
        "aws_secret_access_key = x\n[none]\nregion = eu-west-1\n"
        "[login]\nsso_start_url = https://example.com/start\nsso_region = eu-west-1\nsso_account_id = 1\n"
        "sso_role_name = r\n"
    )
    return file


def who_asked(bucket: Bucket, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Writes an object; what the store was told of the writer: KEY/DATE/REGION/..."""
    headers: list[str] = []

    def listen(handler: object) -> None:
        headers.append(handler.headers["Authorization"])  # type: ignore[attr-defined]
        handler.send(handler.forward())  # type: ignore[attr-defined]

    with faulty_store(endpoint) as store:
        store.on("PUT", "", listen)
        monkeypatch.setenv("AWS_ENDPOINT_URL", store.url)
        open_folder(f"{bucket.uri}/place").write("a", b"x")
    assert bucket.get("place/a") == b"x"
    return headers[0].partition("Credential=")[2]


def test_a_profile_of_aws_is_read(
    bucket: Bucket, bucket_endpoint: str, without_keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(write_profiles(tmp_path)))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(write_profiles(tmp_path)))
    monkeypatch.setenv("AWS_PROFILE", "night")
    day = f"{datetime.now(UTC):%Y%m%d}"
    assert who_asked(bucket, bucket_endpoint, monkeypatch).startswith(f"OFNIGHT/{day}/eu-west-1/s3")


def test_keys_of_the_environment_come_before_a_profile(
    bucket: Bucket, bucket_endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(write_profiles(tmp_path)))
    monkeypatch.setenv("AWS_PROFILE", "night")
    assert who_asked(bucket, bucket_endpoint, monkeypatch).startswith("tests/")


def test_the_usual_file_of_aws_is_read(
    bucket: Bucket, bucket_endpoint: str, without_keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".aws").mkdir()
    text = "[default]\naws_access_key_id = OFDEFAULT\naws_secret_access_key = x\n"
    (tmp_path / ".aws" / "credentials").write_text(text)
    assert who_asked(bucket, bucket_endpoint, monkeypatch).startswith("OFDEFAULT/")


def test_credentials_of_aws_that_cannot_be_had_are_one_line(
    bucket: Bucket, without_keys: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cases = {
        "none": f"{bucket.uri}/a: cannot be read: there are no credentials: the profile none has none",
        "login": f"{bucket.uri}/a: cannot be read: there are no credentials: Error loading SSO Token: ",
        "absent": "the credentials of AWS cannot be read: The config profile (absent) could not be found",
    }
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(write_profiles(tmp_path)))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(write_profiles(tmp_path)))
    for profile, said in cases.items():
        monkeypatch.setenv("AWS_PROFILE", profile)
        with pytest.raises(Unavailable) as caught:
            open_folder(bucket.uri).read("a")
        assert str(caught.value).startswith(said)
        assert "\n" not in str(caught.value)


def test_without_its_extra_the_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "night")
    monkeypatch.setattr(aws, "is_installed", lambda: False)
    monkeypatch.setattr(credentials, "is_installed", lambda module: False)
    assert credentials.hint("s3").endswith("with the extra aws (pip install 'fovea-vision[aws]')")
    assert credentials.hint("az").endswith("with the extra azure (pip install 'fovea-vision[azure]')")
    assert store_options("s3") == store_options("az") == store_options("gs") == {}
    write_federated(tmp_path, "http://127.0.0.1:9", monkeypatch)
    with pytest.raises(Unavailable, match="type external_account, which is read with the extra google"):
        open_folder("gs://bucket/photos")


def test_azure_is_known_by_a_connection_string() -> None:
    account = {"account_name": "pets", "account_key": KEY}
    usual = {**account, "endpoint": "https://pets.blob.core.windows.net"}
    signed = "BlobEndpoint=https://pets.blob.core.windows.net/;SharedAccessSignature=sv=2024&sig=a%2Bb%3D"
    cases = {
        f"DefaultEndpointsProtocol=https;AccountName=pets;AccountKey={KEY};EndpointSuffix=core.windows.net": (
            usual
        ),
        f"AccountName=pets;AccountKey={KEY};": usual,
        f"AccountName=pets;AccountKey={KEY};BlobEndpoint=http://127.0.0.1:10000/pets": {
            **account,
            "endpoint": "http://127.0.0.1:10000/pets",
        },
        signed: {
            "account_name": "pets",
            "endpoint": "https://pets.blob.core.windows.net",
            "sas_key": "sv=2024&sig=a%2Bb%3D",
        },
    }
    for text, config in cases.items():
        assert azure_config({"AZURE_STORAGE_CONNECTION_STRING": text}) == config
        options: Any = config
        from_url("az://photos", **options)  # obstore knows the names
    emulated = azure_config({"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"})
    assert (emulated["account_name"], emulated["endpoint"]) == (
        "devstoreaccount1",
        "http://127.0.0.1:10000/devstoreaccount1",
    )
    for text in ("nonsense", "AccountKey=a", "https://pets.blob.core.windows.net"):
        with pytest.raises(SettingsInvalid, match="AZURE_STORAGE_CONNECTION_STRING: it names no account"):
            azure_config({"AZURE_STORAGE_CONNECTION_STRING": text})


def test_azure_is_known_by_the_names_of_its_command() -> None:
    variables = {"AZURE_STORAGE_ACCOUNT": "pets", "AZURE_STORAGE_KEY": KEY, "AZURE_STORAGE_SAS_TOKEN": "sv=1"}
    assert azure_config(variables) == {"account_name": "pets", "account_key": KEY, "sas_key": "sv=1"}
    assert azure_config({}) == {}


def test_a_signed_request_to_azure_names_the_account(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(b"") as (url, seen):
        text = f"AccountName=pets;AccountKey={KEY};BlobEndpoint={url}/pets"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        assert open_folder("az://photos/cats").read("a") == b""
    assert seen[0].path == "/pets/photos/cats/a"
    assert seen[0].headers["Authorization"].startswith("SharedKey pets:")


def test_a_federated_account_of_google_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Workload identity federation: a token of somebody else's is exchanged for one of Google's."""
    token = {
        "access_token": "of Google's",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    with answering(json.dumps(token).encode()) as (url, seen):
        write_federated(tmp_path, url, monkeypatch)
        provided = store_options("gs")["credential_provider"]
        assert provided()["token"] == "of Google's"
        open_folder("gs://bucket/photos")  # is opened with it
    assert b"subject_token=of+somebody+else" in seen[0].body
    assert b"devstorage.read_write" in seen[0].body


def write_federated(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "subject").write_text("of somebody else")
    kinds = "urn:ietf:params:oauth:token-type:jwt"
    pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p"
    account = {
        "type": "external_account",
        "audience": pool,
        "subject_token_type": kinds,
        "token_url": f"{url}/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    (folder / "google.json").write_text(json.dumps(account))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(folder / "google.json"))


class Seen(BaseHTTPRequestHandler):
    """A request that came; each is answered alike."""

    answer: ClassVar[bytes]
    seen: "ClassVar[list[Seen]]"
    body: bytes = b""

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append(self)
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.answer)))
        self.send_header("Last-Modified", "Sat, 01 Jan 2028 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        if self.answer.startswith(b"<"):
            self.send_header("Content-Type", "application/xml")
        self.end_headers()
        self.wfile.write(self.answer)

    do_POST = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering(body: bytes) -> Iterator[tuple[str, list[Seen]]]:
    """A server on loopback: its URL, and the requests that it saw."""

    class Handler(Seen):
        answer = body
        seen: ClassVar[list[Seen]] = []

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", Handler.seen
        finally:
            server.shutdown()
            thread.join()
