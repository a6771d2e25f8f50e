import grpc
import pytest

from fovea.errors import Unavailable
from server.ports import bind_grpc
from tests.server.event_loop import in_event_loop


@in_event_loop
async def test_a_free_port_on_a_wrong_host_blames_the_host() -> None:
    with pytest.raises(Unavailable) as caught:
        bind_grpc(grpc.aio.server(), "--port", "nowhere.invalid", 0)
    assert str(caught.value) == (
        "--port 0: cannot listen on nowhere.invalid:0; nowhere.invalid is not an address of this machine: "
        "choose another --host"
    )
