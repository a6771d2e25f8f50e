"""Binding the three ports: a port that cannot be had ends the program with a line that says which."""

import grpc
import prometheus_client

from fovea.errors import DataInvalid, Unavailable
from server.config import ServeSettings
from server.telemetry import exposition

_MINUTE_MS = 60_000

_FEWEST_STREAMS = 100
"""HTTP/2 (RFC 9113, 6.5.2) recommends no smaller limit."""


def bind_grpc(
    server: grpc.Server | grpc.aio.Server,
    option: str,
    host: str,
    port: int,
    credentials: grpc.ServerCredentials | None = None,
) -> int:
    """In plain text without credentials. Returns the number of the port. Raises Unavailable, DataInvalid."""
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        if credentials is not None:
            return server.add_secure_port(address, credentials)
        return server.add_insecure_port(address)
    except RuntimeError as error:
        if credentials is not None and _can_be_bound(address):
            raise DataInvalid(
                "--tls-cert: gRPC cannot use this certificate; use one with an RSA, P-256 or P-384 key"
            ) from error
        raise _cannot_listen(option, host, port) from error


def serve_metrics(registry: prometheus_client.CollectorRegistry, host: str, port: int) -> int:
    """Serves /metrics from threads of its own; returns the port's number. Raises Unavailable."""
    try:
        return exposition.serve(registry, host, port)
    except OSError as error:
        raise _cannot_listen("--metrics-port", host, port) from error


def call_options(settings: ServeSettings) -> list[tuple[str, int]]:
    """gRPC's limits for the port of the calls."""
    return [
        # By default two servers may share a port, and callers would reach the one or the other.
        ("grpc.so_reuseport", 0),
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


def _can_be_bound(address: str) -> bool:
    """gRPC does not say whether it was the port or the certificate that it could not use."""
    try:
        return bool(grpc.aio.server(options=[("grpc.so_reuseport", 0)]).add_insecure_port(address))
    except RuntimeError:
        return False


def _cannot_listen(option: str, host: str, port: int) -> Unavailable:
    if port:
        why = "it is taken, or not this machine's"
        advice = f"choose another {option} (0 for a free one) or another --host"
    else:
        why, advice = f"{host} is not an address of this machine", "choose another --host"
    return Unavailable(f"{option} {port}: cannot listen on {host}:{port}; {why}: {advice}")
