"""Prints each message of a module that protoc generated, with its fields, as JSON: `descriptors.py MODULE...`

A program of its own, since the modules of two packages that have the same symbols do not go into one process.
"""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

Fields = dict[str, list[Any]]


def messages(descriptors: Any) -> Iterator[tuple[str, Fields]]:
    """Full name -> field name -> number, type, whether it is repeated, the message or enum that it holds."""
    for descriptor in descriptors:
        yield descriptor.full_name, {field.name: _facts(field) for field in descriptor.fields}
        yield from messages(descriptor.nested_types)


def _facts(field: Any) -> list[Any]:
    held = field.message_type or field.enum_type
    return [field.number, field.type, field.is_repeated, held.full_name if held else None]


def calls(services: Any) -> Iterator[tuple[str, Fields]]:
    for service in services:
        yield (
            service.full_name,
            {
                method.name: [
                    method.input_type.full_name,
                    method.output_type.full_name,
                    method.client_streaming,
                    method.server_streaming,
                ]
                for method in service.methods
            },
        )


def enums(descriptors: Any) -> Iterator[tuple[str, Fields]]:
    for descriptor in descriptors:
        yield descriptor.full_name, {value.name: [value.number] for value in descriptor.values}


if __name__ == "__main__":
    fields: dict[str, Fields] = {}
    for name in sys.argv[1:]:
        file = import_module(name).DESCRIPTOR
        fields |= dict(messages(file.message_types_by_name.values()))
        fields |= dict(calls(file.services_by_name.values()))
        fields |= dict(enums(file.enum_types_by_name.values()))
    print(json.dumps(fields))
