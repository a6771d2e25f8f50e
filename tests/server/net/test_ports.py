import socket

import grpc
import pytest

from fovea.errors import DataInvalid, Unavailable
from server.net.ports import HeldPort, bind_grpc
from tests.server.event_loop import in_event_loop


@in_event_loop
async def test_a_free_port_on_a_wrong_host_blames_the_host() -> None:
    with pytest.raises(Unavailable) as caught:
        bind_grpc(grpc.aio.server(), "--port", "nowhere.invalid", 0)
    assert str(caught.value) == (
        "--port 0: cannot listen on nowhere.invalid:0; nowhere.invalid is not an address of this machine: "
        "choose another --host"
    )


@in_event_loop
async def test_a_certificate_that_grpc_cannot_use_is_not_blamed_on_the_port() -> None:
    credentials = grpc.ssl_server_credentials([(b"no key", b"no certificate")])
    with pytest.raises(DataInvalid, match=r"^--tls-cert: gRPC cannot use this certificate"):
        bind_grpc(grpc.aio.server(), "--port", "127.0.0.1", 0, credentials)


def listening(host: str, port: int, *, shares: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shares))
    listener.bind((host, port))
    listener.listen()
    return listener


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost"])
@in_event_loop
async def test_a_port_that_is_held_is_for_those_alone_who_share_it(host: str) -> None:
    held = HeldPort("--port", host, 0)
    assert held.number
    with pytest.raises(Unavailable, match="it is taken"):
        HeldPort("--port", host, held.number)
    for _ in range(2):
        with pytest.raises(Unavailable, match="it is taken"):
            bind_grpc(grpc.aio.server(options=[("grpc.so_reuseport", 0)]), "--port", host, held.number)
    shared = [grpc.aio.server(options=[("grpc.so_reuseport", 1)]) for _ in range(2)]
    for server in shared:
        assert bind_grpc(server, "--port", host, held.number, is_shared=True) == held.number
    with pytest.raises(Unavailable, match="it is taken"):
        HeldPort("--port", host, held.number)
    for server in shared:
        await server.start()
        await server.stop(None)
    held.close()


@pytest.mark.parametrize("shares", [True, False])
def test_a_port_that_another_has_cannot_be_held(shares: bool) -> None:
    with listening("127.0.0.1", 0, shares=shares) as other:
        port = other.getsockname()[1]
        for host in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(Unavailable) as caught:
                HeldPort("--port", host, port)
            assert str(caught.value).startswith(f"--port {port}: cannot listen on {host}:{port}; it is taken")
    HeldPort("--port", "127.0.0.1", port).close()


def test_a_port_of_no_host_of_this_machine_cannot_be_held() -> None:
    for host in ("nowhere.invalid", "192.0.2.1"):
        with pytest.raises(Unavailable, match=f"{host} is not an address of this machine"):
            HeldPort("--port", host, 0)
