#!/usr/bin/env bash
# package: grpcio 1.85.1
# behaviour: a server that ends connections by grpc.max_connection_age_ms costs some calls that are larger than 256 KiB
#   (grpc.per_rpc_retry_buffer_size): what gRPC tries again by itself when the server has not seen it, it gives up when it
#   no longer holds the whole message. They end with UNAVAILABLE though no server went away; smaller calls never do,
#   and none does with a larger buffer.
# output:
#   100 KiB: ['OK']
#   400 KiB: ['OK', 'UNAVAILABLE (Stream removed (GOAWAY received; Error code: 0; Debug Text: max_age))']
#   400 KiB, larger buffer: ['OK']
# date: 2026-11-29
set -euo pipefail
export PIP_DISABLE_PIP_VERSION_CHECK=1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

cat > ages.py <<'PYTHON'
import asyncio
import sys
import time
from collections import Counter

import grpc

SMALL, LARGE = 100 * 1024, 400 * 1024
BUFFER = [("grpc.per_rpc_retry_buffer_size", 2**31 - 1)]


async def serve():
    async def length(request, context):
        return str(len(request)).encode()

    handler = grpc.unary_unary_rpc_method_handler(length)
    server = grpc.aio.server(options=[("grpc.max_connection_age_ms", 1000)])
    server.add_registered_method_handlers("sizes.Sizes", {"Length": handler})
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


async def call(port, size, options, seconds, enough):
    """How calls of this size ended."""
    ends, until = Counter(), time.monotonic() + seconds
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        length = channel.unary_unary("/sizes.Sizes/Length")

        async def caller():
            while time.monotonic() < until and not enough(ends):
                try:
                    await length(bytes(size), timeout=30)
                    ends["OK"] += 1
                except grpc.aio.AioRpcError as error:
                    ends[f"{error.code().name} ({error.details()})"] += 1

        await asyncio.gather(*(caller() for _ in range(24)))
    return ends


async def main(port):
    small = await call(port, SMALL, [], 20, lambda _: False)
    large = await call(port, LARGE, [], 120, lambda ends: len(ends) > 1)
    buffered = await call(port, LARGE, BUFFER, 20, lambda _: False)
    for name, ends in (("100 KiB", small), ("400 KiB", large), ("400 KiB, larger buffer", buffered)):
        print(f"{name}: {sorted(ends)}")
    ended = [end for end in large if end != "OK"]
    if list(small) != ["OK"] or list(buffered) != ["OK"] or not all("GOAWAY" in end for end in ended) or not ended:
        sys.exit("the behaviour changed")


if sys.argv[1] == "serve":
    asyncio.run(serve())
else:
    asyncio.run(main(int(sys.argv[1])))
PYTHON

python3 -m venv venv
venv/bin/pip install --quiet grpcio==1.85.1
venv/bin/python ages.py serve > port &
server=$!
trap 'kill "$server"; rm -rf "$folder"' EXIT
until [ -s port ]; do sleep 0.1; done
venv/bin/python ages.py "$(cat port)"
