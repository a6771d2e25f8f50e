#!/usr/bin/env bash
# package: litserve 0.2.19, fastapi 0.165.0, starlette 1.10.0, uvicorn 0.54.0
# behaviour: With max_batch_size above 1 and the default batch_timeout of 0, a worker asks its queue for requests without a
#   pause: while nobody sends anything it keeps a core busy, together with the process that holds the queue (with as many
#   workers as cores, all of them). With a batch_timeout it still asks a thousand times a second. Only without batches does
#   it wait. So what else runs on an idle machine loses its cores, and an autoscaler by CPU never goes down.
# output:
#   {"max_batch_size": 8}: 0.99 cores
#   {"max_batch_size": 8, "batch_timeout": 0.001}: 0.11 cores
#   {}: 0.0 cores
# date: 2026-11-30
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
server=
# In a group of its own: its workers outlive it.
trap '[ -z "$server" ] || kill -KILL -- "-$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet litserve==0.2.19 fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0

cat > service.py <<'PYTHON'
import json
import os

import litserve


class Double(litserve.LitAPI):
    def setup(self, device):
        pass

    def predict(self, x):
        return x


if __name__ == "__main__":
    server = litserve.LitServer(Double(**json.loads(os.environ["BATCHING"])), accelerator="cpu", workers_per_device=1)
    server.run("127.0.0.1", int(os.environ["PORT"]), log_level="warning", access_log=False, generate_client_file=False)
PYTHON

cat > idle.py <<'PYTHON'
"""The share of a core that a process and its children take for two seconds in which nothing is sent."""

import http.client
import os
import sys
import time
from pathlib import Path

port, pid = map(int, sys.argv[1:])


def answered():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/predict", b"{}", {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except OSError:
        return False


def seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    children = [child for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") + sum(map(seconds, children))


for _ in range(300):
    if answered():
        break
    time.sleep(0.1)
else:
    sys.exit("the server did not answer")
time.sleep(1)
began, before = time.monotonic(), seconds(pid)
time.sleep(2)
print(round((seconds(pid) - before) / (time.monotonic() - began), 2))
PYTHON

# idle BATCHING LEAST MOST: the cores that an idle server of one worker takes, which must lie between the two
idle() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  BATCHING=$1 PORT=$port setsid env/bin/python service.py > log 2>&1 &
  server=$!
  took=$(env/bin/python idle.py "$port" "$server")
  kill -KILL -- "-$server"
  wait "$server" 2> /dev/null || true
  server=
  echo "$1: $took cores"
  python3 -c 'import sys; took, least, most = map(float, sys.argv[1:]); sys.exit(not least <= took < most)' "$took" "$2" "$3" ||
    { echo "the behaviour changed"; exit 1; }
}

idle '{"max_batch_size": 8}' 0.5 9
idle '{"max_batch_size": 8, "batch_timeout": 0.001}' 0.04 0.5
idle '{}' 0 0.04
echo "as described"
