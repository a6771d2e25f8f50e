"""The client for threads; `fovea.client` is where callers find it."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Self

import grpc

from fovea.client.answers import (
    CallFailed,
    Classification,
    classification,
    failure,
)
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
from fovea.client.obstacle import obstacle
from fovea.client.request import (
    ImageLike,
    Priority,
    Want,
    check_many,
    classify_request,
    encoded,
    encoded_as,
    model_request,
    name_of,
)
from fovea.client.trace_context import traced
from fovea.errors import DataInvalid, FoveaError
from fovea.proxies import grpc_proxy

if TYPE_CHECKING:
    from fovea.v1 import classify_pb2

    _Call = grpc._CallFuture[classify_pb2.ClassifyResponse]
    _Way = grpc.UnaryUnaryMultiCallable[bytes, classify_pb2.ClassifyResponse]


class Client:
    """A connection to one server, or to all behind a DNS name, in turn and only to those that are ready.

    Calls are retried when a server is UNAVAILABLE, with backoff, within their deadline. May be used from
    several threads.
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
        """`target` is `host:port`, or `dns:///host:port` to balance over every address of a headless service.

        `timeout_s` is the deadline of each call, with its retries. Nothing is sent before the first call.

        `tls_ca` is a PEM file with the authority of the server's certificate, and turns TLS on; `tls` alone
        trusts the public ones. `tls_cert` and `tls_key` are this client's own, for mutual TLS. `credentials`
        takes the place of all four.

        `token` says who calls, where the server asks for that; `token_file` holds one, and is read again when
        it changes. Over TLS nobody else sees it.

        Raises SettingsInvalid for a certificate without its key and for what is no token, Unavailable for
        a file that cannot be read, DataInvalid for one that holds something else.
        """
        self._timeout_s = checked_timeout(timeout_s)
        self._target, self._proxy = target, grpc_proxy(target)
        self._credentials = credentials or tls_credentials(tls, tls_ca, tls_cert, tls_key)
        self._bearer = traced(bearer(token, token_file))
        self._channel = self._open()
        self._more: list[grpc.Channel] = []
        from fovea.v1 import classify_pb2_grpc  # with the first client: a fifth of what it takes to load

        self._stub = classify_pb2_grpc.ClassifierStub(self._channel)
        self._way = _way_by(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for channel in (self._channel, *self._more):
            channel.close()

    def classify(
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
        """Classifies one image. Raises CallFailed, or DataInvalid when the file cannot be read.

        Predictions below `min_probability` are left out. `model` is one of several, by name. A server under
        load takes "bulk" after others. What is in `want` the answer has beside its predictions, if the model
        was released with it. While a canary is out, calls with the same `sticky_key` have the same version.
        """
        request = classify_request(
            encoded(image),
            top_k=top_k,
            min_probability=min_probability,
            model_version=model_version,
            model=model,
            priority=priority,
            want=want,
            request_id=request_id,
        )
        metadata = with_key(self._bearer(), sticky_key)
        try:
            return classification(self._way(request, timeout=self._timeout_s, metadata=metadata))
        except grpc.RpcError as error:
            raise self._failure(error, name_of(image)) from error

    def classify_many(
        self,
        images: Iterable[ImageLike],
        *,
        top_k: int = 1,
        min_probability: float = 0.0,
        model_version: int = 0,
        model: str = "",
        want: Sequence[Want] = (),
        window: int = 16,
        sticky_key: str = "",
    ) -> Generator[Classification | FoveaError, None, None]:
        """Classifies images as they come, `window` of them in flight, and yields in their order.

        An image that fails yields its error (CallFailed or DataInvalid) instead of raising it, so that one
        bad image does not end the others; its text begins with the path, or with the number of an image that
        has none. Each is a call of its own, so that all servers share the work and
        a call that fails is tried again; all have the priority "bulk". A window above 64 goes over several
        connections, up to 4, which the fronts of a server share. Raises ValueError at once for a
        window below 1.
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
        return self._in_order(ask, images, window, sticky_key)

    def get_model(self, model_version: int = 0, model: str = "") -> "classify_pb2.GetModelResponse":
        """A served model: labels, preprocessing, metrics, provider. Raises CallFailed."""
        request = model_request(model_version, model)
        try:
            return self._stub.GetModel(request, timeout=self._timeout_s, metadata=self._bearer())
        except grpc.RpcError as error:
            raise self._failure(error) from error

    def _in_order(
        self,
        ask: Callable[[bytes], bytes],
        images: Iterable[ImageLike],
        window: int,
        sticky_key: str,
    ) -> Generator[Classification | FoveaError, None, None]:
        pending: deque[tuple[str, _Call | DataInvalid]] = deque()
        ways = self._ways(window)
        try:
            for index, image in enumerate(images):
                name = name_of(image, index)
                pending.append((name, self._send(image, name, ask, next(ways), sticky_key)))
                if len(pending) >= window:
                    yield self._outcome(*pending.popleft())
            while pending:
                yield self._outcome(*pending.popleft())
        finally:
            for _, call in pending:
                if not isinstance(call, FoveaError):
                    call.cancel()

    def _send(
        self,
        image: ImageLike,
        name: str,
        ask: Callable[[bytes], bytes],
        way: "_Way",
        sticky_key: str,
    ) -> "_Call | DataInvalid":
        try:
            data = encoded_as(name, image)
        except DataInvalid as error:
            return error
        metadata = with_key(self._bearer(), sticky_key)
        return way.future(ask(data), timeout=self._timeout_s, metadata=metadata)

    def _ways(self, window: int) -> "Iterator[_Way]":
        """By as many connections as the window has, in turn."""
        more = connections_of(window) - 1
        while len(self._more) < more:
            self._more.append(self._open(is_one_more=True))
        return cycle([self._way, *map(_way_by, self._more[:more])])

    def _open(self, *, is_one_more: bool = False) -> grpc.Channel:
        options = options_for(self._target, is_one_more=is_one_more)
        if self._credentials:
            return grpc.secure_channel(self._target, self._credentials, options)
        return grpc.insecure_channel(self._target, options)

    def _outcome(self, name: str, call: "_Call | DataInvalid") -> Classification | FoveaError:
        if isinstance(call, FoveaError):
            return call
        try:
            return classification(call.result())
        except grpc.RpcError as error:
            return self._failure(error, name)

    def _failure(self, error: grpc.RpcError, name: str = "") -> CallFailed:
        return failure(error, name, self._proxy, obstacle(self._channel, error))


def _way_by(channel: grpc.Channel) -> "_Way":
    from fovea.v1 import classify_pb2

    return channel.unary_unary(CLASSIFY, response_deserializer=classify_pb2.ClassifyResponse.FromString)
