"""Our own registry, used by other people's tools in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.content.depot import Repository
from tests.compat.conftest import Bundles, Regctl
from tests.compat.corpus import Corpus, config_id
from tests.compat.engines import Containerd, Docker, Podman
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program
from tests.support.builders import Content
from tests.support.embedded import EmbeddedRegistry

pytestmark = pytest.mark.compat


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedRegistry]:
    """Our registry over a folder, empty."""
    with EmbeddedRegistry(folder=tmp_path / "own") as registry:
        yield registry


@pytest.fixture
def filled(own: EmbeddedRegistry, airgap: Program, bundles: Bundles) -> EmbeddedRegistry:
    """The same with all that the bundle of everything holds."""
    airgap.run("import", "bundle", bundles.everything, "--to", own.host)
    return own


def assert_has(repository: Repository, content: Content, tag: str | None = None) -> None:
    """Everything of a content is there with its exact bytes."""
    for part in content.walk():
        document = repository.manifest(str(part.digest))
        assert document.raw == part.raw
        assert document.descriptor.media_type == part.descriptor.media_type
        for blob in part.blobs:
            with repository.open(blob.descriptor) as chunks:
                assert b"".join(chunks) == blob.data
    if tag is not None:
        named = repository.resolve(tag)
        assert named is not None
        assert named.digest == content.digest


class TestPush:
    """What tools push from a CNCF registry is here as it was there."""

    def test_crane(
        self, crane: Program, own: EmbeddedRegistry, source: CncfRegistry, corpus: Corpus
    ) -> None:
        """`crane copy` brings an index with attestations, and a list of Docker's type."""
        crane.run("copy", f"{source.host}/team/app:1.4", f"{own.host}/app:1")
        crane.run("copy", f"{source.host}/team/list:3", f"{own.host}/list:1")
        assert_has(own.repository("app"), corpus.multi, "1")
        assert_has(own.repository("list"), corpus.docker_list, "1")

    def test_crane_appends_a_layer(
        self, crane: Program, own: EmbeddedRegistry, tmp_path: Path
    ) -> None:
        """`crane append` pushes an image of its own making, which it then finds valid."""
        layer = tmp_path / "layer.tar"
        layer.write_bytes(bytes(10240))
        crane.run("append", "-f", layer, "-t", f"{own.host}/made/by-crane:1", "--oci-empty-base")
        crane.run("validate", "--remote", f"{own.host}/made/by-crane:1")

    def test_regctl(
        self, regctl: Regctl, own: EmbeddedRegistry, source: CncfRegistry, corpus: Corpus
    ) -> None:
        """`regctl image copy` brings referrers and digest tags, too, and then nothing twice."""
        tool = regctl(source.host, own.host)
        command = ("image", "copy", "--referrers", "--digest-tags")
        names = (f"{source.host}/team/app:1.4", f"{own.host}/app:1")
        tool.run(*command, *names)
        repository = own.repository("app")
        assert_has(repository, corpus.multi, "1")
        assert_has(repository, corpus.sbom)
        assert_has(repository, corpus.signature, corpus.signature_tag)
        referrers = repository.referrers(corpus.amd64.digest) or ()
        assert [found.digest for found in referrers] == [corpus.sbom.digest]
        own.clear()
        tool.run(*command, *names)
        assert own.count("PUT", "/blobs/") == 0

    def test_oras(
        self, oras: Program, own: EmbeddedRegistry, source: CncfRegistry, corpus: Corpus
    ) -> None:
        """`oras copy` brings a chart."""
        plain = ("--from-plain-http", "--to-plain-http")
        name = f"{source.host}/charts/demo:1.2.3"
        oras.run("copy", *plain, name, f"{own.host}/charts/demo:1")
        assert_has(own.repository("charts/demo"), corpus.chart, "1")

    def test_oras_attaches(
        self, oras: Program, filled: EmbeddedRegistry, tmp_path: Path, corpus: Corpus
    ) -> None:
        """What `oras attach` adds is listed by the referrers API beside what was imported."""
        (tmp_path / "note.txt").write_text("read me")
        subject = f"{filled.host}/team/app@{corpus.amd64.digest}"
        attach = ("--plain-http", "--disable-path-validation", "--artifact-type", "text/note")
        oras.run("attach", *attach, subject, f"{tmp_path / 'note.txt'}:text/plain")
        shown = oras.run("discover", "--plain-http", "--format", "json", subject).json
        found = shown.get("referrers") or shown.get("manifests")
        assert {entry["artifactType"] for entry in found} == {"text/note", "application/spdx+json"}
        assert filled.count("PUT", f"/manifests/{corpus.fallback_tag}") == 0

    def test_skopeo(
        self, skopeo: Program, own: EmbeddedRegistry, source: CncfRegistry, corpus: Corpus
    ) -> None:
        """`skopeo copy --all` brings an index and an image of Docker's type."""
        for name, content in (("app:1.4", corpus.multi), ("docker:2", corpus.docker)):
            skopeo.run(
                *("copy", "--all", "--preserve-digests"),
                *("--src-tls-verify=false", "--dest-tls-verify=false"),
                f"docker://{source.host}/team/{name}",
                f"docker://{own.host}/team/{name}",
            )
            repository, _, tag = name.partition(":")
            assert_has(own.repository(f"team/{repository}"), content, tag)


class TestPull:
    """What airgap imported can be had by everybody, from a registry without another one behind."""

    @pytest.mark.parametrize("name", ["team/plain:1.0", "team/docker:2", "team/list:3"])
    def test_crane(self, crane: Program, filled: EmbeddedRegistry, name: str) -> None:
        """`crane validate` reads every layer and finds it right."""
        crane.run("validate", "--remote", f"{filled.host}/{name}")

    def test_regctl(
        self, regctl: Regctl, filled: EmbeddedRegistry, tmp_path: Path, corpus: Corpus
    ) -> None:
        """`regctl image copy` finds referrers through the API and cosign's tag in the list."""
        folder, name = tmp_path / "layout", f"{filled.host}/team/app:1.4"
        command = ("image", "copy", "--referrers", "--digest-tags")
        regctl(filled.host).run(*command, name, f"ocidir://{folder}:1")
        for content in (*corpus.multi.walk(), corpus.sbom, corpus.signature):
            assert (folder / "blobs/sha256" / content.digest.hex).read_bytes() == content.raw
        assert filled.count("GET", "/referrers/", 200) > 0

    def test_oras(
        self, oras: Program, filled: EmbeddedRegistry, tmp_path: Path, corpus: Corpus
    ) -> None:
        """`oras copy --recursive` takes an image with what refers to it into a layout."""
        subject = f"{filled.host}/team/app@{corpus.amd64.digest}"
        folder = tmp_path / "layout"
        command = ("copy", "--recursive", "--from-plain-http", "--to-oci-layout")
        oras.run(*command, subject, f"{folder}:1")
        for content in (corpus.amd64, corpus.sbom):
            assert (folder / "blobs/sha256" / content.digest.hex).read_bytes() == content.raw

    def test_skopeo(self, skopeo: Program, filled: EmbeddedRegistry, corpus: Corpus) -> None:
        """`skopeo inspect --raw` shows the bytes of the source, for any kind of content."""
        for name, content in (
            ("team/app:1.4", corpus.multi),
            ("team/docker:2", corpus.docker),
            ("charts/demo:1.2.3", corpus.chart),
        ):
            where = f"docker://{filled.host}/{name}"
            assert skopeo.run("inspect", "--raw", "--tls-verify=false", where).out.encode() == (
                content.raw
            )


class TestEngines:
    def test_docker_pushes_and_pulls(
        self, docker: Docker, own: EmbeddedRegistry, bundles: Bundles, corpus: Corpus
    ) -> None:
        """An image that docker loaded goes to our registry and comes back with the same id."""
        docker.load(bundles.one)
        name, image = f"{own.host}/by/docker:1", config_id(corpus.plain)
        docker.client.run("tag", image, name)
        docker.client.run("push", name)
        docker.client.run("push", name)
        document = own.repository("by/docker").manifest("1")
        docker.clear()
        docker.client.run("pull", f"{own.host}/by/docker@{document.descriptor.digest}")
        assert docker.ids() == {image}

    def test_docker_pulls_what_was_imported(
        self, docker: Docker, filled: EmbeddedRegistry, corpus: Corpus
    ) -> None:
        """Of an index docker takes its platform, and an image by digest is found without a tag."""
        docker.client.run("pull", f"{filled.host}/team/app:1.4")
        docker.client.run("pull", f"{filled.host}/team/docker:2")
        docker.client.run("pull", f"{filled.host}/team/pinned@{corpus.pinned.digest}")
        wanted = (corpus.amd64, corpus.docker, corpus.pinned)
        assert docker.ids() == {config_id(content) for content in wanted}

    def test_podman_pushes_and_pulls(
        self, podman: Podman, filled: EmbeddedRegistry, corpus: Corpus
    ) -> None:
        """An image that podman pulled and pushed again under another name has the same id."""
        plain, image = "--tls-verify=false", config_id(corpus.plain)
        podman.client.run("pull", plain, f"{filled.host}/team/plain:1.0")
        assert podman.ids() == {image}
        name = f"{filled.host}/by/podman:1"
        podman.client.run("push", plain, image, name)
        podman.clear()
        podman.client.run("pull", plain, name)
        assert podman.ids() == {image}

    def test_containerd_pulls(
        self, containerd: Containerd, filled: EmbeddedRegistry, corpus: Corpus
    ) -> None:
        """Containerd asks for a tag and then by digest, and unpacks its platform."""
        name = f"{filled.host}/team/app:1.4"
        containerd.client.run("images", "pull", "--plain-http", *containerd.snapshotter, name)
        assert containerd.images() == {name: str(corpus.multi.digest)}
        assert containerd.snapshots() == 1

    def test_containerd_pushes(
        self, containerd: Containerd, filled: EmbeddedRegistry, corpus: Corpus
    ) -> None:
        """What containerd fetched of all platforms it pushes again as it was."""
        name, copy = f"{filled.host}/team/app:1.4", f"{filled.host}/by/containerd:1"
        containerd.client.run("content", "fetch", "--plain-http", "--all-platforms", name)
        containerd.client.run("images", "push", "--plain-http", copy, name)
        assert_has(filled.repository("by/containerd"), corpus.multi, "1")
