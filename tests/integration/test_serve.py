"""`airgap serve`: what it serves, where it may listen, and what it says about that."""

from __future__ import annotations

import gzip
import json
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest

from airgap.oci.digest import Digest
from tests.support.bundles import make_bundle
from tests.support.command_line import airgap
from tests.support.served import served
from tests.support.wire import Wire

PASSWORD = b"a long enough password"


def add_user(folder: Path, name: str = "alice") -> None:
    """An administrator in a folder of users."""
    done = airgap("user", "add", name, "--admin", "--password-stdin", "--data", folder,
                  stdin=PASSWORD)  # fmt: skip
    assert done.code == 0, done.err


def basic(name: str = "alice") -> dict[str, str]:
    """The header of a user."""
    from base64 import b64encode

    raw = b64encode(name.encode() + b":" + PASSWORD).decode()
    return {"Authorization": f"Basic {raw}"}


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "bundles"
    folder.mkdir()
    return make_bundle().write(folder)


def test_a_folder_is_served_and_kept(tmp_path):
    """What is pushed in one run is there in the next; a port of 0 becomes a free one."""
    data = tmp_path / "data"
    for number in range(2):
        with served("--data", data) as server, Wire(server.host) as wire:
            assert server.result["url"] == f"http://127.0.0.1:{server.port}"
            assert server.result["is_read_only"] is False
            if number == 0:
                wire.ask("POST", "/v2/a/blobs/uploads/", status=202)
                digest = (
                    "sha256:" + "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
                )
                wire.ask("POST", f"/v2/a/blobs/uploads/?digest={digest}", b"hello", status=201)
            assert wire.ask("GET", f"/v2/a/blobs/{digest}", status=200).body == b"hello"


def test_a_blob_is_kept_as_it_was_sent(tmp_path):
    """A layer that a client calls encoded is not decoded, for its digest is of what was sent."""
    packed = gzip.compress(b"hello" * 1000, mtime=0)
    digest = Digest.of(packed)
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        where = f"/v2/a/blobs/uploads/?digest={digest}"
        wire.ask("POST", where, packed, {"Content-Encoding": "gzip"}, status=201)
        answer = wire.ask("GET", f"/v2/a/blobs/{digest}", status=200)
        assert (answer.body, answer.headers["Content-Encoding"]) == (packed, None)


def test_the_default_folder_is_the_users(tmp_path, monkeypatch):
    """Without bundles or --data the registry lies in the user's data folder."""
    with served(environ={"XDG_DATA_HOME": str(tmp_path)}) as server:
        assert server.result["data"] == str(tmp_path / "airgap")
    assert (tmp_path / "airgap" / "blobs").is_dir()


def test_a_bundle_is_served_as_it_is_and_touches_no_folder(bundle, tmp_path):
    """A bundle alone is read-only: pulls work, pushes are refused, nothing is written."""
    before = sorted(tmp_path.rglob("*"))
    with served(bundle) as server, Wire(server.host) as wire:
        assert server.result["is_read_only"] is True
        names = wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        assert names
        tags = wire.ask("GET", f"/v2/{names[0]}/tags/list", status=200).json["tags"]
        wire.ask("GET", f"/v2/{names[0]}/manifests/{tags[0]}", status=200)
        refused = wire.ask("POST", f"/v2/{names[0]}/blobs/uploads/", status=405)
        assert refused.code == "UNSUPPORTED"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_bundle_lies_under_a_folder(bundle, tmp_path):
    """With --data pushes are taken beside what the bundle has."""
    with served(bundle, "--data", tmp_path / "data") as server, Wire(server.host) as wire:
        assert server.result["is_read_only"] is False
        assert wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        wire.ask("POST", "/v2/new/blobs/uploads/", status=202)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "nonsense"], "--listen"),
        (["--listen", "127.0.0.1:99999"], "--listen"),
        (["--listen", "no.such.host.invalid:1"], "--listen"),
        (["--listen", "0.0.0.0:0"], "needs TLS"),
        (["--listen", "0.0.0.0:0", "--plain-http"], "no users"),
        (["--listen", "0.0.0.0:0", "--tls-self-signed"], "no users"),
        (["--external-url", "https://hub.example"], "no users"),
        (["--external-url", "hub", "--anonymous-pull"], "--external-url"),
        (["--tls-self-signed", "--plain-http"], "--plain-http conflicts"),
        (["--tls-self-signed", "--tls-cert", "x"], "conflict"),
        (["--tls-key", "x"], "--tls-cert"),
        (["--tls-cert", "none.pem"], "none.pem"),
        (["--min-rate", "fast"], "--min-rate"),
        (["--print-trust"], "no authority"),
        (["--database", "mysql://x/y"], "mysql"),
    ],
)
def test_what_makes_no_sense_or_is_open_to_all_is_refused(arguments, message, tmp_path):
    """Options that conflict, and servers that would let in whoever comes, end with exit code 2."""
    done = airgap("serve", "--data", tmp_path / "data", *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--listen", "0.0.0.0:0", "--plain-http"], "--anonymous-pull"),
        (["--listen", "0.0.0.0:0", "--anonymous-pull"], "needs TLS"),
        (["--tls-self-signed"], "folder"),
        (["--database", "postgresql+psycopg://x/y"], "--data"),
    ],
)
def test_bundles_alone_have_the_same_rules(arguments, message, bundle):
    """A bundle that everyone may pull still needs TLS or a word elsewhere."""
    done = airgap("serve", bundle, *arguments)
    assert (done.code, message in done.err) == (2, True), done.err


def test_a_missing_bundle_is_not_found(tmp_path):
    """A bundle that is not there ends the command with exit code 10."""
    assert airgap("serve", tmp_path / "none.tar").code == 10


def test_a_port_that_is_taken_is_said(tmp_path):
    """A second server on the same port says that it cannot listen there."""
    with served("--data", tmp_path / "one") as server:
        done = airgap("serve", "--data", tmp_path / "two", "--listen", server.host)
        assert (done.code, "cannot listen" in done.err) == (12, True)


def test_a_folder_is_served_once(tmp_path):
    """A second server of the same folder says that it is locked."""
    with served("--data", tmp_path / "data"):
        done = airgap("serve", "--data", tmp_path / "data", "--listen", "127.0.0.1:0")
        assert done.code == 31


def test_everyone_may_pull_where_that_is_wanted(bundle):
    """--anonymous-pull and --plain-http let a bundle be served elsewhere, for pulls only."""
    with served(
        bundle, "--anonymous-pull", "--plain-http", listen="0.0.0.0:0"
    ) as server, Wire(server.host) as wire:  # fmt: skip
        names = wire.ask("GET", "/v2/_catalog", status=200).json["repositories"]
        assert wire.ask("DELETE", f"/v2/{names[0]}/manifests/x").status == 405


def test_users_are_asked_for(tmp_path):
    """With users, nobody gets in without a password, and the result says that there are some."""
    data = tmp_path / "data"
    add_user(data)
    with served("--data", data) as server, Wire(server.host) as wire:
        assert server.result["has_users"] is True
        challenge = wire.ask("GET", "/v2/", status=401).headers["WWW-Authenticate"]
        assert challenge.startswith(f'Bearer realm="http://{server.host}/token"')
        wire.ask("GET", "/v2/", headers=basic(), status=200)


def test_a_bundle_gets_users_from_a_folder_of_theirs(bundle, tmp_path):
    """--users lets only users pull from a bundle."""
    users = tmp_path / "users"
    add_user(users)
    with served(bundle, "--users", users) as server, Wire(server.host) as wire:
        wire.ask("GET", "/v2/_catalog", status=401)
        wire.ask("GET", "/v2/_catalog", headers=basic(), status=200)


def test_a_proxy_stands_before_it(tmp_path):
    """--external-url is what clients are sent to for tokens, and a name that is answered to."""
    data = tmp_path / "data"
    add_user(data)
    with served("--data", data, "--external-url", "https://hub.example") as server:
        assert server.result["url"] == "https://hub.example"
        with Wire(server.host) as wire:
            headers = {"Host": "hub.example", "X-Forwarded-For": "192.0.2.1"}
            answer = wire.ask("GET", "/v2/", headers=headers, status=401)
            assert 'realm="https://hub.example/token"' in answer.headers["WWW-Authenticate"]
            own = headers | {"Origin": "https://hub.example"} | basic()
            wire.ask("GET", "/v2/", headers=own, status=200)
            wire.ask("GET", "/metrics", headers=headers, status=401)
            wire.ask("GET", "/metrics", headers=headers | basic(), status=200)


def test_other_names_pages_and_proxies_are_refused(tmp_path):
    """Without users, other Hosts, foreign Origins and whatever a proxy passed on are refused."""
    with served("--data", tmp_path / "data", "--name", "lab.example") as server:
        with Wire(server.host) as wire:
            wire.ask("GET", "/v2/", headers={"Host": "lab.example:5000"}, status=200)
            wire.ask("GET", "/v2/", headers={"Host": "evil.example"}, status=421)
            wire.ask("GET", "/v2/", headers={"Origin": "http://evil.example"}, status=403)
            for name in ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"):
                wire.ask("GET", "/v2/", headers={name: "for=192.0.2.1"}, status=403)


def test_answers_of_the_registry_are_data(tmp_path):
    """Every answer under /v2/, errors among them, is fenced off from browsers."""
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        for method, path in (("GET", "/v2/"), ("GET", "/v2/x/tags/list"), ("PUT", "/v2/")):
            answer = wire.ask(method, path)
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
            assert answer.headers["Server"] == "airgap"


def test_a_server_of_its_own_authority(tmp_path):
    """--tls-self-signed makes an authority; who trusts it, and nobody else, can connect."""
    data = tmp_path / "data"
    with served("--data", data, "--tls-self-signed", "--name", "registry.internal") as server:
        assert server.result["url"] == f"https://registry.internal:{server.port}"
        authority = Path(server.result["certificate_authority"])
        assert authority == data / "tls" / "ca.crt"
        url = f"https://127.0.0.1:{server.port}/v2/"
        trusting = ssl.create_default_context(cafile=str(authority))
        with urllib.request.urlopen(url, context=trusting, timeout=20) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(url, timeout=20)
        where = ["--name", "registry.internal", "--listen", f"0.0.0.0:{server.port}"]
        printed = airgap("serve", "--data", data, *where, "--tls-self-signed", "--print-trust")
        assert printed.code == 0
        host = f"registry.internal:{server.port}"
        for part in (
            server.result["fingerprint"],
            f"/etc/docker/certs.d/{host}/ca.crt",
            f"/etc/containers/certs.d/{host}/ca.crt",
            f"/etc/containerd/certs.d/{host}/hosts.toml",
            "/etc/rancher/k3s/registries.yaml",
            f"curl --cacert ca.crt https://{host}/v2/",
        ):
            assert part in printed.out


def test_a_given_certificate_names_the_server(tmp_path):
    """Names in the certificate are names of the server, also a wildcard's."""
    import trustme

    authority = trustme.CA()
    leaf = authority.issue_cert("*.lab.example", "127.0.0.1")
    leaf.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with served("--data", tmp_path / "data", "--tls-cert", tmp_path / "both.pem") as server:
        for host, status in (("hub.lab.example", 200), ("evil.example", 421)):
            request = urllib.request.Request(
                f"https://127.0.0.1:{server.port}/v2/", headers={"Host": host}
            )
            try:
                with urllib.request.urlopen(request, context=context, timeout=20) as answer:
                    assert answer.status == status
            except urllib.error.HTTPError as error:
                assert error.code == status  # noqa: PT017 (one of both is expected)
                error.close()


def test_probes_and_numbers(tmp_path):
    """A server says that it lives, that it is ready, and what it did, with nobody signed in."""
    with served("--data", tmp_path / "data") as server, Wire(server.host) as wire:
        assert wire.ask("GET", "/healthz", status=200).body == b"ok\n"
        assert wire.ask("GET", "/readyz", status=200).json["status"] == "ready"
        numbers = wire.ask("GET", "/metrics", status=200).body.decode()
        assert "airgap_connections 1.0" in numbers
        assert "airgap_free_bytes " in numbers


def test_collected_garbage_is_counted(tmp_path):
    """A collection that a command asked the server for shows among its numbers, a dry run not."""
    data = tmp_path / "data"
    with served("--data", data) as server, Wire(server.host) as wire:
        for arguments, count in ((["--dry-run"], 0), ([], 1)):
            assert airgap("gc", "--data", data, *arguments).code == 0
            numbers = wire.ask("GET", "/metrics", status=200).body.decode()
            assert numbers.count('airgap_gc_runs_total{outcome="done"} 1.0') == count


@pytest.mark.parametrize("form", ["json", "common"])
def test_requests_are_noted(tmp_path, form):
    """Each request becomes a line of the form that was asked for."""
    log = tmp_path / "access.log"
    arguments = ["--data", tmp_path / "data", "--access-log", log, "--access-log-format", form]
    with served(*arguments) as server, Wire(server.host) as wire:
        wire.ask("GET", "/v2/_catalog?n=3&token=secret", status=200)
    line = log.read_text()
    assert line.count("\n") == 1
    assert "secret" not in line
    if form == "json":
        assert json.loads(line)["path"] == "/v2/_catalog?n=3&token=***"
    else:
        assert '"GET /v2/_catalog?n=3&token=*** HTTP/1.1" 200 ' in line


def test_people_read_where_it_is(tmp_path):
    """Without --json a few lines say where it is and how to go on."""
    import sys

    command = [sys.executable, "-m", "airgap", "serve", "--listen", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--data", tmp_path / "data"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert f"serving {tmp_path / 'data'} at http://127.0.0.1:" in process.stdout.readline()
        assert "airgap user add" in process.stdout.readline()
        process.terminate()
        assert process.wait(30) == 0
        assert process.stderr is not None
        assert "stopping" in process.stderr.read()
    finally:
        process.kill()
        process.communicate()
