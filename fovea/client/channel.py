"""How a client is connected: where its calls go, which are tried again, how large they may be, TLS."""

import json
import ssl
from os import PathLike
from typing import Final

import grpc

from fovea.errors import DataInvalid, SettingsInvalid, Unavailable
from fovea.proxies import grpc_proxy

DEFAULT_TIMEOUT_S: Final = 10.0
MAX_TIMEOUT_S: Final = 86_400.0
"""A day; gRPC cannot count to just any number."""
MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024

CALLS_OF_A_CONNECTION: Final = 64
MOST_CONNECTIONS: Final = 4

PathOrName = str | PathLike[str]

_SERVICE: Final = "fovea.v1.Classifier"
CLASSIFY: Final = f"/{_SERVICE}/Classify"
"""The method, to be called with the bytes of a request."""
_SERVICE_CONFIG: Final = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": _SERVICE},
    # A server that goes fails all that is on its way, hundreds of calls perhaps: each may be tried again.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            "retryPolicy": {
                # After 0.1, 0.4, 1.3 and 2.3 s: as long as a server drains, or as DNS may be behind.
                "maxAttempts": 5,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}

OPTIONS: Final[list[tuple[str, str | int]]] = [
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A call larger than this buffer is never tried again, and by default it has 256 KiB: less than a photo.
    ("grpc.per_rpc_retry_buffer_size", 2**31 - 1),
    ("grpc.max_send_message_length", -1),  # the server's own limit answers with a reason
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    # By default the address of the server that took a lost one's place is asked for 30 s later, and one that
    # is back after some minutes is tried again two minutes later.
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    # A machine that vanished says nothing: without pings its share of the calls would go on failing.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]
"""For grpc and grpc.aio alike."""

# Each channel counts its failures by itself, and there are several.
_FEWER_RETRIES: Final = {"retryThrottling": {"maxTokens": 400, "tokenRatio": 0.1}}
_OF_ONE_MORE: Final[dict[str, str | int]] = {
    "grpc.use_local_subchannel_pool": 1,
    "grpc.service_config": json.dumps({**_SERVICE_CONFIG, **_FEWER_RETRIES}),
}


def options_for(target: str, *, is_one_more: bool = False) -> list[tuple[str, str | int]]:
    """OPTIONS, and past any proxy where none is meant for this target.

    A channel that `is_one_more` has connections of its own; all others of a process share them.
    """
    options = {**dict(OPTIONS), "grpc.enable_http_proxy": int(bool(grpc_proxy(target)))}
    return list({**options, **(_OF_ONE_MORE if is_one_more else {})}.items())


def connections_of(window: int) -> int:
    """Over how many the calls of a window go: a server of several processes shares its calls by them."""
    return min(MOST_CONNECTIONS, -(-window // CALLS_OF_A_CONNECTION))


def checked_timeout(timeout_s: float) -> float:
    """Raises ValueError for what sets no deadline, or one that nobody waits for."""
    if not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ValueError(
            f"timeout_s must be above 0 and at most {MAX_TIMEOUT_S:.0f} (a day), not {timeout_s}"
        )
    return timeout_s


def tls_credentials(
    tls: bool = False,
    ca: PathOrName | None = None,
    certificate: PathOrName | None = None,
    key: PathOrName | None = None,
) -> grpc.ChannelCredentials | None:
    """None without TLS, which any of the PEM files turns on; without a `ca`, gRPC's own roots are trusted.

    Raises SettingsInvalid for a certificate without its key or the reverse, Unavailable for a file that
    cannot be read, DataInvalid for one that holds something else.
    """
    if bool(certificate) != bool(key):
        present, missing = ("certificate", "key") if certificate else ("key", "certificate")
        raise SettingsInvalid(f"the TLS {present} {certificate or key} is given without its {missing}")
    if not (tls or ca or certificate):
        return None
    return grpc.ssl_channel_credentials(
        root_certificates=_authorities(ca) if ca else None,
        private_key=_read(key) if key else None,
        certificate_chain=_chain(certificate, key) if certificate and key else None,
    )


# gRPC takes any bytes and then fails each call without a reason; the ssl module looks at them first.


def _authorities(path: PathOrName) -> bytes:
    pem = _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except ssl.SSLError as error:
        raise DataInvalid(f"the TLS file {path} holds no certificate authority in PEM") from error
    return pem


def _chain(certificate: PathOrName, key: PathOrName) -> bytes:
    pem = _read(certificate)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        pair = f"{certificate} and {key}"
        raise DataInvalid(
            f"the TLS files {pair} are not a certificate and its own key, in PEM and without a passphrase"
        ) from error
    return pem


def _read(path: PathOrName) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be a sixth of what the client loads
            return file.read()
    except OSError as error:
        raise Unavailable(f"the TLS file {path} cannot be read: {error.strerror}") from error
