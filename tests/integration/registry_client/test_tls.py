"""The registry client speaks TLS where it must, and in the clear only where it may."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from airgap.errors import RegistryProtocolError, SettingsError, TrustError, UnavailableError
from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.registry.credentials import Credential
from airgap.registry.options import ClientOptions
from airgap.registry.scheme import Schemes
from tests.support.registry_client import open_lab
from tests.support.scripted_server import Reply, ScriptedServer

BLOB = Descriptor.of(b"content", mediatype.OCTET_STREAM)
THERE = Reply(body=b"content")


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def server(authority: trustme.CA) -> Iterator[ScriptedServer]:
    with ScriptedServer(context=server_context(authority)) as found:
        yield found


def server_context(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


def has_blob(host: str, *, timeout: float = 5.0, **options: object) -> bool:
    with open_lab(ClientOptions(timeout=timeout, **options)) as lab:  # type: ignore[arg-type]
        return lab.client.repository(host, "team/app", origin="source").has_blob(BLOB)


def test_a_trusted_registry_is_spoken_to_by_tls(server: ScriptedServer, ca_file: Path) -> None:
    """With the authority named, TLS is used, also on loopback."""
    server.on("HEAD", ".*").reply(THERE)
    assert has_blob(server.host, ca_file=ca_file)


def test_an_untrusted_certificate_names_the_option(server: ScriptedServer) -> None:
    """A certificate of an unknown authority is a trust error that names --ca-file, untried."""
    with open_lab() as lab:
        with pytest.raises(TrustError, match="not trusted") as caught:
            lab.client.repository(server.host, "team/app", origin="source").has_blob(BLOB)
        assert lab.waits == []
    assert "--ca-file" in (caught.value.hint or "")
    assert caught.value.exit_code == 12
    assert server.requests() == []


def test_a_certificate_for_another_name_is_not_trusted(
    authority: trustme.CA, ca_file: Path
) -> None:
    """The name in the certificate must be the registry's."""
    with (
        ScriptedServer(context=server_context(authority, "other.example")) as server,
        pytest.raises(TrustError),
    ):
        has_blob(server.host, ca_file=ca_file)


def test_an_insecure_registry_is_not_checked(server: ScriptedServer) -> None:
    """A host that the user named as insecure is spoken to by TLS without a check."""
    server.on("HEAD", ".*").reply(THERE)
    assert has_blob(server.host, insecure=frozenset({server.host}))


def test_loopback_may_speak_in_the_clear() -> None:
    """A registry on loopback that speaks no TLS is spoken to by HTTP, and that is remembered."""
    with ScriptedServer() as server:
        server.on("HEAD", ".*").reply(THERE)
        assert has_blob(server.host)
        assert server.connections == 2
        assert len(server.requests()) == 1


def test_a_tls_registry_on_loopback_never_sees_plain_text(
    server: ScriptedServer, ca_file: Path
) -> None:
    """TLS is found out without a request, so that credentials cannot go out in the clear."""
    server.on("HEAD", ".*", authorization="Basic .*").reply(THERE)
    server.on("HEAD", ".*").reply(Reply(401, {"WWW-Authenticate": "Basic realm=x"}))
    with open_lab(ClientOptions(timeout=5.0, ca_file=ca_file)) as lab:
        lab.credentials.credential = Credential("user", "secret")
        assert lab.client.repository(server.host, "team/app", origin="source").has_blob(BLOB)
    assert len(server.requests()) == 2


def test_a_silent_server_on_loopback_names_the_option() -> None:
    """A server that says nothing to a handshake may be one for plain HTTP: the hint says so."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="TLS handshake") as caught:
            has_blob(host, timeout=0.1, retries=0)
    assert f"--plain-http {host}" in (caught.value.hint or "")


def test_http_at_a_port_for_tls_names_the_option() -> None:
    """A 400 that says so gets the hint, and so does one to a HEAD, which can say nothing."""
    said = Reply(400, {}, b"Client sent an HTTP request to an HTTPS server.\n")
    with ScriptedServer() as server, open_lab(ClientOptions(timeout=5.0)) as lab:
        server.on("HEAD", ".*").reply(Reply(400))
        server.on("GET", ".*").reply(said)
        repository = lab.client.repository(server.host, "team/app", origin="source")
        for ask in (lambda: repository.has_blob(BLOB), lambda: repository.manifest("1")):
            with pytest.raises(RegistryProtocolError) as caught:
                ask()
            assert "--plain-http" in (caught.value.hint or "")


def test_other_hosts_are_spoken_to_by_tls_only() -> None:
    """Only loopback and what the user names may be asked in the clear."""
    schemes = Schemes(ClientOptions(plain_http=frozenset({"plain.example:80", "open.example"})))
    assert str(schemes.endpoint("registry.example:5000")) == "https://registry.example:5000"
    assert str(schemes.endpoint("docker.io")) == "https://registry-1.docker.io"
    assert str(schemes.endpoint("plain.example")) == "http://plain.example"
    assert str(schemes.endpoint("open.example:5000")) == "http://open.example:5000"
    with pytest.raises(SettingsError):
        schemes.endpoint("no host")


def test_a_plain_server_is_not_taken_for_a_tls_one() -> None:
    """Where TLS is a must, a server that speaks none is a trust error that names the option."""
    with ScriptedServer() as server, open_lab() as lab:
        endpoint = Schemes(ClientOptions()).endpoint("registry.example")
        found = type(endpoint)("https", "127.0.0.1", server.port)
        lab.client.network.schemes._known[server.host] = found
        with pytest.raises(TrustError, match="does not speak TLS") as caught:
            lab.client.repository(server.host, "team/app", origin="source").has_blob(BLOB)
        assert "--plain-http" in (caught.value.hint or "")
        assert server.requests() == []


@pytest.mark.parametrize("method", ["redirect", "location", "link", "realm"])
def test_nothing_leads_from_https_to_http(
    server: ScriptedServer, ca_file: Path, method: str
) -> None:
    """A redirect, Location, Link or realm in the clear is refused, and nobody is asked there."""
    with ScriptedServer() as plain:
        plain.on("GET", ".*").reply(Reply.json({"token": "x"}))
        server.on("HEAD", ".*").reply(
            Reply(307, {"Location": f"{plain.url}/x"})
            if method == "redirect"
            else Reply(401, {"WWW-Authenticate": f'Bearer realm="{plain.url}/x"'})
        )
        server.on("POST", ".*").reply(Reply(202, {"Location": f"{plain.url}/x"}))
        server.on("GET", ".*tags.*").reply(
            Reply.json({"tags": ["a"]}, Link=f'<{plain.url}/x>; rel="next"')
        )
        with open_lab(ClientOptions(timeout=5.0, ca_file=ca_file)) as lab:
            lab.credentials.credential = Credential("user", "secret")
            repository = lab.client.repository(server.host, "team/app", origin="source")
            with pytest.raises(RegistryProtocolError):
                if method == "location":
                    with repository.ingest(BLOB) as upload:
                        upload.receive(lambda _: pytest.fail("nothing is to be sent"))
                elif method == "link":
                    list(repository.tags())
                else:
                    repository.has_blob(BLOB)
        assert plain.requests() == []


def test_a_client_certificate_is_shown(
    authority: trustme.CA, ca_file: Path, tmp_path: Path
) -> None:
    """A registry that wants a certificate gets the one that was named."""
    context = server_context(authority)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    ours = authority.issue_cert("client.example")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    ours.cert_chain_pems[0].write_to_path(str(cert))
    ours.private_key_pem.write_to_path(str(key))
    with ScriptedServer(context=context) as server:
        server.on("HEAD", ".*").reply(THERE)
        assert has_blob(server.host, ca_file=ca_file, cert=cert, key=key)


@pytest.mark.parametrize("option", ["ca_file", "cert"])
def test_files_that_are_no_certificates_are_refused(
    server: ScriptedServer, tmp_path: Path, option: str
) -> None:
    """A file that is missing or holds no PEM is a settings error."""
    path = tmp_path / "nonsense.pem"
    with pytest.raises(SettingsError):
        has_blob(server.host, **{option: path})
    path.write_text("nonsense")
    with pytest.raises(SettingsError):
        has_blob(server.host, **{option: path})


def test_a_proxy_is_asked_for_other_hosts() -> None:
    """A host beyond loopback is asked through the proxy, by its whole url."""
    with ScriptedServer() as proxy:
        proxy.on("HEAD", r"http://registry\.example/v2/.*").reply(THERE)
        options = ClientOptions(
            timeout=5.0, plain_http=frozenset({"registry.example"}), proxy=proxy.url
        )
        with open_lab(options) as lab:
            repository = lab.client.repository("registry.example", "team/app", origin="source")
            assert repository.has_blob(BLOB)
        assert proxy.requests()[0].headers["host"] == "registry.example"


def test_a_proxys_password_stays_with_the_proxy() -> None:
    """The credentials of a proxy are sent to it and shown nowhere."""
    with ScriptedServer() as proxy:
        proxy.on("HEAD", ".*", proxy_authorization="Basic .+").reply(THERE)
        options = ClientOptions(
            timeout=5.0,
            retries=0,
            plain_http=frozenset({"registry.example"}),
            http_proxy=f"http://user:hunter2@{proxy.host}",
        )
        with open_lab(options) as lab:
            repository = lab.client.repository("registry.example", "team/app", origin="source")
            assert repository.has_blob(BLOB)
            host = proxy.host
    dead = ClientOptions(timeout=5.0, retries=0, https_proxy=f"http://user:hunter2@{host}")
    with open_lab(dead) as lab, pytest.raises(UnavailableError) as caught:
        lab.client.repository("registry.example", "team/app", origin="source").has_blob(BLOB)
    assert "hunter2" not in str(caught.value)


def test_loopback_is_reached_without_the_proxy() -> None:
    """A proxy is never asked for loopback, nor for what no_proxy names."""
    with ScriptedServer() as server:
        server.on("HEAD", ".*").reply(THERE)
        assert has_blob(server.host, proxy="http://127.0.0.1:1")
