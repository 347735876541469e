"""Clients sign in to `airgap serve` over TLS, push, pull and sign out.

Each trusts the registry's own authority and nobody else, in the way that `airgap serve` tells its
user. Docker alone does not look: it takes any certificate of a registry on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.compat import software
from tests.compat.conftest import Bundles
from tests.compat.corpus import Corpus, config_id
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.registries import CncfRegistry
from tests.compat.serving import MEMBER, PASSWORD, Served, SignedIn, serve
from tests.compat.software import Program

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def served(folders: pytest.TempPathFactory) -> Iterator[Served]:
    """A registry with TLS and users."""
    with serve(folders.mktemp("served")) as running:
        yield running


@pytest.fixture
def own_home(tmp_path: Path) -> Path:
    """A home without credentials, for a tool that keeps some."""
    made = tmp_path / "home"
    made.mkdir()
    return made


def trusting(program: Program, served: Served, home: Path) -> Program:
    """A program in Go that trusts the registry's authority and nobody else."""
    return replace(program, home=home, environment={"SSL_CERT_FILE": str(served.authority)})


def test_docker(docker: Docker, served: Served, bundles: Bundles, corpus: Corpus) -> None:
    """`docker login`, `push` and `pull` work; another's repository is denied; then `logout`."""
    docker.load(bundles.one)
    image, name = config_id(corpus.plain), f"{served.host}/payments/docker:1"
    login = ("login", "-u", MEMBER, "--password-stdin", served.host)
    session = SignedIn(docker.client, served, login, ("logout", served.host))
    foreign = f"{served.host}/others/docker:1"
    for made in (name, foreign):
        docker.client.run("tag", image, made)
    assert session.is_refused("push", name)
    session.sign_in()
    docker.client.run("push", name)
    docker.client.run("push", name)
    assert session.is_refused("push", foreign)
    assert not served.has("others/docker/manifests/1")
    docker.clear()
    docker.client.run("pull", name)
    assert docker.ids() == {image}
    docker.clear()
    session.sign_out()
    assert session.is_refused("pull", name)
    assert docker.ids() == set()


def test_podman(
    podman: Podman, served: Served, bundles: Bundles, corpus: Corpus, own_home: Path
) -> None:
    """`podman login`, `push` and `pull` work; another's repository is denied; then `logout`."""
    podman.load(bundles.one)
    image, name = config_id(corpus.plain), f"{served.host}/payments/podman:1"
    (own_home / "auth.json").write_text("{}")
    kept = {"REGISTRY_AUTH_FILE": str(own_home / "auth.json")}
    client = replace(podman.client, environment={**podman.client.environment, **kept})
    trust = ("--cert-dir", served.certificates)
    login = ("login", *trust, "-u", MEMBER, "--password-stdin", served.host)
    session = SignedIn(client, served, login, ("logout", served.host))
    assert session.is_refused("push", *trust, image, name)
    session.sign_in()
    client.run("push", *trust, image, name)
    assert session.is_refused("push", *trust, image, f"{served.host}/others/podman:1")
    podman.clear()
    client.run("pull", *trust, name)
    assert podman.ids() == {image}
    podman.clear()
    session.sign_out()
    assert session.is_refused("pull", *trust, name)


def test_containerd(
    containerd: Containerd,
    served: Served,
    source: CncfRegistry,
    corpus: Corpus,
    crane: Program,
    own_home: Path,
) -> None:
    """`ctr` pushes and pulls with the user's password, and neither without it."""
    origin = f"{source.host}/team/app:1.4"
    name = f"{served.host}/payments/containerd:{containerd.client.home.name}"
    containerd.client.run("content", "fetch", "--plain-http", "--all-platforms", origin)
    trust = ("--hosts-dir", served.hosts(own_home / "hosts"))
    user = ("--user", f"{MEMBER}:{PASSWORD}")
    assert containerd.client.attempt("images", "push", *trust, name, origin).code != 0
    containerd.client.run("images", "push", *trust, *user, name, origin)
    served.check("payments/containerd", corpus.multi, containerd.client.home.name)
    containerd.clear()
    pull = ("images", "pull", *containerd.snapshotter, *trust)
    assert containerd.client.attempt(*pull, name).code != 0
    containerd.client.run(*pull, *user, name)
    assert containerd.images() == {name: str(corpus.multi.digest)}
    assert containerd.snapshots() == 1


def test_skopeo(
    skopeo: Program,
    served: Served,
    source: CncfRegistry,
    corpus: Corpus,
    home: Path,
    own_home: Path,
) -> None:
    """`skopeo login` and `copy --all` work in both directions; then `logout`."""
    (own_home / "auth.json").write_text("{}")
    kept = {"REGISTRY_AUTH_FILE": str(own_home / "auth.json")}
    tool = replace(skopeo, home=own_home, environment=kept)
    trust = served.certificates
    login = ("login", "--cert-dir", trust, "-u", MEMBER, "--password-stdin", served.host)
    session = SignedIn(tool, served, login, ("logout", served.host))
    name = f"docker://{served.host}/payments/skopeo:1"
    command = ("copy", "--all", "--preserve-digests")
    push = (*command, "--src-tls-verify=false", f"--dest-cert-dir={trust}")
    origin = f"docker://{source.host}/team/app:1.4"
    assert session.is_refused(*push, origin, name)
    session.sign_in()
    tool.run(*push, origin, name)
    served.check("payments/skopeo", corpus.multi, "1")
    assert session.is_refused(*push, origin, f"docker://{served.host}/others/skopeo:1")
    pull = (*command, f"--src-cert-dir={trust}", name)
    tool.run(*pull, f"oci:{own_home / 'layout'}:1")
    raw = (own_home / "layout" / "blobs" / "sha256" / corpus.multi.digest.hex).read_bytes()
    assert raw == corpus.multi.raw
    session.sign_out()
    assert session.is_refused(*pull, f"oci:{own_home / 'again'}:1")


def test_crane(
    crane: Program, served: Served, source: CncfRegistry, corpus: Corpus, own_home: Path
) -> None:
    """`crane auth login`, `copy`, `validate` and `ls` work, and what bob may not does not."""
    tool = trusting(crane, served, own_home)
    host, repository = served.host, f"{served.host}/payments/crane"
    session = SignedIn(
        tool,
        served,
        ("auth", "login", "-u", MEMBER, "--password-stdin", host),
        ("auth", "logout", host),
    )
    origin = f"{source.host}/team/plain:1.0"
    assert session.is_refused("copy", origin, f"{repository}:1")
    # `crane auth login` only writes down what it is told
    with served.password() as stdin:
        tool.run(*session.login, stdin=stdin)
    tool.run("copy", origin, f"{repository}:1")
    served.check("payments/crane", corpus.plain, "1")
    tool.run("validate", "--remote", f"{repository}:1")
    assert tool.run("ls", repository).lines == ["1"]
    assert session.is_refused("copy", origin, f"{host}/others/crane:1")
    # the group may push; who may delete stands in another list of access.toml
    assert session.is_refused("delete", f"{repository}:1")
    session.sign_out()
    assert session.is_refused("manifest", f"{repository}:1")


def test_regctl(
    regctl_program: str, served: Served, source: CncfRegistry, corpus: Corpus, own_home: Path
) -> None:
    """`regctl registry login` and `image copy` with referrers work; then `logout`."""
    plain = ("--host", f"reg={source.host},tls=disabled")
    tool = trusting(Program((regctl_program, *plain), own_home), served, own_home)
    login = ("registry", "login", served.host, "-u", MEMBER, "--pass-stdin")
    session = SignedIn(tool, served, login, ("registry", "logout", served.host))
    name = f"{served.host}/payments/regctl:1"
    copy = ("image", "copy", "--referrers", "--digest-tags", f"{source.host}/team/app:1.4")
    assert session.is_refused(*copy, name)
    session.sign_in()
    tool.run(*copy, name)
    served.check("payments/regctl", corpus.multi, "1")
    served.check("payments/regctl", corpus.signature, corpus.signature_tag)
    listed = served.get(f"payments/regctl/referrers/{corpus.amd64.digest}").decode()
    assert str(corpus.sbom.digest) in listed
    # a copy would be refused, too, but regctl waits longer after each 403
    assert session.is_refused("tag", "ls", f"{served.host}/others/regctl")
    session.sign_out()
    assert session.is_refused("manifest", "get", name)


def test_oras(
    oras: Program, served: Served, source: CncfRegistry, corpus: Corpus, own_home: Path
) -> None:
    """`oras login`, `copy`, `attach` and `discover` work; then `logout`."""
    tool = replace(oras, home=own_home)
    trust = ("--ca-file", served.authority)
    login = ("login", *trust, "-u", MEMBER, "--password-stdin", served.host)
    session = SignedIn(tool, served, login, ("logout", served.host))
    subject = f"{served.host}/payments/oras:1"
    copy = ("copy", "--from-plain-http", "--to-ca-file", served.authority)
    origin = f"{source.host}/team/plain:1.0"
    assert session.is_refused(*copy, origin, subject)
    session.sign_in()
    tool.run(*copy, origin, subject)
    served.check("payments/oras", corpus.plain, "1")
    (own_home / "note.txt").write_text("read me")
    tool.run("attach", *trust, "--artifact-type", "text/note", subject, "note.txt:text/plain")
    shown = tool.run("discover", *trust, "--format", "json", subject).json
    found = shown.get("referrers") or shown.get("manifests")
    assert [entry["artifactType"] for entry in found] == ["text/note"]
    tool.run("pull", *trust, "-o", own_home / "pulled", found[0]["reference"])
    assert (own_home / "pulled" / "note.txt").read_text() == "read me"
    assert session.is_refused(*copy, origin, f"{served.host}/others/oras:1")
    session.sign_out()
    assert session.is_refused("discover", *trust, subject)


def test_helm(served: Served, own_home: Path) -> None:
    """`helm registry login`, `push`, `show` and `pull` of a chart work; then `logout`."""
    tool = Program((software.find("helm"),), own_home)
    chart = own_home / "demo"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: demo\nversion: 1.2.3\n")
    (chart / "templates" / "one.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\n"
    )
    tool.run("package", chart)
    packed = own_home / "demo-1.2.3.tgz"
    trust = ("--ca-file", served.authority)
    login = ("registry", "login", *trust, "-u", MEMBER, "--password-stdin", served.host)
    session = SignedIn(tool, served, login, ("registry", "logout", served.host))
    charts = f"oci://{served.host}/payments/charts"
    assert session.is_refused("push", *trust, packed, charts)
    session.sign_in()
    tool.run("push", *trust, packed, charts)
    shown = tool.run("show", "chart", *trust, f"{charts}/demo", "--version", "1.2.3").out
    assert "version: 1.2.3" in shown
    (own_home / "pulled").mkdir()
    pull = ("pull", *trust, f"{charts}/demo", "--version", "1.2.3", "-d", own_home / "pulled")
    tool.run(*pull)
    assert (own_home / "pulled" / packed.name).read_bytes() == packed.read_bytes()
    assert session.is_refused("push", *trust, packed, f"oci://{served.host}/others")
    session.sign_out()
    assert session.is_refused(*pull)
