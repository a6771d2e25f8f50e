"""docs/buckets.md names the variables that are read, the extras and the object that tries a store out."""

import inspect
import re
import tomllib

from fovea.stores import aws, azure, connection, credentials, google
from fovea.stores.conditional_puts import PROBE
from tests.docs.pages import BUCKETS, ROOT

OBSTORE_READS = {
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
    *("GOOGLE_SERVICE_ACCOUNT", "GOOGLE_SERVICE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_NAME"),
    *("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET"),
}
"""Of what the page names, what no code of ours does."""


def test_variables_are_those_that_are_read() -> None:
    named = {code for code in BUCKETS.code if re.fullmatch("(AWS|AZURE|GOOGLE)_[A-Z_]+", code)}
    assert {"AWS_PROFILE", "AZURE_STORAGE_CONNECTION_STRING", "GOOGLE_APPLICATION_CREDENTIALS"} <= named
    ours = (aws, azure, credentials, google, connection)
    source = "".join(map(inspect.getsource, ours))
    assert [name for name in sorted(named) if name not in source and name not in OBSTORE_READS] == []


def test_extras_are_the_projects() -> None:
    rows = BUCKETS.table("store", "in this order", "from")
    named = {code for row in rows for code in row["from"].code}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert named == {"aws", "azure", "google"}
    assert named <= set(extras)


def test_object_that_tries_a_store_out_is_named() -> None:
    assert PROBE in BUCKETS.code
