"""Real engines, registries and tools, each started once and with folders of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.compat import engines, software
from tests.compat.corpus import Corpus
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> pytest.TempPathFactory:
    """Where folders come from whose paths are short, for the sake of sockets."""
    return tmp_path_factory


@pytest.fixture(scope="session")
def home(folders: pytest.TempPathFactory) -> Path:
    """The home of every tool: empty, without settings and credentials."""
    made = folders.mktemp("home")
    (made / "policy.json").write_text(software.TRUST_ANYTHING)
    return made


@pytest.fixture(scope="session")
def airgap(home: Path) -> Program:
    """Our own command line."""
    return software.airgap(home)


@pytest.fixture(scope="session")
def crane(home: Path) -> Program:
    """Crane; it speaks plain HTTP to loopback by itself."""
    return Program((software.find("crane"),), home)


@pytest.fixture(scope="session")
def oras(home: Path) -> Program:
    """Oras; it is told to speak plain HTTP with each command."""
    return Program((software.find("oras"),), home)


@pytest.fixture(scope="session")
def skopeo(home: Path) -> Program:
    """Skopeo, without a policy of the system; it is told to speak plain HTTP with each command."""
    return Program((software.find("skopeo"), f"--policy={home / 'policy.json'}"), home)


@pytest.fixture(scope="session")
def regctl_program(home: Path) -> str:
    """Regctl."""
    return software.find("regctl")


@dataclass(frozen=True)
class Regctl:
    """Regctl, which has to be told of each host that speaks plain HTTP."""

    program: str
    home: Path

    def __call__(self, *hosts: str) -> Program:
        """Regctl for these hosts."""
        options = [text for host in hosts for text in ("--host", f"reg={host},tls=disabled")]
        return Program((self.program, *options), self.home)


@pytest.fixture(scope="session")
def regctl(regctl_program: str, home: Path) -> Regctl:
    """Regctl."""
    return Regctl(regctl_program, home)


@pytest.fixture(scope="session")
def corpus() -> Corpus:
    """What the source registry holds."""
    return Corpus()


@pytest.fixture(scope="session")
def source(folders: pytest.TempPathFactory, corpus: Corpus) -> Iterator[CncfRegistry]:
    """A CNCF registry that holds the corpus."""
    with CncfRegistry(folders.mktemp("source")) as registry:
        corpus.push(registry)
        yield registry


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[CncfRegistry]:
    """An empty CNCF registry as it is by default."""
    with CncfRegistry(tmp_path / "inside") as registry:
        yield registry


@dataclass(frozen=True)
class Bundles:
    """Bundles of the corpus.

    Attributes:
        everything: All of it.
        one: One image with one name.
        multi: One index of two platforms and nothing beside it.
        sparse: The same, and of it only linux/amd64.
        pinned: One image that has no tag.
        chart: A chart and nothing that an engine could run.
        docker: One image of Docker's own type.
    """

    everything: Path
    one: Path
    multi: Path
    sparse: Path
    pinned: Path
    chart: Path
    docker: Path


@pytest.fixture(scope="session")
def bundles(
    folders: pytest.TempPathFactory, source: CncfRegistry, corpus: Corpus, airgap: Program
) -> Bundles:
    """Bundles, made by our own command line from the source registry."""
    folder, host = folders.mktemp("bundles"), source.host

    def export(name: str, *arguments: str) -> Path:
        path = folder / f"{name}.tar"
        airgap.run("export", "images", *arguments, "-o", path)
        return path

    app = f"{host}/team/app:1.4"
    return Bundles(
        everything=export("everything", *corpus.references(host)),
        one=export("one", f"{host}/team/plain:1.0"),
        multi=export("multi", app, "--no-referrers"),
        sparse=export("sparse", app, "--platform", "linux/amd64"),
        pinned=export("pinned", f"{host}/team/pinned@{corpus.pinned.digest}"),
        chart=export("chart", f"{host}/charts/demo:1.2.3"),
        docker=export("docker", f"{host}/team/docker:2"),
    )


@pytest.fixture(scope="session")
def docker_engine(folders: pytest.TempPathFactory) -> Iterator[Docker]:
    """A docker engine."""
    with engines.docker(folders.mktemp("d")) as running:
        yield running


@pytest.fixture
def docker(docker_engine: Docker) -> Iterator[Docker]:
    """A docker engine without images."""
    yield docker_engine
    docker_engine.clear()


@pytest.fixture(scope="session")
def podman_engine(folders: pytest.TempPathFactory) -> Podman:
    """Podman."""
    return engines.podman(folders.mktemp("p"))


@pytest.fixture
def podman(podman_engine: Podman) -> Iterator[Podman]:
    """Podman without images."""
    yield podman_engine
    podman_engine.clear()


@pytest.fixture(scope="session")
def containerd1_engine(folders: pytest.TempPathFactory) -> Iterator[Containerd]:
    """The containerd of the distribution."""
    program, client = software.find("containerd"), software.find("ctr")
    with engines.containerd(folders.mktemp("c"), program=program, client=client) as running:
        yield running


@pytest.fixture(scope="session")
def containerd2_engine(folders: pytest.TempPathFactory) -> Iterator[Containerd]:
    """A containerd of version 2."""
    program, client = software.find_containerd2("containerd"), software.find_containerd2("ctr")
    with engines.containerd(folders.mktemp("c"), program=program, client=client) as running:
        yield running


@pytest.fixture(params=["containerd1_engine", "containerd2_engine"], ids=["1.6", "2"])
def containerd(request: pytest.FixtureRequest) -> Iterator[Containerd]:
    """Each containerd in turn, without images."""
    engine: Containerd = request.getfixturevalue(request.param)
    yield engine
    engine.clear()
