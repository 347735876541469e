"""Endpoints and urls: what is followed, and what is refused."""

from __future__ import annotations

import pytest

from airgap.errors import RegistryProtocolError, SettingsError
from airgap.registry.endpoint import (
    Endpoint,
    Url,
    is_loopback,
    is_reached_directly,
    registry_endpoint,
)

BASE = Url.parse("https://registry.example/v2/a/blobs/uploads/?x=1", what="it")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Registry.Example/a?b=c#d", "https://registry.example/a?b=c"),
        ("https://registry.example:443", "https://registry.example/"),
        ("http://registry.example:443/x", "http://registry.example:443/x"),
        ("http://[::1]:5000/x", "http://[::1]:5000/x"),
    ],
)
def test_urls_are_read(text: str, expected: str) -> None:
    """Hosts are lower case, a scheme's own port is left out, and fragments are dropped."""
    assert str(Url.parse(text, what="it")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/path",
        "ftp://a/b",
        "http://",
        "https://user:secret@a/b",
        "https://@a/",
        "http://a:99999/",
        "http://a:port/",
        "http://[::1/",
        "http://a/\r\nX: y",
        "http://a/b c",
        "http://a\\@b/",
        "javascript:alert(1)",
    ],
)
def test_other_urls_are_refused(text: str) -> None:
    """What is no plain http or https url is refused, and its credentials are not repeated."""
    with pytest.raises(RegistryProtocolError) as caught:
        Url.parse(text, what="it")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/a/b?c=d", "https://registry.example/a/b?c=d"),
        ("next?y", "https://registry.example/v2/a/blobs/uploads/next?y"),
        ("?y=2", "https://registry.example/v2/a/blobs/uploads/?y=2"),
        ("//storage.example/x", "https://storage.example/x"),
        ("https://storage.example:8443/x", "https://storage.example:8443/x"),
    ],
)
def test_locations_are_resolved(location: str, expected: str) -> None:
    """Relative and absolute references are followed from where they were given."""
    assert str(BASE.follow(location, what="a Location")) == expected


@pytest.mark.parametrize(
    "location", ["http://registry.example/x", "http://a/", "https://u:p@a/", "/a b", "/\r\nX:"]
)
def test_unsafe_locations_are_refused(location: str) -> None:
    """From https nothing leads to http, and nothing smuggles headers or credentials in."""
    with pytest.raises(RegistryProtocolError):
        BASE.follow(location, what="a Location")


def test_a_clear_registry_may_lead_to_tls() -> None:
    """From http to https is no loss."""
    plain = Url.parse("http://a/", what="it")
    assert str(plain.follow("https://b/", what="it")) == "https://b/"


@pytest.mark.parametrize(
    ("target", "expected"),
    [("/u", "/u?digest=d"), ("/u?s=1%2F", "/u?s=1%2F&digest=d"), ("/u?", "/u?&digest=d")],
)
def test_a_query_is_appended(target: str, expected: str) -> None:
    """State that a Location carries is kept as it is."""
    assert Url(BASE.endpoint, target).with_query("digest", "d").target == expected


@pytest.mark.parametrize(
    ("registry", "expected"),
    [
        ("docker.io", "https://registry-1.docker.io"),
        ("index.docker.io", "https://registry-1.docker.io"),
        ("ghcr.io", "https://ghcr.io"),
        ("localhost:5000", "https://localhost:5000"),
        ("[::1]:5000", "https://[::1]:5000"),
    ],
)
def test_registries_have_endpoints(registry: str, expected: str) -> None:
    """Docker Hub answers under another name; the others under their own."""
    assert str(registry_endpoint(registry, "https")) == expected


def test_what_is_no_registry_is_a_setting() -> None:
    """A name that is no host is the user's to correct."""
    with pytest.raises(SettingsError):
        registry_endpoint("a b", "https")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.255.0.9", True),
        ("::1", True),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback_is_the_machine_itself(host: str, expected: bool) -> None:
    """localhost, 127.0.0.0/8 and ::1 are loopback, and names that look like it are not."""
    assert is_loopback(host) is expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [({"a.example"}, True), ({"A.example:5000"}, True), ({"a.example:80"}, False), (set(), False)],
)
def test_hosts_are_named_with_or_without_a_port(names: set[str], expected: bool) -> None:
    """A name without a port means every port."""
    assert Endpoint("https", "a.example", 5000).is_named_in(frozenset(names)) is expected


@pytest.mark.parametrize(
    ("host", "no_proxy", "expected"),
    [
        ("a.example", (), False),
        ("127.0.0.1", (), True),
        ("a.example", ("*",), True),
        ("a.example", ("A.EXAMPLE",), True),
        ("a.example", ("example",), True),
        ("a.example", (".example",), True),
        ("a.example", ("*.example",), True),
        ("a.example", ("a.example:5000",), True),
        ("a.example", ("a.example:80",), False),
        ("b.a.example", ("a.example:5000",), True),
        ("nota.example", ("a.example",), False),
        ("10.1.2.3", ("10.0.0.0/8",), True),
        ("11.1.2.3", ("10.0.0.0/8",), False),
        ("10.1.2.3", ("10.1.2.3",), True),
        ("10.1.2.3", ("", "nonsense"), False),
        ("a.example", ("",), False),
    ],
)
def test_no_proxy_is_read_like_elsewhere(
    host: str, no_proxy: tuple[str, ...], expected: bool
) -> None:
    """Hosts, domains, ports and networks are reached directly when they are listed."""
    assert is_reached_directly(host, 5000, no_proxy) is expected
