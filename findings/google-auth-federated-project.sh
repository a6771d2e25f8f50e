#!/usr/bin/env bash
# package: google-auth 2.63.0 (with requests 2.34.2)
# behaviour: for a federated account (external_account) google.auth.default(scopes=...) asks cloudresourcemanager.googleapis.com
#   for the project, and raises where that cannot be reached, though the token itself can be had; without scopes it asks nobody.
# output:
#   without scopes: loaded, requests to the token's server: 0; scopes given afterwards: token of-googles
#   with scopes: TransportError, requests to the token's server: 1
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > federated.py <<'PYTHON'
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

ANSWER = json.dumps(
    {
        "access_token": "of-googles",
        "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer",
        "expires_in": 3600,
    }
).encode()
asked = 0


class TokenServer(BaseHTTPRequestHandler):
    def do_POST(self):
        global asked
        asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), TokenServer)
threading.Thread(target=server.serve_forever, daemon=True).start()
Path("subject").write_text("somebody else's token")
pool = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/p"
account = {
    "type": "external_account",
    "audience": pool,
    "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
    "token_url": f"http://127.0.0.1:{server.server_address[1]}/token",
    "credential_source": {"file": "subject"},
}
Path("account.json").write_text(json.dumps(account))
os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = "account.json"
# A network that lets out nothing but what is needed: the token's server here, and elsewhere the bucket.
os.environ.update(HTTPS_PROXY="http://127.0.0.1:9", NO_PROXY="127.0.0.1")

import google.auth  # noqa: E402
from google.auth.credentials import with_scopes_if_required  # noqa: E402
from google.auth.transport.requests import Request  # noqa: E402

SCOPES = ["https://www.googleapis.com/auth/devstorage.read_only"]
credentials, _ = google.auth.default()
before = asked
scoped = with_scopes_if_required(credentials, SCOPES)
scoped.refresh(Request())
print(f"without scopes: loaded, requests to the token's server: {before}; scopes given afterwards: token {scoped.token}")
asked = 0
try:
    google.auth.default(scopes=SCOPES)
except google.auth.exceptions.TransportError:
    print(f"with scopes: TransportError, requests to the token's server: {asked}")
else:
    print("with scopes: loaded")
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet google-auth==2.63.0 requests==2.34.2
venv/bin/python federated.py | tee seen
if ! grep -q "^without scopes: loaded, .*: 0; .* token of-googles$" seen || ! grep -q "^with scopes: TransportError" seen; then
  echo "the behaviour changed" >&2
  exit 1
fi
