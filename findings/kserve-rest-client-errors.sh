#!/usr/bin/env bash
# package: kserve 0.21.0 (its REST client)
# behaviour: InferenceRESTClient tells what a server says of a refusal only where the answer is application/json
#   with a member "error". The same document as application/problem+json, which is RFC 9457's type for problems,
#   is left out of the exception, which then has nothing but the status.
# output:
#   application/json: the server's words are there
#   application/problem+json: the server's words are missing
# date: 2026-11-30
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > ask.py <<'PYTHON'
import asyncio
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from kserve import InferenceRESTClient, RESTConfig

WORDS = "there is no model of that name"


class Refusing(BaseHTTPRequestHandler):
    media_type = ""

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        document = json.dumps({"status": 404, "detail": WORDS, "error": WORDS}).encode()
        self.send_response(404)
        self.send_header("Content-Type", self.media_type)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)

    def log_message(self, *_):
        pass


async def ask(url):
    client = InferenceRESTClient(RESTConfig(protocol="v2"))
    request = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}]}
    try:
        await client.infer(url, request, model_name="none")
    except Exception as error:
        return str(error)
    finally:
        await client.close()
    return "answered"


server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
threading.Thread(target=server.serve_forever, daemon=True).start()
for Refusing.media_type in ("application/json", "application/problem+json"):
    said = asyncio.run(ask(f"http://127.0.0.1:{server.server_port}"))
    print(f"{Refusing.media_type}: the server's words are {'there' if WORDS in said else 'missing'}")
PYTHON

python3 -m venv venv
venv/bin/pip install -q kserve==0.21.0 2>/dev/null
venv/bin/python ask.py 2>/dev/null | tee seen
cat > expected <<'TEXT'
application/json: the server's words are there
application/problem+json: the server's words are missing
TEXT
diff expected seen || { echo "the behaviour changed"; exit 1; }
