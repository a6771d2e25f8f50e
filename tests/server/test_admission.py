import pytest

from server.admission import Admission
from server.errors import Draining, QueueFull


def test_full_queue_refuses_at_once() -> None:
    admission = Admission(max_images=2, max_bytes=100)
    with (
        admission.admit(2, 10),
        pytest.raises(QueueFull, match="2 images are in flight, of 2"),
        admission.admit(1, 1),
    ):
        pass


def test_bytes_in_flight_are_bounded() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    with (
        admission.admit(1, 60),
        pytest.raises(QueueFull, match="60 bytes are in flight, of 100"),
        admission.admit(1, 41),
    ):
        pass


def test_room_is_given_back_when_a_call_fails() -> None:
    admission = Admission(max_images=1, max_bytes=100)
    with pytest.raises(RuntimeError), admission.admit(1, 100):
        raise RuntimeError
    with admission.admit(1, 100):
        assert (admission.images, admission.bytes) == (1, 100)


def test_closed_admission_lets_go_on_what_is_in_flight() -> None:
    admission = Admission(max_images=10, max_bytes=100)
    with admission.admit(1, 10):
        admission.close()
        assert admission.images == 1
        with pytest.raises(Draining), admission.admit(1, 10):
            pass
