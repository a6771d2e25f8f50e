#!/usr/bin/env bash
# package: mosec 0.9.8
# behaviour: With max_batch_size above 1, a request that comes alone waits the whole max_wait_time though every worker
#   is idle: the batch is held open for others. Without max_wait_time, or with 0, it is held 10 ms. So a wait that is
#   chosen for throughput is added to each lone call, where a batcher that takes what there is as soon as a worker is
#   free adds none. Only without batches is a lone request computed at once.
# output:
#   {"max_batch_size": 8, "max_wait_time": 300}: 302.7 ms
#   {"max_batch_size": 8}: 12.3 ms
#   {}: 1.2 ms
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet mosec==0.9.8

cat > service.py <<'PYTHON'
import json
import os

from mosec import Server, Worker


class Double(Worker):
    def forward(self, data):
        return [2 * each for each in data] if isinstance(data, list) else 2 * data


server = Server()
server.append_worker(Double, num=2, **json.loads(os.environ["BATCHING"]))
server.run()
PYTHON

cat > call.py <<'PYTHON'
import http.client
import statistics
import sys
import time

port = int(sys.argv[1])


def call():
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    started = time.perf_counter()
    connection.request("POST", "/inference", b"21")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (200, b"42")
    return 1000 * (time.perf_counter() - started)


for _ in range(200):
    try:
        call()
        break
    except (OSError, AssertionError):
        time.sleep(0.1)
seconds = []
for _ in range(9):
    time.sleep(0.05)
    seconds.append(call())
print(round(statistics.median(seconds), 1))
PYTHON

# lone BATCHING LEAST MOST: the median milliseconds of a lone call, which must lie between the two
lone() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  BATCHING=$1 env/bin/python service.py --address 127.0.0.1 --port "$port" > log 2>&1 &
  server=$!
  took=$(env/bin/python call.py "$port")
  kill "$server"
  wait "$server" || true
  server=
  echo "$1: $took ms"
  python3 -c 'import sys; took, least, most = map(float, sys.argv[1:]); sys.exit(not least <= took < most)' "$took" "$2" "$3" ||
    { echo "the behaviour changed"; exit 1; }
}

lone '{"max_batch_size": 8, "max_wait_time": 300}' 300 350
lone '{"max_batch_size": 8}' 10 60
lone '{}' 0 10
echo "as described"
