"""Which way calls go where the environment names a proxy: never through one to this machine."""

import os
import re
from collections.abc import MutableMapping
from typing import Final

# What takes apart URLs and addresses is loaded only where there is a proxy.

_LOOPBACK: Final = ("localhost", "127.0.0.1", "127.0.0.0/8", "::1")
"""As NO_PROXY has it; not every library reads networks."""

_GRPC_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_GRPC_PROXY: Final = ("no_grpc_proxy", "no_proxy", "NO_PROXY")
"""gRPC itself reads the first that is there, and no capitals."""

_NO_HTTP_PROXY: Final = ("NO_PROXY", "no_proxy")

_WITHOUT_HOST: Final = {"unix", "unix-abstract", "vsock", "xds"}


def spare_loopback(environment: MutableMapping[str, str] = os.environ) -> None:
    """Adds this machine to the names that every library of this process reaches without a proxy."""
    if not any(name.lower().endswith("_proxy") for name in environment):
        return
    values = [environment.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    hosts = [host.strip() for host in ",".join(values).split(",") if host.strip()]
    environment["no_proxy"] = environment["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *_LOOPBACK]))


def way_of(proxy: str) -> str:
    """What an error says of the proxy, if there is one."""
    return proxy and f" (by the proxy of {proxy}; no_proxy names what needs none)"


def http_proxy(url: str) -> str:
    """The proxy of a store's HTTP requests, as `https_proxy=http://HOST:PORT`, or ""."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    names = [form for name in (f"{parts.scheme}_proxy", "all_proxy") for form in (name.upper(), name)]
    name = next((name for name in names if os.environ.get(name)), None)
    return _without_credentials(name) if name and not _is_direct(parts.hostname or "", _NO_HTTP_PROXY) else ""


def grpc_proxy(target: str) -> str:
    """The proxy of gRPC's calls to `target`, or "".

    Targets on this machine go through none, nor do those that no_proxy names, in capitals too.
    """
    name = next((name for name in _GRPC_PROXIES if os.environ.get(name)), None)
    if name is None or not os.environ[name].lower().startswith("http://"):  # gRPC takes no other kind
        return ""
    if all(_is_direct(host, _NO_GRPC_PROXY) for host in _hosts(target)):
        return ""
    return _without_credentials(name)


def _without_credentials(name: str) -> str:
    """The variable and its value, but for the user and the password in it."""
    scheme, slashes, address = os.environ[name].rpartition("://")
    return f"{name}={scheme}{slashes}{address.rpartition('@')[2]}"


def _hosts(target: str) -> list[str]:
    scheme, colon, rest = target.partition(":")
    if colon and scheme in _WITHOUT_HOST:
        return []
    if colon and scheme in {"dns", "ipv4", "ipv6"}:
        target = re.sub("^//[^/]*/", "", rest)
    return [_host(address) for address in target.split(",")]


def _host(address: str) -> str:
    """`[::1]:8001` -> `::1`, `fovea:8001` -> `fovea`."""
    bracketed = re.match(r"\[([^]]*)\]", address)
    if bracketed:
        return bracketed[1]
    return address if address.count(":") > 1 else address.partition(":")[0]


def _is_direct(host: str, names: tuple[str, ...]) -> bool:
    no_proxy = next((os.environ[name] for name in names if os.environ.get(name)), "")
    return any(_matches(host, pattern.strip()) for pattern in (*_LOOPBACK, *no_proxy.split(",")))


def _matches(host: str, pattern: str) -> bool:
    from ipaddress import ip_address, ip_network

    if pattern == "*":
        return True
    try:
        return ip_address(host) in ip_network(pattern, strict=False)
    except ValueError:  # one of them is a name
        name = pattern.lstrip("*.").lower()
        return bool(name) and f".{host.lower()}".endswith(f".{name}")
