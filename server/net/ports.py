"""Binding the ports: a port that cannot be had ends the program with a line that says which."""

import errno
import socket

import grpc
import prometheus_client

from fovea.errors import DataInvalid, Unavailable
from server.config import ServeSettings
from server.telemetry import exposition
from server.telemetry.exposition import Guard

_MINUTE_MS = 60_000

_FEWEST_STREAMS = 100
"""HTTP/2 (RFC 9113, 6.5.2) recommends no smaller limit."""


def bind_grpc(
    server: grpc.Server | grpc.aio.Server,
    option: str,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None = None,
    *,
    is_shared: bool = False,
) -> int:
    """In plain text without credentials. Returns the number of the port. Raises Unavailable, DataInvalid.

    `is_shared` says that the server was made to share the port with others.
    """
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError as error:
        if credentials is not None and _can_be_bound(address, is_shared):
            raise DataInvalid(
                "--tls-cert: gRPC cannot use this certificate; use one with an RSA, P-256 or P-384 key"
            ) from error
        raise _cannot_listen(option, host, port) from error


def listen_http(host: str, port: int, *, is_shared: bool = False) -> list[socket.socket]:
    """Listening sockets of one number, one for each address of the host. Raises Unavailable.

    `is_shared` says that others may share the port who ask for that: see `HeldPort`.
    """
    sockets: list[socket.socket] = []
    failure: OSError | None = None
    for family, address in _addresses(host):
        try:
            sockets.append(_listening(family, address, port, is_shared))
            port = sockets[0].getsockname()[1]
        except OSError as error:
            failure = error
    if not sockets or (failure and failure.errno == errno.EADDRINUSE):
        for each in sockets:
            each.close()
        raise _cannot_listen("--http-port", host, port) from failure
    return sockets


def serve_metrics(
    registry: prometheus_client.CollectorRegistry, host: str, port: int, guard: Guard | None = None
) -> int:
    """Serves /metrics from threads of its own; returns the port's number. Raises Unavailable."""
    try:
        return exposition.serve(registry, host, port, guard)
    except OSError as error:
        raise _cannot_listen("--metrics-port", host, port) from error


class HeldPort:
    """A port that processes of this user may share who ask for that, and nobody else can have.

    Who asks for it alone, as every server of ours does, is refused from here on. The sockets are bound and
    do not listen: the kernel gives connections to those that do.
    """

    def __init__(self, option: str, host: str, port: int) -> None:
        """With 0 a free one. Raises Unavailable for one that is taken, or not this machine's."""
        self.number = port
        self._sockets: list[socket.socket] = []
        failure: OSError | None = None
        for family, address in _addresses(host):
            try:
                self._hold(family, address)
            except OSError as error:
                failure = error
                if error.errno == errno.EADDRINUSE:
                    break
        if not self._sockets or (failure and failure.errno == errno.EADDRINUSE):
            self.close()
            raise _cannot_listen(option, host, port) from failure

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def _hold(self, family: int, address: str) -> None:
        """Listens alone for a moment: that nobody else has the port is known, and nobody else gets it."""
        with socket.socket(family) as alone:
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(alone, address, self.number)
            alone.listen(1)
            number = alone.getsockname()[1]
            alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            held = socket.socket(family)
            self._sockets.append(held)
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            _bind(held, address, number)
            self.number = number


def call_options(settings: ServeSettings, *, is_shared: bool = False) -> list[tuple[str, int]]:
    """gRPC's limits for the port of the calls."""
    return [
        # By default two servers may share a port, and callers would reach the one or the other.
        ("grpc.so_reuseport", int(is_shared)),
        # 4 MB by default, less than a photograph may have.
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        # A caller may fill the queue by one connection, and hear that it is full; more it keeps to itself.
        ("grpc.max_concurrent_streams", min(max(_FEWEST_STREAMS, 2 * settings.queue_capacity), 2**31 - 1)),
        # A caller asks for the servers' addresses when a connection ends, and stays with one that does not.
        ("grpc.max_connection_age_ms", int(settings.max_connection_age_s * 1000)),
        # New calls go by another connection then; what is under way, such as a stream, has this long to end.
        ("grpc.max_connection_age_grace_ms", 60 * _MINUTE_MS),
        # A peer that vanished is noticed; one that pings more often than this is cut off.
        ("grpc.keepalive_time_ms", 2 * _MINUTE_MS),
        ("grpc.keepalive_timeout_ms", _MINUTE_MS // 3),
        # Idle connections may be pinged, from both sides: load balancers drop those that are silent.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _MINUTE_MS // 6),
    ]


def _listening(family: int, address: str, port: int, is_shared: bool) -> socket.socket:
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(is_shared))
        _bind(listening, address, port)
        listening.listen()
        listening.setblocking(False)
    except BaseException:
        listening.close()
        raise
    return listening


def _addresses(host: str) -> list[tuple[int, str]]:
    """(family, address); all addresses are those of IPv6 too, where there is any, as gRPC binds them."""
    if host in ("0.0.0.0", "::"):  # noqa: S104 - what is asked for
        return [(socket.AF_INET6, "::") if socket.has_dualstack_ipv6() else (socket.AF_INET, "0.0.0.0")]  # noqa: S104
    try:
        candidates = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError:
        return []
    addresses = [(int(family), str(address[0])) for family, _, _, _, address in candidates]
    # gRPC takes that name for both, whatever the machine says of it.
    return list(dict.fromkeys([*addresses, (socket.AF_INET6, "::1")] if host == "localhost" else addresses))


def _bind(unbound: socket.socket, address: str, port: int) -> None:
    if unbound.family == socket.AF_INET6:
        unbound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(address != "::"))
    unbound.bind((address, port))


def _can_be_bound(address: str, is_shared: bool) -> bool:
    """gRPC does not say whether it was the port or the certificate that it could not use."""
    try:
        return bool(
            grpc.aio.server(options=[("grpc.so_reuseport", int(is_shared))]).add_insecure_port(address)
        )
    except RuntimeError:
        return False


def _cannot_listen(option: str, host: str, port: int) -> Unavailable:
    if port:
        why = "it is taken, or not this machine's"
        advice = f"choose another {option} (0 for a free one) or another --host"
    else:
        why, advice = f"{host} is not an address of this machine", "choose another --host"
    return Unavailable(f"{option} {port}: cannot listen on {host}:{port}; {why}: {advice}")
