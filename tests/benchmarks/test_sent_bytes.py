import socket

from benchmarks.sent_bytes import sent_bytes


def test_what_is_sent_is_counted_and_what_comes_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as caller:
        caller.connect(server.getsockname())
        connection, _ = server.accept()
        with connection:
            before = sent_bytes()
            caller.sendall(b"x" * 100_000)
            received = 0
            while received < 100_000:
                received += len(connection.recv(65536))
            assert sent_bytes() - before == 100_000
