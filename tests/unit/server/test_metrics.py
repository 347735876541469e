"""Numbers: what is counted under which labels, and who may see it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from airgap.server.access import Action, OpenGuard, Principal
from airgap.server.errors import unauthorized
from airgap.server.exchange import ROUTE
from airgap.server.metrics import Metrics, MetricsPage
from airgap.server.router import route


def count(metrics: Metrics, method: str, path: str, answer: Any) -> None:
    """Let one request through."""

    async def handler(request: web.Request) -> web.StreamResponse:
        if path.startswith("/v2/"):
            request[ROUTE] = route(method, path)
        if isinstance(answer, BaseException):
            raise answer
        return web.Response(status=answer, body=b"12345")

    async def run() -> None:
        await metrics.middleware()(make_mocked_request(method, path), handler)

    asyncio.run(run())


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"airgap_{name}", labels)


def test_requests_count_by_resource_method_and_status():
    """Names and tags are no labels, so the count of series has a bound."""
    metrics = Metrics()
    for name in ("a", "b", "a/b"):
        count(metrics, "GET", f"/v2/{name}/manifests/1", 200)
    count(metrics, "GET", "/v2/a/manifests/2", 404)
    labels = {"resource": "manifest", "method": "GET"}
    assert value(metrics, "requests_total", **labels, status="200") == 3
    assert value(metrics, "requests_total", **labels, status="404") == 1
    assert value(metrics, "sent_bytes_total", resource="manifest") == 20
    assert value(metrics, "request_seconds_count", resource="manifest") == 4
    assert value(metrics, "requests_in_flight") == 0


def test_what_a_client_makes_up_is_no_label():
    """Unknown paths and methods count as other."""
    metrics = Metrics()
    for number in range(5):
        count(metrics, f"M{number}", f"/x{number}", 405)
    assert value(metrics, "requests_total", resource="other", method="other", status="405") == 5


@pytest.mark.parametrize(
    ("error", "status"),
    [(ValueError(), "500"), (ConnectionResetError(), "499"), (web.HTTPForbidden(), "403")],
)
def test_failures_count_as_what_they_are(error, status):
    """An error passes through and is counted by the status that it leads to."""
    metrics = Metrics()
    with pytest.raises(type(error)):
        count(metrics, "GET", "/v2/", error)
    assert value(metrics, "requests_total", resource="base", method="GET", status=status) == 1
    assert value(metrics, "requests_in_flight") == 0


def test_gauges_are_asked_when_somebody_looks():
    """A watched value is that of the moment, with a label or without."""
    metrics, values = Metrics(), {"a": 1.0}
    metrics.watch("things", "Things", "kind", lambda: values)
    metrics.watch("room", "Room", "", lambda: {"": 7})
    values["b"] = 2.0
    assert value(metrics, "things", kind="b") == 2
    assert value(metrics, "room") == 7


def test_garbage_collection_is_counted():
    """What was freed adds up, failures count apart, and the last success has its time."""
    metrics = Metrics()
    metrics.collected(freed=10, when=5.0)
    metrics.collected(freed=5, when=6.0)
    metrics.collection_failed()
    assert value(metrics, "gc_freed_bytes_total") == 15
    assert value(metrics, "gc_runs_total", outcome="done") == 2
    assert value(metrics, "gc_runs_total", outcome="failed") == 1
    assert value(metrics, "gc_last_success_timestamp_seconds") == 6


class Users(OpenGuard):
    """Knows one administrator and one user by a header."""

    async def identify(self, request, *, scope=""):
        name = request.headers.get("X-User", "")
        return Principal(name, is_admin=name == "admin")

    def may(self, principal, action, repository):
        return principal.is_admin or action is Action.PULL

    def challenge(self, request, *, scope, error=""):
        return unauthorized("Bearer x").headers


def look(
    headers: Mapping[str, str] | None = None, *, peer: str = "192.0.2.1", is_behind_proxy=False
) -> web.StreamResponse:
    """Ask for the page from an address."""
    from unittest.mock import Mock

    page = MetricsPage(Metrics(), Users(), is_behind_proxy=is_behind_proxy)
    transport = Mock()
    transport.get_extra_info = {"peername": (peer, 1)}.get
    request = make_mocked_request("GET", "/metrics", headers=headers, transport=transport)
    return asyncio.run(page.get(request))


def test_the_page_is_open_to_this_machine():
    """From loopback nobody is asked who it is."""
    answer = look(peer="127.0.0.1")
    assert answer.status == 200
    assert b"airgap_requests_in_flight 0.0" in answer.body


@pytest.mark.parametrize(
    ("headers", "status"), [({}, 401), ({"X-User": "bob"}, 403), ({"X-User": "admin"}, 200)]
)
@pytest.mark.parametrize(
    "way",
    [
        {"peer": "192.0.2.1"},
        {"peer": "127.0.0.1", "is_behind_proxy": True},
    ],
)
def test_the_page_needs_an_administrator_elsewhere(headers, status, way):
    """From elsewhere, or behind a proxy, only an administrator sees the numbers."""
    assert look(headers, **way).status == status


def test_a_proxy_on_this_machine_is_not_this_machine():
    """What was forwarded needs an administrator although it comes from loopback."""
    assert look({"X-Forwarded-For": "192.0.2.1"}, peer="127.0.0.1").status == 401
