"""What a caller does with the wheel, run by the Python of an environment that holds it: see test_wheel.py.

    python wheel_client.py TARGET IMAGE [MODULE...]

The modules are imported before the client. A JSON object tells what came of it all.
"""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def main(target: str, image: str, *modules: str) -> None:
    for module in modules:
        import_module(module)
    print(json.dumps({**asked(target, image), "awaited": asyncio.run(awaited(target, image))}))


def asked(target: str, image: str) -> dict[str, Any]:
    from fovea.client import Client

    with Client(target) as client:
        images: list[str | bytes] = [image, Path(image).read_bytes()]
        return {
            "label": client.classify(image, top_k=2).label,
            "many": [getattr(each, "label", str(each)) for each in client.classify_many(images)],
            "labels": list(client.get_model().labels),
            "no image": refusal(client, b"no image"),
            "no picture": refusal(client, object()),
        }


def refusal(client: Any, image: Any) -> str:
    from fovea.errors import FoveaError

    try:
        client.classify(image)
    except FoveaError as error:
        return f"{type(error).__name__} {error} {getattr(error, 'field', '')}".rstrip()
    return ""


async def awaited(target: str, image: str) -> str:
    from fovea.client import AsyncClient

    async with AsyncClient(target) as client:
        return (await client.classify(image)).label


if __name__ == "__main__":
    main(*sys.argv[1:])
