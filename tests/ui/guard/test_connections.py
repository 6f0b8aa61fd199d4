"""How long a connection may wait and how many there may be, with real sockets against uvicorn as it is served."""

import asyncio
import contextlib
import socket
import threading
import time

import pytest
import uvicorn

from workbench.ui.guard.connections import Bounds, Connections, _outside

WHOLE = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
HALF = b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: "
STREAM, LONG = (f"GET /{name} HTTP/1.1\r\nhost: x\r\n\r\n".encode() for name in ("stream", "long"))


async def answers(scope, receive, send):
    """One line; before it, on /stream, one every tenth of a second for two seconds, and on /long for a minute."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    for _ in range({"/stream": 20, "/long": 600}.get(scope["path"], 0)):
        await send({"type": "http.response.body", "body": b"tick\n", "more_body": True})
        await asyncio.sleep(0.1)
    await send({"type": "http.response.body", "body": b"done\n"})


class Server:
    """A small application under some bounds, and sockets of the loopback to it."""

    def __init__(self, bounds):
        self.connections = Connections(bounds)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open = contextlib.ExitStack()
        config = uvicorn.Config(
            answers, log_level="critical", lifespan="off", ws="none", loop="asyncio", http=self.connections.protocol, timeout_keep_alive=60,
            timeout_graceful_shutdown=1, backlog=bounds.at_once,
        )  # fmt: skip
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True)

    def __enter__(self):
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        return self

    def __exit__(self, *error):
        self._open.close()
        self._server.should_exit = True
        self._thread.join(20)

    def opened(self, said=b""):
        """A connection that has sent `said`."""
        one = self._open.enter_context(socket.create_connection(self._listening.getsockname(), 10))
        one.sendall(said)
        return one


@contextlib.contextmanager
def served(every=100, loopback=100, head_seconds=60.0):
    with Server(Bounds(every, loopback, address=1, head_seconds=head_seconds)) as server:
        yield server


def heard(one, until=b"done", seconds=5.0):
    """What comes until a word, or until the other end closes."""
    one.settimeout(seconds)
    came = b""
    while until not in came:
        try:
            more = one.recv(4096)
        except ConnectionResetError:
            return came
        if not more:
            return came
        came += more
    return came


@pytest.mark.parametrize("said", [b"", HALF], ids=["nothing", "half a head"])
def test_a_connection_without_a_request_is_closed_in_time(said):
    with served(head_seconds=0.5) as server:
        started, one = time.monotonic(), server.opened(said)
        assert heard(one) == b"" and 0.4 < time.monotonic() - started < 4


def test_a_head_that_trickles_in_gets_no_more_time_and_neither_does_the_next_one():
    with served(head_seconds=0.5) as server:
        for first in (b"", WHOLE):
            one = server.opened(first)
            assert not first or b"done" in heard(one)
            started = time.monotonic()
            with contextlib.suppress(ConnectionError):
                one.sendall(HALF)
                while time.monotonic() - started < 4:
                    one.sendall(b"x")
                    time.sleep(0.05)
            assert time.monotonic() - started < 4


def test_a_stream_lives_on_and_its_connection_is_used_again():
    with served(head_seconds=0.5) as server:
        one = server.opened(STREAM)
        assert heard(one).count(b"tick") == 20
        one.sendall(WHOLE)
        assert b"200 OK" in heard(one)


def test_whoever_asks_is_let_in_however_many_connections_say_nothing():
    with served(loopback=20) as server:
        stream = server.opened(LONG)
        assert b"tick" in heard(stream, b"tick")
        silent = [server.opened(HALF) for _ in range(60)]
        assert b"200 OK" in heard(server.opened(WHOLE))
        assert heard(silent[0]) == b"" and b"tick" in heard(stream, b"tick"), "the longest silent one went, and none that is answered"


def test_there_are_never_more_connections_than_the_bounds_and_none_is_counted_that_has_ended():
    for bounds in ({"loopback": 10}, {"every": 10}):
        with served(**bounds) as server:
            busy = [server.opened(LONG) for _ in range(10)]
            for one in busy:
                assert b"tick" in heard(one, b"tick")
            assert heard(server.opened(WHOLE)) == b"", "all are answered, so the new one goes"
            for one in busy:
                one.close()
            until = time.monotonic() + 10
            while server.connections._held and time.monotonic() < until:
                time.sleep(0.05)
            assert not server.connections._held and b"200 OK" in heard(server.opened(WHOLE))


def test_bounds_leave_descriptors_for_everything_else():
    bounds = Bounds.of_process()
    assert 0 < bounds.address <= bounds.loopback < bounds.every <= 3072


@pytest.mark.parametrize(("address", "outside"), [
    ("127.0.0.1", ""), ("127.9.9.9", ""), ("::1", ""), ("::ffff:127.0.0.1", ""), ("10.0.0.7", "10.0.0.7"), ("::ffff:10.0.0.7", "10.0.0.7"),
    ("fe80::1%eth0", "fe80::1"), ("", ""),
])  # fmt: skip
def test_all_loopback_addresses_are_one(address, outside):
    assert _outside(address) == outside
