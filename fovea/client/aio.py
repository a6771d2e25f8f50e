"""The client for asyncio; `fovea.client` is where callers find it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from fovea.client.answers import CallFailed, Classification, classification, failure
from fovea.client.bearer import bearer, with_key
from fovea.client.channel import (
    CLASSIFY,
    DEFAULT_TIMEOUT_S,
    PathOrName,
    checked_timeout,
    connections_of,
    options_for,
    tls_credentials,
)
from fovea.client.obstacle import async_obstacle
from fovea.client.request import (
    ImageLike,
    Priority,
    Want,
    check_many,
    classify_request,
    encoded_as,
    model_request,
    name_of,
)
from fovea.client.trace_context import traced
from fovea.errors import FoveaError
from fovea.proxies import grpc_proxy

if TYPE_CHECKING:
    from fovea.v1 import classify_pb2
    from fovea.v1.classify_pb2_grpc import ClassifierAsyncStub

    _Way = grpc.aio.UnaryUnaryMultiCallable[bytes, classify_pb2.ClassifyResponse]

T = TypeVar("T")
R = TypeVar("R")


class AsyncClient:
    """`Client` for asyncio: the same arguments, the same calls, awaited.

        async with AsyncClient("dns:///fovea:8001") as client:
            print((await client.classify("cat.jpg")).label)

    Belongs to the event loop of its first call. Files are read and pictures are encoded in threads. A call
    whose task is cancelled is cancelled at the server too.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        tls: bool = False,
        tls_ca: PathOrName | None = None,
        tls_cert: PathOrName | None = None,
        tls_key: PathOrName | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        token: str | None = None,
        token_file: PathOrName | None = None,
    ) -> None:
        """As Client's; raises what that does."""
        self._target, self._proxy = target, grpc_proxy(target)
        self._timeout_s = checked_timeout(timeout_s)
        self._more: list[tuple[grpc.aio.Channel, _Way]] = []
        self._credentials = credentials or tls_credentials(tls, tls_ca, tls_cert, tls_key)
        self._bearer = traced(bearer(token, token_file))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for channel in (self._channel, *(channel for channel, _ in self._more)):
            await channel.close()

    async def classify(
        self,
        image: ImageLike,
        *,
        top_k: int = 1,
        min_probability: float = 0.0,
        model_version: int = 0,
        model: str = "",
        priority: Priority = "interactive",
        want: Sequence[Want] = (),
        request_id: str = "",
        sticky_key: str = "",
    ) -> Classification:
        """Classifies one image. Raises CallFailed, or DataInvalid when the file cannot be read."""
        ask = partial(
            classify_request,
            top_k=top_k,
            min_probability=min_probability,
            model_version=model_version,
            model=model,
            priority=priority,
            want=want,
            request_id=request_id,
        )
        return await self._classify(ask, image, name_of(image), self._way, sticky_key)

    def classify_many(
        self,
        images: Iterable[ImageLike] | AsyncIterable[ImageLike],
        *,
        top_k: int = 1,
        min_probability: float = 0.0,
        model_version: int = 0,
        model: str = "",
        want: Sequence[Want] = (),
        window: int = 16,
        sticky_key: str = "",
    ) -> AsyncGenerator[Classification | FoveaError, None]:
        """Classifies images as they come, `window` of them in flight, and yields in their order.

        A failure is yielded in its image's place, as Client does. An answer does not wait for images that
        have yet to come. When the consumer stops or is cancelled, so is all that is in flight.
        Raises ValueError at once for a window below 1.
        """
        check_many(images, window)

        ask = partial(
            classify_request,
            top_k=top_k,
            min_probability=min_probability,
            model_version=model_version,
            model=model,
            priority="bulk",
            want=want,
        )

        async def outcome(numbered: tuple[int, ImageLike]) -> Classification | FoveaError:
            index, image = numbered
            way = self._way_by(index % connections_of(window))
            try:
                return await self._classify(ask, image, name_of(image, index), way, sticky_key)
            except FoveaError as error:
                return error

        return _in_order(outcome, _numbered(images), window)

    async def get_model(self, model_version: int = 0, model: str = "") -> "classify_pb2.GetModelResponse":
        """A served model: labels, preprocessing, metrics, provider. Raises CallFailed."""
        request = model_request(model_version, model)
        try:
            return await self._stub.GetModel(request, timeout=self._timeout_s, metadata=self._bearer())
        except grpc.RpcError as error:
            raise await self._failure(error) from error

    async def _classify(
        self,
        ask: Callable[[bytes], bytes],
        image: ImageLike,
        name: str,
        way: "_Way",
        sticky_key: str,
    ) -> Classification:
        try:
            data = image if isinstance(image, bytes) else await asyncio.to_thread(encoded_as, name, image)
            metadata = with_key(self._bearer(), sticky_key)
            answer = await way(ask(data), timeout=self._timeout_s, metadata=metadata)
            return classification(answer)
        except grpc.RpcError as error:
            raise await self._failure(error, name) from error

    async def _failure(self, error: grpc.RpcError, name: str = "") -> CallFailed:
        return failure(error, name, self._proxy, await async_obstacle(self._channel, error))

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        # Not before the first call: a channel needs a running event loop, and a client may be made earlier.
        return self._open()

    def _open(self, *, is_one_more: bool = False) -> grpc.aio.Channel:
        options = options_for(self._target, is_one_more=is_one_more)
        if self._credentials:
            return grpc.aio.secure_channel(self._target, self._credentials, options)
        return grpc.aio.insecure_channel(self._target, options)

    def _way_by(self, connection: int) -> "_Way":
        """Counted from 0, which is that of all other calls."""
        while len(self._more) < connection:
            channel = self._open(is_one_more=True)
            self._more.append((channel, _way_by(channel)))
        return self._more[connection - 1][1] if connection else self._way

    @cached_property
    def _way(self) -> "_Way":
        return _way_by(self._channel)

    @cached_property
    def _stub(self) -> "ClassifierAsyncStub":
        from fovea.v1 import classify_pb2_grpc  # with the first client: a fifth of what it takes to load

        return classify_pb2_grpc.ClassifierStub(self._channel)


def _way_by(channel: grpc.aio.Channel) -> "_Way":
    from fovea.v1 import classify_pb2

    return channel.unary_unary(CLASSIFY, response_deserializer=classify_pb2.ClassifyResponse.FromString)


async def _numbered(items: Iterable[T] | AsyncIterable[T]) -> AsyncGenerator[tuple[int, T], None]:
    if isinstance(items, AsyncIterable):
        index = 0
        async for item in items:
            yield index, item
            index += 1
    else:
        for numbered in enumerate(items):
            yield numbered


async def _in_order(
    work: Callable[[T], Awaitable[R]], items: AsyncIterable[T], window: int
) -> AsyncGenerator[R, None]:
    """`work` of each item in the items' order. At most `window` are begun and not yet taken."""
    begun: asyncio.Queue[asyncio.Future[R] | None] = asyncio.Queue()
    room = asyncio.Semaphore(window)
    feeder = asyncio.create_task(_begin_each(work, items, room, begun))
    try:
        while (task := await begun.get()) is not None:
            yield await task
            room.release()
        await feeder  # raises what `items` raised
    finally:
        queued = [begun.get_nowait() for _ in range(begun.qsize())]
        unfinished: list[asyncio.Future[Any]] = [feeder, *filter(None, queued)]
        for each in unfinished:
            each.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


async def _begin_each(
    work: Callable[[T], Awaitable[R]],
    items: AsyncIterable[T],
    room: asyncio.Semaphore,
    begun: "asyncio.Queue[asyncio.Future[R] | None]",
) -> None:
    try:
        await room.acquire()
        async for item in items:
            begun.put_nowait(asyncio.ensure_future(work(item)))
            await room.acquire()
    finally:
        begun.put_nowait(None)
