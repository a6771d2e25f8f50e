"""A server of grpc.aio that takes Classify calls as bytes and answers each at once: what gRPC alone costs.

    python benchmarks/bare_grpc.py

Nothing of this project runs in it. Says in JSON, on stderr, on which port of this machine it is ready.
"""

import asyncio
import json
import sys
from typing import Any, Final

import grpc

ANSWER: Final = (
    b"\x0a\x0f\x0a\x06tabby \x10\x01\x1d\x00\x00\x00\x3f" + b"\x1a\x48\x0a\x04pool\x1a\x40" + b"0" * 64
)
OPTIONS: Final = [("grpc.max_receive_message_length", 64 * 1024 * 1024), ("grpc.so_reuseport", 0)]


async def classify(request: bytes, context: "grpc.aio.ServicerContext[Any, Any]") -> bytes:
    return ANSWER


async def main() -> None:
    handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Classify": grpc.unary_unary_rpc_method_handler(classify)
    }
    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("fovea.v1.Classifier", handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(json.dumps({"message": "ready", "port": port}), file=sys.stderr, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main())
