"""Counters of requests in Prometheus' text format, under TensorFlow Serving's names.

Source of the names: TensorFlow Serving's servables/tensorflow/util.cc and
util/prometheus_exporter.cc. Only what tells how a model fares in use is counted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from kfdet.serving.model import ServingError

_MICROSECONDS = [10_000 * 2**power for power in range(12)]
"""Upper ends of the latency's buckets: 10 ms to 20 s."""


class Metrics:
    """What a server of one model has counted since it started.

    Args:
        model: The model's name.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._registry = CollectorRegistry()
        # Not a Counter, which would append _total to the name.
        self._requests = Gauge(
            ":tensorflow:serving:request_count",
            "The total number of requests.",
            ["model_name", "status"],
            registry=self._registry,
        )
        self._latency = Histogram(
            ":tensorflow:serving:request_latency",
            "Distribution of wall time (in microseconds) for TensorFlow Serving requests.",
            ["model_name", "API", "entrypoint"],
            buckets=_MICROSECONDS,
            registry=self._registry,
        )

    @contextmanager
    def request(self, entrypoint: str) -> Iterator[None]:
        """Count what happens inside as one request, with its time if it succeeds.

        Args:
            entrypoint: REST or GRPC.
        """
        started = time.perf_counter()
        status = "UNKNOWN"
        try:
            yield
            status = "OK"
            took = (time.perf_counter() - started) * 1e6
            self._latency.labels(self._model, "predict", entrypoint).observe(took)
        except ServingError as error:
            status = error.code.name
            raise
        finally:
            self._requests.labels(self._model, status).inc()

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return bytes(generate_latest(self._registry))
