"""Names that a server has, and pages that may send it requests."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from airgap.errors import SettingsError
from airgap.server.hosts import Names, guard_hosts

OWN = Names.of(["Registry.Internal.", "*.lab.example", "10.0.0.5"])


@pytest.mark.parametrize(
    "host",
    [
        "localhost", "localhost:5000", "LOCALHOST:1", "127.0.0.1", "127.9.9.9:80", "[::1]:5000",
        "registry.internal", "REGISTRY.internal.:443", "a.lab.example", "10.0.0.5:5000",
        "x.localhost",
    ],
)  # fmt: skip
def test_a_server_answers_to_its_names(host):
    """Loopback, given names in any case, one label for a star, and given addresses are its own."""
    assert OWN.has(host)


@pytest.mark.parametrize(
    "host",
    [
        "", "evil.example", "registry.internal.evil.example", "a.b.lab.example", "lab.example",
        "10.0.0.6", "[::2]", "localhost:port", "localhost:500000", "a b", "localhost\r\nX: y",
        "user@localhost", "[::1", "::1", "2130706433", "localhost/", "127.0.0.1.evil.example",
    ],
)  # fmt: skip
def test_a_server_answers_to_nothing_else(host):
    """Other names, other addresses and what is no host at all are not its own."""
    assert not OWN.has(host)


def test_any_address_is_taken_where_others_reach_the_server():
    """An address cannot be rebound, so a server that others reach takes all, but no other name."""
    names = Names.of([], any_address=True)
    assert names.has("203.0.113.7:5000")
    assert names.has("[2001:db8::1]")
    assert not names.has("evil.example")


@pytest.mark.parametrize(
    ("origin", "is_own"),
    [
        ("http://registry.internal:5000", True),
        ("http://REGISTRY.internal:5000", True),
        ("https://hub.example", True),
        ("https://hub.example:443", True),
        ("https://registry.internal:5000", False),
        ("http://registry.internal", False),
        ("http://hub.example", False),
        ("http://evil.example", False),
        ("null", False),
        ("", False),
        ("ftp://registry.internal:5000", False),
    ],
)
def test_a_page_is_own_where_scheme_name_and_port_are(origin, is_own):
    """An origin counts by all of its parts, for the server's own and its outer address."""
    names = Names.of(["registry.internal"], external_url="https://Hub.example/")
    assert names.is_own(origin, scheme="http", host="registry.internal:5000") is is_own


@pytest.mark.parametrize(
    "url", ["hub.example", "ftp://hub.example", "https://hub.example/x", "https://", "https://a b"]
)
def test_an_external_url_is_that_of_a_server(url):
    """Anything but scheme, name and port is refused by the name of the option."""
    with pytest.raises(SettingsError, match="--external-url"):
        Names.of([], external_url=url)


def ask(names: Names, headers: list[tuple[str, str]], path: str = "/v2/") -> int:
    """The status of one request that comes through the guard."""
    from multidict import CIMultiDict

    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def run() -> int:
        request = make_mocked_request("GET", path, headers=CIMultiDict(headers))
        return (await guard_hosts(names)(request, handler)).status

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([("Host", "localhost:5000")], 204),
        ([("Host", "localhost"), ("Origin", "http://localhost")], 204),
        ([], 400),
        ([("Host", "localhost"), ("Host", "localhost")], 400),
        ([("Host", "evil.example")], 421),
        ([("Host", "localhost"), ("Origin", "http://evil.example")], 403),
        ([("Host", "localhost"), ("Origin", "null")], 403),
        (
            [
                ("Host", "localhost"),
                ("Origin", "http://localhost"),
                ("Origin", "http://evil.example"),
            ],
            403,
        ),
    ],
)
def test_a_guard_refuses_other_hosts_and_pages(headers, status):
    """421 for another name, 403 for a page of another site, 400 for none or two names."""
    assert ask(Names.of([]), headers) == status


def test_probes_are_answered_under_any_name():
    """Whoever watches over the server may ask by an address of its own."""
    assert ask(Names.of([]), [("Host", "pod-17.cluster")], "/healthz") == 204
    assert ask(Names.of([]), [("Host", "pod-17.cluster")], "/metrics") == 421
