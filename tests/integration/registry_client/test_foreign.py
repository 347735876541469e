"""Layers that lie elsewhere are fetched without trusting the manifest that names them."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from airgap.errors import (
    ContentNotFoundError,
    RegistryProtocolError,
    TrustError,
    UnavailableError,
)
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.registry import foreign
from airgap.registry.credentials import Credential
from airgap.registry.foreign import open_foreign
from airgap.registry.options import ClientOptions
from tests.support.registry_client import Lab, open_lab
from tests.support.scripted_server import Reply, ScriptedServer

CONTENT = b"layer" * 1000
LAYER = Descriptor.of(CONTENT, mediatype.OCTET_STREAM)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[ScriptedServer]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "layers.example").configure_cert(context)
    with ScriptedServer(context=context) as found:
        yield found


@pytest.fixture
def lab(authority: trustme.CA, tmp_path: Path) -> Iterator[Lab]:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    options = ClientOptions(timeout=5.0, ca_file=path, allow_hosts=frozenset({"127.0.0.1"}))
    with open_lab(options) as found:
        found.credentials.credential = Credential("user", "secret")
        yield found


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let loopback count as the open internet, to reach a server by name."""
    monkeypatch.setattr(foreign, "_is_public", lambda _: True)


def read(lab: Lab, *urls: str, offset: int = 0) -> bytes:
    with open_foreign(lab.client, replace(LAYER, urls=urls), offset=offset) as chunks:
        return b"".join(chunks)


def test_an_allowed_host_is_fetched_without_credentials(server: ScriptedServer, lab: Lab) -> None:
    """A host that the user allows may be private; it still gets no credentials."""
    server.on("GET", "/layer").reply(Reply(body=CONTENT))
    assert read(lab, f"{server.url}/layer") == CONTENT
    assert "authorization" not in server.requests()[0].headers


def test_a_cut_layer_goes_on(server: ScriptedServer, lab: Lab) -> None:
    """Foreign layers are continued with a range like any other blob."""
    rest = {"Content-Range": f"bytes 10-{len(CONTENT) - 1}/{len(CONTENT)}"}
    server.on("GET", "/layer", range="bytes=10-").reply(Reply(206, rest, CONTENT[10:]))
    server.on("GET", "/layer").reply(Reply(body=CONTENT, cut_after=10))
    assert read(lab, f"{server.url}/layer") == CONTENT
    assert read(lab, f"{server.url}/layer", offset=10) == CONTENT[10:]


def test_the_next_url_is_tried(server: ScriptedServer, lab: Lab) -> None:
    """A url that does not have the layer, or is not safe, leads to the next one."""
    server.on("GET", "/gone").reply(Reply(404))
    server.on("GET", "/layer").reply(Reply(body=CONTENT))
    urls = ("http://127.0.0.1/x", f"{server.url}/gone", f"{server.url}/layer")
    assert read(lab, *urls) == CONTENT


def test_a_name_is_looked_up_once(
    server: ScriptedServer, lab: Lab, public: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was checked is the one connected to, by the right name for TLS and Host."""
    asked: list[str] = []

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    original = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, port, *args, **more: (
            look_up(host, port) if "example" in str(host) else original(host, port, *args, **more)
        ),
    )
    server.on("GET", "/layer").reply(Reply(body=CONTENT))
    assert read(lab, f"https://layers.example:{server.port}/layer") == CONTENT
    assert asked == ["layers.example"]
    assert server.requests()[0].headers["host"] == f"layers.example:{server.port}"
    with pytest.raises(TrustError):
        read(lab, f"https://other.example:{server.port}/layer")


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/x",
        "https://127.0.0.2/x",
        "https://[::1]/x",
        "https://10.0.0.1/x",
        "https://172.16.0.1/x",
        "https://192.168.1.1/x",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/x",
        "https://[fd00::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://0.0.0.0/x",
        "https://224.0.0.1/x",
        "https://100.64.0.1/x",
        "https://[64:ff9b::a00:1]/x",
        "https://[64:ff9b:1::a00:1]/x",
        "https://[::10.0.0.1]/x",
        "https://[fec0::1]/x",
    ],
)
def test_private_addresses_are_not_asked(lab: Lab, url: str) -> None:
    """Loopback, private, link-local and other inner addresses are refused by name."""
    with pytest.raises(RegistryProtocolError, match="private") as caught:
        read(lab, url)
    assert "--allow-host" in (caught.value.hint or "")


def test_a_name_that_leads_inside_is_not_asked(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One private address among those of a name is enough to refuse it."""

    def look_up(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        found = ("93.184.215.14", "10.0.0.1")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port)) for name in found]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    with pytest.raises(RegistryProtocolError, match="private"):
        read(lab, "https://layers.example/x")


@pytest.mark.parametrize("url", ["http://layers.example/x", "ftp://layers.example/x", "file:///x"])
def test_only_https_is_asked(lab: Lab, url: str) -> None:
    """Urls of other schemes are refused."""
    with pytest.raises(RegistryProtocolError):
        read(lab, url)


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/x", "https://10.0.0.1/x", "https://localhost/x"]
)
def test_redirects_are_checked_like_urls(server: ScriptedServer, lab: Lab, location: str) -> None:
    """A redirect from an allowed host does not lead inside or into the clear."""
    server.on("GET", "/layer").reply(Reply(302, {"Location": location}))
    with pytest.raises(RegistryProtocolError):
        read(lab, f"{server.url}/layer")


def test_circles_end(server: ScriptedServer, lab: Lab) -> None:
    """At most five redirects are followed."""
    server.on("GET", ".*").reply(Reply(302, {"Location": "/again"}))
    with pytest.raises(RegistryProtocolError, match="redirected"):
        read(lab, f"{server.url}/layer")
    assert len(server.requests()) == 6


def test_no_url_is_not_found(lab: Lab) -> None:
    """A descriptor without urls says that there is nothing to fetch."""
    with pytest.raises(ContentNotFoundError):
        read(lab)


def test_an_unknown_host_is_named(lab: Lab) -> None:
    """A host without an address is unavailable."""
    with pytest.raises(UnavailableError, match=r"layers\.example"):
        read(lab, "https://layers.example/x")
