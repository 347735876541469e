"""A bundle needs nothing special to read: `tar` makes a folder of it that is an OCI layout."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.compat import software
from tests.compat.conftest import Bundles, Regctl
from tests.compat.corpus import Corpus, config_id
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program

pytestmark = pytest.mark.compat


@pytest.fixture(scope="module")
def tar(home: Path) -> Program:
    """The tar of the system."""
    return Program((software.find("tar"),), home)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, tar: Program, bundles: Bundles) -> Path:
    """The bundle of everything, unpacked."""
    folder = tmp_path_factory.mktemp("layout")
    tar.run("-x", "-f", bundles.everything, "-C", folder)
    return folder


def test_tar_says_nothing(tar: Program, bundles: Bundles) -> None:
    """`tar` lists the members without a warning, the layout's own files first."""
    listed = tar.run("-t", "-f", bundles.everything)
    assert listed.err == ""
    assert listed.lines[:4] == ["oci-layout", "index.json", "manifest.json", "airgap/catalog.json"]


def test_members_are_the_same_for_everybody(tar: Program, bundles: Bundles) -> None:
    """No member tells who made the bundle, where or when."""
    listed = tar.run("-t", "-v", "--numeric-owner", "--utc", "-f", bundles.everything)
    kinds = {tuple(line.split()[:2]) + tuple(line.split()[3:5]) for line in listed.lines}
    assert kinds == {("-rw-r--r--", "0/0", "1970-01-01", "00:00")}


def test_sha256sum_finds_every_blob_right(layout: Path, home: Path) -> None:
    """Each file below blobs/sha256 has the digest that is its name."""
    files = sorted((layout / "blobs/sha256").iterdir())
    sums = Program((software.find("sha256sum"),), home).run(*files)
    assert [line.split()[0] for line in sums.lines] == [file.name for file in files]
    assert len(files) > 30


def test_skopeo_copies_from_the_folder(
    skopeo: Program, layout: Path, source: CncfRegistry, inside: CncfRegistry, corpus: Corpus
) -> None:
    """`oci:FOLDER:NAME` gives an index with all that it lists."""
    skopeo.run(
        *("copy", "--all", "--preserve-digests", "--dest-tls-verify=false"),
        f"oci:{layout}:{source.host}/team/app:1.4",
        f"docker://{inside.host}/app:1",
    )
    assert inside.get("app/manifests/1")[0] == corpus.multi.raw


def test_regctl_copies_from_the_folder(
    regctl: Regctl, layout: Path, inside: CncfRegistry, corpus: Corpus
) -> None:
    """`ocidir://FOLDER@DIGEST` gives whatever is in it, charts included."""
    tool = regctl(inside.host)
    for content in (corpus.multi, corpus.chart, corpus.docker):
        name = f"{inside.host}/copy@{content.digest}"
        tool.run("image", "copy", f"ocidir://{layout}@{content.digest}", name)
        assert inside.get(f"copy/manifests/{content.digest}")[0] == content.raw


def test_oras_copies_from_the_folder_and_from_the_file(
    oras: Program, layout: Path, bundles: Bundles, inside: CncfRegistry, corpus: Corpus
) -> None:
    """Oras takes content by digest from the folder, and from the bundle without unpacking it."""
    for number, where in enumerate((layout, bundles.everything)):
        name = f"{inside.host}/copy/{number}:1"
        command = ("copy", "--from-oci-layout", "--to-plain-http")
        oras.run(*command, f"{where}@{corpus.chart.digest}", name)
        assert inside.get(f"copy/{number}/manifests/1")[0] == corpus.chart.raw


@pytest.mark.parametrize("name", ["one", "docker", "multi"])
def test_crane_finds_the_docker_archive_valid(crane: Program, bundles: Bundles, name: str) -> None:
    """`crane validate --tarball` takes a bundle of one image for one of docker's."""
    crane.run("validate", "--tarball", getattr(bundles, name))


def test_crane_pushes_from_the_file(
    crane: Program, bundles: Bundles, inside: CncfRegistry, corpus: Corpus
) -> None:
    """`crane push` takes a bundle of one image, and the image keeps its id."""
    crane.run("push", bundles.one, f"{inside.host}/copy:1")
    assert inside.get_json("copy/manifests/1")["config"]["digest"] == config_id(corpus.plain)


def test_a_layout_made_by_tar_is_a_bundle_for_nobody_but_airgap(
    airgap: Program, bundles: Bundles
) -> None:
    """What other tools read is what airgap itself finds right."""
    for bundle in (bundles.everything, bundles.sparse, bundles.chart):
        airgap.run("verify", "bundle", bundle)
