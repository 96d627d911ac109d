"""How many requests an endpoint answers, and how long it takes, with more and more in flight."""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from kfdet.detection import Detector
from kfdet.events import Progress

LEVELS = (1, 2, 4, 8, 16, 32)
"""Requests in flight."""

_WARM_UP = 3
_ENOUGH = 0.9
"""Share of the highest rate from which on more requests in flight mostly wait."""
_UTILISATION = 0.7
"""Share of what pods can answer that they are given, so that a queue gets shorter again."""


@dataclass(frozen=True, slots=True)
class Level:
    """What was measured with a number of requests in flight.

    Args:
        in_flight: Requests in flight at a time.
        requests: How many were answered.
        per_second: Requests a second.
        p50_ms: Milliseconds in which half of them were answered.
        p95_ms: The same for 95 %.
        p99_ms: The same for 99 %.
    """

    in_flight: int
    requests: int
    per_second: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Advice:
    """What the measurement suggests.

    Args:
        in_flight: Requests in flight from which on more of them mostly wait.
        per_second: Requests a second that are answered then.
        p95_ms: Milliseconds in which 95 % of them are answered then.
        replicas: How many times as many pods as now the wanted rate takes.
    """

    in_flight: int
    per_second: float
    p95_ms: float
    replicas: int


def measure_load(
    connect: Callable[[], Detector],
    pictures: Sequence[bytes],
    *,
    seconds: float,
    levels: Sequence[int] = LEVELS,
) -> list[Level]:
    """Send one picture per request, with a fixed number of requests in flight at a time.

    Args:
        connect: Makes a client; each has one request in flight at most.
        pictures: Encoded pictures, which take turns.
        seconds: How long each level takes; requests that are in flight then are still counted.
        levels: Numbers of requests in flight.

    Raises:
        EndpointError: The endpoint does not answer, or not as a detector.
    """
    with ExitStack() as stack:
        clients = [stack.enter_context(connect()) for _ in range(max(levels))]
        for _ in range(_WARM_UP):
            clients[0].detect(pictures[0])
        progress = Progress("load", len(levels), "levels")
        measured = []
        for level in levels:
            measured.append(_measure(clients[:level], pictures, seconds))
            progress.advance(note=f"{level} in flight")
    return measured


def _measure(clients: Sequence[Detector], pictures: Sequence[bytes], seconds: float) -> Level:
    started = time.perf_counter()
    stop = threading.Event()

    def ask(client: Detector, first: int) -> list[float]:
        times = []
        try:
            for picture in itertools.islice(itertools.cycle(pictures), first, None):
                sent = time.perf_counter()
                client.detect(picture)
                now = time.perf_counter()
                times.append(now - sent)
                if stop.is_set() or now - started >= seconds:
                    return times
        except BaseException:
            stop.set()  # the others need not go on
            raise
        return times

    with ThreadPoolExecutor(len(clients)) as pool:
        running = [pool.submit(ask, client, number) for number, client in enumerate(clients)]
        times = [each for done in running for each in done.result()]
    passed = time.perf_counter() - started
    p50, p95, p99 = (round(float(each), 3) for each in np.percentile(times, (50, 95, 99)) * 1000)
    return Level(len(clients), len(times), round(len(times) / passed, 3), p50, p95, p99)


def advise(levels: Sequence[Level], wanted: float) -> Advice:
    """What the measurement suggests.

    Args:
        levels: At least one.
        wanted: Requests a second that are expected; 0: not known.
    """
    best = max(level.per_second for level in levels)
    chosen = next(level for level in levels if level.per_second >= _ENOUGH * best)
    replicas = max(1, math.ceil(wanted / (_UTILISATION * chosen.per_second)))
    return Advice(chosen.in_flight, chosen.per_second, chosen.p95_ms, replicas)
