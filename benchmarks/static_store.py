"""A bucket that is only read, in a process of its own: as much of S3 as listing and reading images takes.

    python -m benchmarks.static_store FOLDER IMAGES

Serves the files of FOLDER over and over as IMAGES objects, 000000.jpg and on, from memory, for a
small part of what moto's server takes of a core. Prints its URL. It ends when its standard input does.
"""

import asyncio
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

BUCKET: Final = "photographs"
PAGE: Final = 1000


@dataclass(frozen=True)
class RunningStore:
    """Its process and the endpoint's URL."""

    pid: int
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def running_store(folder: Path, images: int) -> Iterator[RunningStore]:
    """Ready when the block begins, ended after it."""
    command = [sys.executable, "-m", "benchmarks.static_store", str(folder), str(images)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, process_group=0) as process:
        assert process.stdout
        yield RunningStore(process.pid, process.stdout.readline().strip())


def main() -> None:
    folder, images = Path(sys.argv[1]), int(sys.argv[2])
    store = _Store([file.read_bytes() for file in sorted(folder.iterdir())], images)
    asyncio.run(_serve(store))


async def _serve(store: "_Store") -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(store), "127.0.0.1", 0)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    ended = asyncio.Event()
    threading.Thread(
        target=lambda: (sys.stdin.read(), loop.call_soon_threadsafe(ended.set)), daemon=True
    ).start()
    await ended.wait()


class _Store:
    def __init__(self, files: list[bytes], images: int) -> None:
        self._images = images
        self._sizes = [len(data) for data in files]
        self._etags = [md5(data).hexdigest() for data in files]
        self._answers = [
            _head(f'Content-Length: {len(data)}\r\nETag: "{etag}"') + data
            for data, etag in zip(files, self._etags, strict=True)
        ]

    def answer(self, target: str) -> bytes:
        url = urlsplit(target)
        if url.query:
            return self._page(parse_qs(url.query))
        match = re.fullmatch(rf"/{BUCKET}/(\d+)\.jpg", url.path)
        if not match:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return self._answers[int(match[1]) % len(self._answers)]

    def _page(self, query: dict[str, list[str]]) -> bytes:
        start = int(query.get("continuation-token", ["0"])[0])
        end = min(start + PAGE, self._images)
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < self._images else ""
        truncated = "true" if more else "false"
        objects = "".join(map(self._object, range(start, end)))
        body = (
            f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>{truncated}</IsTruncated>{more}"
            f"<KeyCount>{end - start}</KeyCount>{objects}</ListBucketResult>"
        ).encode()
        return _head(f"Content-Type: application/xml\r\nContent-Length: {len(body)}") + body

    def _object(self, number: int) -> str:
        which = number % len(self._sizes)
        return (
            f"<Contents><Key>{number:06}.jpg</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
            f"<ETag>&quot;{self._etags[which]}&quot;</ETag><Size>{self._sizes[which]}</Size></Contents>"
        )


class _Connection(asyncio.Protocol):
    """Answers one request after the other; none has a body."""

    def __init__(self, store: _Store) -> None:
        self._store = store
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            self._transport.write(self._store.answer(request.split(b" ", 2)[1].decode()))


def _head(fields: str) -> bytes:
    date = "Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT"
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n{date}\r\n\r\n".encode()


if __name__ == "__main__":
    main()
