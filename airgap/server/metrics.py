"""Numbers for monitoring, in a registry of their own, and the page that gives them."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping

from aiohttp import web
from aiohttp.typedefs import Middleware
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from airgap.server.access import (
    REGISTRY,
    Action,
    Guard,
    is_forwarded,
    is_loopback,
    refusal,
)
from airgap.server.errors import WireError
from airgap.server.exchange import ROUTE, error_answer
from airgap.server.router import METHODS

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""Of the text format that `generate_latest` writes."""

_METHODS = frozenset(method for methods in METHODS.values() for method in methods)
_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10, 60, 300, 1800)

Samples = Callable[[], Mapping[str, float]]
"""Gives the values of a gauge, by the value of its label, when somebody asks."""


class Metrics:
    """The numbers of one server.

    Args:
        now: The clock.

    Attributes:
        registry: What is shown.
    """

    def __init__(self, *, now: Callable[[], float] = time.perf_counter) -> None:
        # they double what is sent, and nobody asks for them
        disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotations
        self.registry = CollectorRegistry()
        self._now = now
        labels, by_resource = ("resource", "method", "status"), ("resource",)
        self._requests = self._counter("requests", "Requests that were answered", labels)
        self._received = self._counter("received_bytes", "Bytes of bodies received", by_resource)
        self._sent = self._counter("sent_bytes", "Bytes of bodies sent", by_resource)
        self._seconds = Histogram(
            "airgap_request_seconds",
            "How long requests took until their answer was ready",
            by_resource,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "airgap_requests_in_flight", "Requests being answered", registry=self.registry
        )
        self._collections = self._counter("gc_runs", "Garbage collections", ("outcome",))
        self._freed = self._counter("gc_freed_bytes", "Bytes that garbage collection freed", ())
        self._collected = Gauge(
            "airgap_gc_last_success_timestamp_seconds",
            "When garbage was last collected",
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)

    def watch(self, name: str, text: str, label: str, samples: Samples) -> None:
        """Add a gauge whose values are asked for when somebody looks.

        Args:
            name: Its name behind `airgap_`.
            text: What it says.
            label: What its label is called; empty for none.
            samples: Gives the values; a gauge without label has the key "".
        """
        self.registry.register(_Asked(name, text, label, samples))

    def collected(self, *, freed: int, when: float) -> None:
        """Garbage was collected.

        Args:
            freed: How many bytes that freed.
            when: The time of day, in seconds since 1970.
        """
        self._collections.labels("done").inc()
        self._freed.inc(freed)
        self._collected.set(when)

    def collection_failed(self) -> None:
        """Garbage could not be collected."""
        self._collections.labels("failed").inc()

    def middleware(self) -> Middleware:
        """What counts requests."""

        @web.middleware
        async def count(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            start, status, response = self._now(), 500, None
            self._in_flight.inc()
            try:
                response = await handler(request)
                status = response.status
            except web.HTTPException as error:
                status = error.status
                raise
            except ConnectionError:
                status = 499  # nginx's, for a client that went away
                raise
            finally:
                self._in_flight.dec()
                self._count(request, response, status, self._now() - start)
            return response

        return count

    def _count(
        self,
        request: web.Request,
        response: web.StreamResponse | None,
        status: int,
        seconds: float,
    ) -> None:
        found = request.get(ROUTE)
        resource = found.resource.value if found is not None else "other"
        method = request.method if request.method in _METHODS else "other"
        self._requests.labels(resource, method, str(status)).inc()
        self._seconds.labels(resource).observe(seconds)
        received = request.content.total_bytes
        if received:
            self._received.labels(resource).inc(received)
        if response is not None and request.method != "HEAD":
            # what the system sends from a file does not pass through aiohttp
            self._sent.labels(resource).inc(response.content_length or response.body_length)

    def _counter(self, name: str, text: str, labels: Iterable[str]) -> Counter:
        return Counter(f"airgap_{name}", text, tuple(labels), registry=self.registry)


class _Asked(Collector):
    """A gauge that asks for its values."""

    def __init__(self, name: str, text: str, label: str, samples: Samples) -> None:
        self._name = f"airgap_{name}"
        self._text = text
        self._labels = [label] if label else []
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        """Give the values as of now."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for key, value in self._samples().items():
            family.add_metric([key] if self._labels else [], value)
        yield family

    def describe(self) -> Iterable[Metric]:
        """Give the names, for which no value is asked."""
        yield GaugeMetricFamily(self._name, self._text, labels=self._labels)


class MetricsPage:
    """Answers `/metrics`: to whoever is on this machine, and to administrators.

    Args:
        metrics: The numbers.
        guard: Who may do what.
        is_behind_proxy: Whether requests come through a proxy, whose address says nothing.
    """

    def __init__(self, metrics: Metrics, guard: Guard, *, is_behind_proxy: bool = False) -> None:
        self._metrics = metrics
        self._guard = guard
        self._is_behind_proxy = is_behind_proxy

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Give the numbers."""
        is_local = is_loopback(request.remote) and not is_forwarded(request)
        try:
            if self._is_behind_proxy or not is_local:
                principal = await self._guard.identify(request)
                if not self._guard.may(principal, Action.ADMIN, REGISTRY):
                    raise refusal(self._guard, principal, request, Action.ADMIN, REGISTRY)
        except WireError as error:
            return error_answer(error)
        raw = generate_latest(self._metrics.registry)
        return web.Response(body=raw, headers={"Content-Type": CONTENT_TYPE})
