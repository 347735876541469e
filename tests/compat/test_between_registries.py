"""Everything travels from one CNCF registry to another, and other tools find nothing wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compat.conftest import Bundles, Regctl
from tests.compat.corpus import Corpus
from tests.compat.registries import CncfRegistry
from tests.compat.software import Done, Program

pytestmark = pytest.mark.compat

REPOSITORIES = ("team/plain", "team/alias", "team/app", "team/docker", "team/list", "charts/demo")


@pytest.fixture(scope="module")
def arrived(
    tmp_path_factory: pytest.TempPathFactory, bundles: Bundles, airgap: Program
) -> Iterator[tuple[CncfRegistry, Done]]:
    """A registry into which the bundle of everything was imported, and what airgap said."""
    with CncfRegistry(tmp_path_factory.mktemp("inside")) as registry:
        done = airgap.run("import", "bundle", bundles.everything, "--to", registry.host, "--json")
        yield registry, done


@pytest.fixture(scope="module")
def inside(arrived: tuple[CncfRegistry, Done]) -> CncfRegistry:
    """That registry."""
    return arrived[0]


def test_every_manifest_and_blob_arrives_as_it_was(
    source: CncfRegistry, inside: CncfRegistry, corpus: Corpus
) -> None:
    """Manifests have the bytes and types they had, and every blob is in each repository."""
    contents = {
        "team/plain": [corpus.plain],
        "team/alias": [corpus.plain],
        "team/app": [*corpus.multi.walk(), corpus.sbom, corpus.signature],
        "team/docker": [corpus.docker],
        "team/list": list(corpus.docker_list.walk()),
        "team/pinned": [corpus.pinned],
        "charts/demo": [corpus.chart],
    }
    for repository, expected in contents.items():
        for content in expected:
            path = f"{repository}/manifests/{content.digest}"
            assert inside.get(path) == (content.raw, content.descriptor.media_type)
            assert inside.get(path) == source.get(path)
            for blob in content.blobs:
                data, _ = inside.get(f"{repository}/blobs/{blob.descriptor.digest}")
                assert f"sha256:{hashlib.sha256(data).hexdigest()}" == str(blob.descriptor.digest)


def test_tags_arrive(source: CncfRegistry, inside: CncfRegistry) -> None:
    """Each repository has the tags that it had, cosign's and the list of referrers among them."""
    for repository in REPOSITORIES:
        assert inside.tags(repository) == source.tags(repository)
        for tag in inside.tags(repository):
            if not tag.startswith("sha256-") or "." in tag:
                path = f"{repository}/manifests/{tag}"
                assert inside.get(path) == source.get(path)


def test_the_list_of_referrers_is_kept_where_the_registry_has_no_api(
    inside: CncfRegistry, corpus: Corpus
) -> None:
    """The fallback tag of the amd64 image lists the SBOM with its type and annotations."""
    assert not inside.has(f"team/app/referrers/{corpus.amd64.digest}")
    listed = inside.get_json(f"team/app/manifests/{corpus.fallback_tag}")["manifests"]
    assert [entry["digest"] for entry in listed] == [str(corpus.sbom.digest)]
    assert listed[0]["artifactType"] == "application/spdx+json"
    assert listed[0]["annotations"]["org.opencontainers.image.title"] == "demo.spdx.json"


def test_a_comparison_finds_no_difference(
    inside: CncfRegistry, bundles: Bundles, airgap: Program
) -> None:
    """Every image is there, also one without a tag; the registry has a list of its own more."""
    done = airgap.run("compare", bundles.everything, inside.host, "--json")
    assert done.code == 0, done.err
    result = json.loads(done.out.splitlines()[-1])
    assert (result["added"], result["removed"], result["changed"]) == ([], [], [])
    assert result["same"] == result["a"]["images"]
    assert result["only_b"]["blobs"] == 1  # the list of referrers that is kept as a tag


def test_a_second_import_sends_nothing(
    arrived: tuple[CncfRegistry, Done], bundles: Bundles, airgap: Program
) -> None:
    """What is there is found to be there, and the id of the bundle is the same."""
    registry, first = arrived
    again = airgap.run("import", "bundle", bundles.everything, "--to", registry.host, "--json")
    result = again.result
    assert (result["blobs_pushed"], result["manifests_pushed"]) == (0, 0)
    assert {image["outcome"] for image in result["images"]} == {"present"}
    assert result["bundle_id"] == first.result["bundle_id"]


def test_an_import_from_a_pipe_is_the_same(
    tmp_path: Path, inside: CncfRegistry, bundles: Bundles, airgap: Program, corpus: Corpus
) -> None:
    """From standard input the same manifests and tags arrive as from a file."""
    with CncfRegistry(tmp_path / "piped") as registry:
        with bundles.everything.open("rb") as bundle:
            airgap.run("import", "bundle", "-", "--to", registry.host, stdin=bundle)
        for repository in REPOSITORIES:
            assert registry.tags(repository) == inside.tags(repository)
            for tag in registry.tags(repository):
                path = f"{repository}/manifests/{tag}"
                assert registry.get(path) == inside.get(path)
        assert registry.has(f"team/pinned/manifests/{corpus.pinned.digest}")


def test_a_bundle_of_what_arrived_is_the_same_bundle_but_for_names(
    tmp_path: Path, inside: CncfRegistry, airgap: Program, corpus: Corpus
) -> None:
    """An export from the other side finds the signature and the SBOM again."""
    path = tmp_path / "again.tar"
    airgap.run("export", "images", f"{inside.host}/team/app:1.4", "-o", path)
    catalog = airgap.run("inspect", "bundle", path, "--json").out
    for content in (*corpus.multi.walk(), corpus.sbom, corpus.signature):
        assert str(content.digest) in catalog


class TestOtherTools:
    @pytest.mark.parametrize("name", ["team/plain:1.0", "team/docker:2", "team/list:3"])
    def test_crane_finds_it_valid(self, crane: Program, inside: CncfRegistry, name: str) -> None:
        """`crane validate` reads every layer and finds digests, sizes and diff ids right."""
        crane.run("validate", "--remote", f"{inside.host}/{name}")

    def test_crane_finds_images_of_an_attested_index_valid(
        self, crane: Program, inside: CncfRegistry, corpus: Corpus
    ) -> None:
        """Each image of the index is valid; crane blames nothing but the kind of attestations."""
        # It counts their layers as none, since they are no tars; so it does at the source.
        images, attestations = corpus.multi.children[:2], corpus.multi.children[2:]
        for image in images:
            crane.run("validate", "--remote", f"{inside.host}/team/app@{image.digest}")
        said = crane.attempt("validate", "--remote", f"{inside.host}/team/app:1.4").err
        for line in filter(lambda line: "failed to validate" in line, said.splitlines()):
            assert any(str(attestation.digest) in line for attestation in attestations)
            assert "mismatched number of diffids" in line

    @pytest.mark.parametrize("name", ["team/app:1.4", "team/list:3", "charts/demo:1.2.3"])
    def test_skopeo_shows_the_same_bytes(
        self, skopeo: Program, source: CncfRegistry, inside: CncfRegistry, name: str
    ) -> None:
        """`skopeo inspect --raw` gives the same manifest on both sides."""
        shown = [
            skopeo.run("inspect", "--raw", "--tls-verify=false", f"docker://{host}/{name}").out
            for host in (source.host, inside.host)
        ]
        assert shown[0] == shown[1]

    def test_regctl_copies_it_with_all_that_refers_to_it(
        self, regctl: Regctl, inside: CncfRegistry, tmp_path: Path, corpus: Corpus
    ) -> None:
        """`regctl image copy` with referrers and digest tags finds every part that it needs."""
        name, folder = f"{inside.host}/team/app:1.4", tmp_path / "layout"
        tool = regctl(inside.host)
        tool.run("image", "copy", "--referrers", "--digest-tags", name, f"ocidir://{folder}:1.4")
        for content in (*corpus.multi.walk(), corpus.sbom, corpus.signature):
            assert (folder / "blobs/sha256" / content.digest.hex).read_bytes() == content.raw

    def test_regctl_lists_the_sbom(
        self, regctl: Regctl, inside: CncfRegistry, corpus: Corpus
    ) -> None:
        """`regctl artifact list` shows what refers to the amd64 image."""
        subject = f"{inside.host}/team/app@{corpus.amd64.digest}"
        listed = regctl(inside.host).run("artifact", "list", subject, "--format", "body").json
        assert [entry["digest"] for entry in listed["manifests"]] == [str(corpus.sbom.digest)]

    def test_oras_discovers_the_sbom(
        self, oras: Program, inside: CncfRegistry, corpus: Corpus
    ) -> None:
        """`oras discover` shows what refers to the amd64 image."""
        subject = f"{inside.host}/team/app@{corpus.amd64.digest}"
        shown = oras.run("discover", "--plain-http", "--format", "json", subject).json
        found = shown.get("referrers") or shown.get("manifests")
        assert [entry["digest"] for entry in found] == [str(corpus.sbom.digest)]

    def test_oras_pulls_the_chart(
        self, oras: Program, inside: CncfRegistry, tmp_path: Path, corpus: Corpus
    ) -> None:
        """`oras copy` takes the chart into a layout with the digest that it had."""
        name = f"{inside.host}/charts/demo:1.2.3"
        oras.run("copy", "--from-plain-http", "--to-oci-layout", name, f"{tmp_path / 'chart'}:1")
        blobs = tmp_path / "chart" / "blobs" / "sha256"
        assert (blobs / corpus.chart.digest.hex).read_bytes() == corpus.chart.raw
