"""The fields of manifests that KServe's models do not know; run by the Python of an environment with them.

    python kserve_fields.py < MANIFESTS

See test_kserve.py. MANIFESTS is a list in JSON, and so is what is printed. What Kubernetes itself describes,
as a container, is not looked into.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

from kserve import models


def main() -> list[str]:
    found: list[str] = []
    for manifest in json.load(sys.stdin):
        version = manifest["apiVersion"].rpartition("/")[2]
        found += unknown(manifest, version.capitalize() + manifest["kind"], manifest["kind"])
    return found


def unknown(value: Any, kind: str, place: str) -> Iterator[str]:
    """`kind` is a type as the models write them: V1beta1ModelSpec, list[str], dict(str, str)."""
    if of_list := re.fullmatch(r"list\[(.*)]", kind):
        for each in value:
            yield from unknown(each, of_list[1], place)
    elif model := getattr(models, kind, None):
        names = {name: attribute for attribute, name in model.attribute_map.items()}
        for name, each in value.items():
            if name not in names:
                yield f"{place}.{name}"
            else:
                yield from unknown(each, model.openapi_types[names[name]], f"{place}.{name}")


if __name__ == "__main__":
    print(json.dumps(main()))
