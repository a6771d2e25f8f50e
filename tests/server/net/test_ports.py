import grpc
import pytest

from fovea.errors import DataInvalid, Unavailable
from server.net.ports import bind_grpc
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
