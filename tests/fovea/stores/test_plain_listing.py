"""Listings of Google and Azure with a key in them that obstore refuses: it costs itself alone there, too."""

import json
import shutil
from pathlib import Path

import pytest

from fovea.errors import DataInvalid, ObjectUnreadable, Unavailable
from fovea.stores import azure, google, resumed
from fovea.stores.object_keys import is_odd
from fovea.stores.storage import open_folder
from tests.azurite import azurite
from tests.buckets import Bucket
from tests.fovea.stores.test_credentials import KEY, answering, nothing_known, write_federated

__all__ = ["nothing_known"]

PLAIN = ("a.png", "c/1.png", "e é%20+&.png", "z.png")
ODD = ("/b.png", "./b.png", "../b.png", "x//b.png", "b\x01.png", "dir.png/")


def put_keys(bucket: Bucket, *keys: str) -> None:
    for key in keys:
        bucket.put(f"photos/{key}", key.encode())


def assert_odd_keys_cost_themselves_alone(uri: str, odd: tuple[str, ...]) -> None:
    folder = open_folder(uri)
    entries = {entry.key: entry for entry in folder.entries()}
    assert list(entries) == sorted([*PLAIN, *odd])
    assert [key for key in entries if is_odd(key)] == sorted(odd)
    for key in PLAIN:
        assert folder.read(key, entries[key].etag) == key.encode()
        assert folder.stat(key) == entries[key]
    for key in odd:
        with pytest.raises(ObjectUnreadable, match="cannot be asked for: its key has"):
            folder.read(key)
    assert folder.children() == ["c", "dir.png", "x"]


def test_of_google_odd_keys_are_listed_with_the_others(google_bucket: Bucket) -> None:
    uri = f"{google_bucket.uri}/photos"
    put_keys(google_bucket, *PLAIN)
    before = list(open_folder(uri).entries())
    put_keys(google_bucket, *ODD)
    assert_odd_keys_cost_themselves_alone(uri, ODD)
    after = {entry.key: entry for entry in open_folder(uri).entries()}
    assert [after[entry.key] for entry in before] == before, "etags too: what is carried stays carried"


def test_of_google_an_odd_key_far_into_a_listing_loses_none_and_doubles_none(
    google_bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "7")
    monkeypatch.setattr(resumed, "_PAGE", 7)  # or obstore collects more than there is, and gives nothing
    keys = sorted([*(f"{n:03}/{m}.png" for n in range(12) for m in range(3)), "006//x.png"])
    put_keys(google_bucket, *keys)
    folder = open_folder(f"{google_bucket.uri}/photos")
    assert [entry.key for entry in folder.entries()] == keys
    assert folder.children() == [f"{n:03}" for n in range(12)]


def test_google_is_asked_with_the_credentials_that_obstore_takes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    token = {
        "access_token": "of-google",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
    with answering(b"<ListBucketResult/>") as (url, seen), answering(json.dumps(token).encode()) as (sts, _):
        write_federated(tmp_path, sts, monkeypatch)
        monkeypatch.setenv("GOOGLE_BASE_URL", url)
        assert google.PlainPages("pets", "photos", "photos/a").next() == []
        monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "of-mine")
        google.PlainPages("pets", "photos").next()
        monkeypatch.delenv("GOOGLE_BASE_URL")
        account = {"gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": ""}
        monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT_KEY", json.dumps(account))
        google.PlainPages("pets", "photos").next()
    assert [request.headers["Authorization"] for request in seen] == [
        "Bearer of-google",
        "Bearer of-mine",
        None,
    ]
    assert seen[0].path == "/pets?list-type=2&encoding-type=url&prefix=photos%2F&start-after=photos%2Fa"


ANSWER = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs>{}</Blobs><NextMarker/>
</EnumerationResults>"""
BLOB = """<Blob><Name>{}</Name><Properties><Last-Modified>Sat, 01 Jan 2028 00:00:00 GMT</Last-Modified>
<Etag>0x1D</Etag><Content-Length>{}</Content-Length><Content-Type>image/png</Content-Type>
<BlobType>BlockBlob</BlobType></Properties>{}</Blob>"""
FOLDER = "<Metadata><hdi_isfolder>true</hdi_isfolder></Metadata>"


def test_of_azure_an_odd_key_is_listed_with_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where folders are real, too: they are no objects."""
    blobs = [("photos//b.png", 1, ""), ("photos/a.png", 1, ""), ("photos/empty", 0, FOLDER)]
    body = ANSWER.format("".join(BLOB.format(*blob) for blob in blobs))
    with answering(body.encode()) as (url, seen):
        text = f"AccountName=pets;AccountKey={KEY};BlobEndpoint={url}/pets"
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)
        assert [entry.key for entry in open_folder("az://photos/photos").entries()] == ["/b.png", "a.png"]
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "pets")
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", f"{url}/pets")
        monkeypatch.setenv("AZURE_STORAGE_SAS_KEY", "sig=mine")
        page = azure.PlainPages("photos", "photos", after="photos//b.png").next()
        assert page is not None
        assert [(entry.key, entry.etag) for entry in page] == [("photos/a.png", "0x1D")]
    assert all(seen_.headers["Authorization"].startswith("SharedKey pets:") for seen_ in seen[:2])
    assert "sig=mine" in seen[2].path


@pytest.mark.parametrize(("scheme", "module"), [("gs", google), ("az", azure)])
def test_a_store_that_is_away_is_said_to_be(
    scheme: str, module: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """obstore answered, and was refused a key; the library then meets nobody."""
    with answering(ODD_PAGE[scheme]) as (url, _):
        set_endpoint(scheme, url, monkeypatch)
        folder = open_folder(f"{scheme}://photos/photos")
        set_endpoint(scheme, "http://127.0.0.1:9", monkeypatch)
        monkeypatch.setattr(module, "_BACKOFF_S", 0)
        with pytest.raises(Unavailable, match="photos: cannot be listed: HTTP error: "):
            list(folder.entries())


@pytest.mark.parametrize(("scheme", "module", "extra"), [("gs", google, "google"), ("az", azure, "azure")])
def test_without_its_extra_an_odd_key_is_one_line_that_names_both(
    scheme: str, module: object, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(ODD_PAGE[scheme]) as (url, _):
        set_endpoint(scheme, url, monkeypatch)
        monkeypatch.setattr(module, "is_installed", lambda: False)
        line = rf'photos: cannot be listed: "photos//.*rename it; or install `fovea-vision\[{extra}\]`'
        for listing in (
            open_folder(f"{scheme}://photos/photos").entries,
            open_folder(f"{scheme}://photos/photos").children,
        ):
            with pytest.raises(DataInvalid, match=line):
                list(listing())


ODD_PAGE = {
    "gs": b"""<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>photos//b.png</Key>
<LastModified>2028-01-01T00:00:00.000Z</LastModified><ETag>"1"</ETag><Size>1</Size></Contents>
<CommonPrefixes><Prefix>photos//</Prefix></CommonPrefixes></ListBucketResult>""",
    "az": ANSWER.format(
        BLOB.format("photos//b.png", 1, "") + "<BlobPrefix><Name>photos//</Name></BlobPrefix>"
    ).encode(),
}


def set_endpoint(scheme: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BASE_URL", url)
    monkeypatch.setenv("GOOGLE_SKIP_SIGNATURE", "true")
    text = f"AccountName=pets;AccountKey={KEY};BlobEndpoint={url}/pets"
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", text)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("npm"), reason="Azurite needs Node.js and npm")
def test_of_azure_as_azurite_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Azurite itself takes no control character, and Azure's library puts no `.` or `..`."""
    from azure.storage.blob import ContainerClient

    with azurite(tmp_path) as connection:
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", connection)
        container = ContainerClient.from_connection_string(connection, "pets")
        container.create_container()
        odd = ("/b.png", "x//b.png", "dir.png/")
        for key in PLAIN:
            container.upload_blob(f"photos/{key}", key.encode())
        before = list(open_folder("az://pets/photos").entries())
        for key in odd:
            container.upload_blob(f"photos/{key}", key.encode())
        assert_odd_keys_cost_themselves_alone("az://pets/photos", odd)
        after = {entry.key: entry for entry in open_folder("az://pets/photos").entries()}
        assert [after[entry.key] for entry in before] == before
