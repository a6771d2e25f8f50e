"""A DNS server on 127.0.0.1 that answers every name with the addresses that a test gives it."""

import ipaddress
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

HEADER_BYTES: Final = 12
TTL_S: Final = 5
"""What CoreDNS gives the addresses of a Service by default."""

_ANSWERED: Final = 0x8180  # a response, recursion desired and available, no error
_POINTER_TO_THE_QUESTION: Final = 0xC000 | HEADER_BYTES
_INTERNET: Final = 1
_TYPES: Final = {4: 1, 6: 28}
"""A and AAAA, by the version of the address (RFC 1035, RFC 3596)."""


class DnsServer:
    """Answers with `addresses`, which may be changed at any time; `queries` counts the questions."""

    def __init__(self) -> None:
        self.addresses: Sequence[str] = ()
        self.queries = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))

    def target(self, port: int, name: str = "fovea.test") -> str:
        """The name, to be asked of this server, as gRPC writes it."""
        return f"dns://127.0.0.1:{self._socket.getsockname()[1]}/{name}:{port}"

    def serve(self) -> None:
        """Until `close`."""
        while True:
            query, asker = self._socket.recvfrom(512)
            if not query:
                return
            self.queries += 1
            self._socket.sendto(_response(query, self.addresses), asker)

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())


def _response(query: bytes, addresses: Sequence[str]) -> bytes:
    end_of_name = query.index(0, HEADER_BYTES) + 1
    question = query[HEADER_BYTES : end_of_name + 4]
    (asked,) = struct.unpack_from(">H", query, end_of_name)
    parsed = map(ipaddress.ip_address, addresses)
    records = [_record(address.packed, asked) for address in parsed if _TYPES[address.version] == asked]
    header = query[:2] + struct.pack(">5H", _ANSWERED, 1, len(records), 0, 0)
    return header + question + b"".join(records)


def _record(address: bytes, type_: int) -> bytes:
    fields = (_POINTER_TO_THE_QUESTION, type_, _INTERNET, TTL_S, len(address))
    return struct.pack(">HHHIH", *fields) + address


@contextmanager
def dns_server(*addresses: str) -> Iterator[DnsServer]:
    server = DnsServer()
    server.addresses = addresses
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()
        server._socket.close()
