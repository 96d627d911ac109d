from __future__ import annotations

import threading
from types import TracebackType
from typing import Any

import pytest

from kfdet.detection.endpoint import EndpointError
from kfdet.evaluation.load import Level, advise, measure_load


class Server:
    """Counts who asks at a time; refuses from the request `refused` on."""

    def __init__(self, refused: int = 0) -> None:
        self.asked: list[bytes] = []
        self.most = self.inside = self.closed = 0
        self._refused = refused
        self._lock = threading.Lock()

    def client(self) -> Any:
        server = self

        class Client:
            def __enter__(self) -> Client:
                return self

            def __exit__(
                self,
                kind: type[BaseException] | None,
                error: BaseException | None,
                trace: TracebackType | None,
            ) -> None:
                server.closed += 1

            def detect(self, picture: bytes) -> None:
                with server._lock:
                    server.asked.append(picture)
                    server.inside += 1
                    server.most = max(server.most, server.inside)
                    refused = 0 < server._refused <= len(server.asked)
                with server._lock:
                    server.inside -= 1
                if refused:
                    raise EndpointError("it is full")

        return Client()


def test_each_level_is_measured_with_that_many_clients() -> None:
    server = Server()
    levels = measure_load(server.client, [b"a", b"b"], seconds=0.05, levels=(1, 3))
    assert [level.in_flight for level in levels] == [1, 3]
    assert sum(level.requests for level in levels) == len(server.asked) - 3, "but for the warm-up"
    assert server.most <= 3
    assert server.closed == 3
    assert set(server.asked) == {b"a", b"b"}
    for level in levels:
        assert level.requests >= level.in_flight
        assert 0 <= level.p50_ms <= level.p95_ms <= level.p99_ms


@pytest.mark.parametrize("refused", [1, 20])
def test_an_endpoint_that_refuses_ends_the_measurement(refused: int) -> None:
    server = Server(refused)
    with pytest.raises(EndpointError, match="it is full"):
        measure_load(server.client, [b"a"], seconds=600, levels=(1, 2))
    assert server.closed == 2


def level(in_flight: int, per_second: float) -> Level:
    return Level(in_flight, 100, per_second, 10.0, 20.0 * in_flight, 30.0)


@pytest.mark.parametrize(
    ("rates", "wanted", "in_flight", "replicas"),
    [
        ([10.0], 0, 1, 1),
        ([10.0, 19.0, 20.0, 20.5], 0, 2, 1),
        ([10.0, 19.0, 20.0, 20.5], 13.2, 2, 1),
        ([10.0, 19.0, 20.0, 20.5], 13.4, 2, 2),
        ([20.0, 10.0], 140, 1, 10),
    ],
)
def test_what_is_suggested(
    rates: list[float], wanted: float, in_flight: int, replicas: int
) -> None:
    levels = [level(2**number, rate) for number, rate in enumerate(rates)]
    found = advise(levels, wanted)
    assert (found.in_flight, found.replicas) == (in_flight, replicas)
    assert found.p95_ms == 20.0 * in_flight
