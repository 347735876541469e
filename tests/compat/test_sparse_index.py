"""An index of which not all platforms travelled, and a CNCF registry, which refuses such ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airgap.errors import ExitCode
from tests.compat.conftest import Bundles
from tests.compat.corpus import Corpus
from tests.compat.registries import CncfRegistry
from tests.compat.software import Program
from tests.support import builders

pytestmark = pytest.mark.compat


@pytest.fixture
def lenient(tmp_path: Path) -> Iterator[CncfRegistry]:
    """A registry that was told not to look for the platforms of an index."""
    with CncfRegistry(tmp_path / "lenient", platforms="none") as registry:
        yield registry


def test_a_lenient_registry_takes_the_index(
    airgap: Program, bundles: Bundles, corpus: Corpus, lenient: CncfRegistry
) -> None:
    """Where the registry takes it, the tag names the index that it named at the source."""
    done = airgap.run("import", "bundle", bundles.sparse, "--to", lenient.host, "--json")
    assert lenient.get("team/app/manifests/1.4")[0] == corpus.multi.raw
    assert [image["outcome"] for image in done.result["images"]] == ["pushed"]


def test_the_image_stands_for_an_index_that_is_refused(
    airgap: Program, bundles: Bundles, corpus: Corpus, inside: CncfRegistry
) -> None:
    """By default the one platform's manifest gets the tag, and airgap says so."""
    done = airgap.run("import", "bundle", bundles.sparse, "--to", inside.host, "--json")
    assert inside.get("team/app/manifests/1.4")[0] == corpus.amd64.raw
    assert [image["outcome"] for image in done.result["images"]] == ["image-only"]
    assert done.result["notes"]
    assert not inside.has(f"team/app/manifests/{corpus.multi.digest}")
    again = airgap.run("import", "bundle", bundles.sparse, "--to", inside.host, "--json")
    assert again.result["blobs_pushed"] == 0


def test_the_image_can_be_asked_for(
    airgap: Program, bundles: Bundles, corpus: Corpus, lenient: CncfRegistry
) -> None:
    """With `--sparse image` a registry that would take the index gets the image, too."""
    airgap.run("import", "bundle", bundles.sparse, "--to", lenient.host, "--sparse", "image")
    assert lenient.get("team/app/manifests/1.4")[0] == corpus.amd64.raw


def test_the_refusal_can_be_an_error(
    airgap: Program, bundles: Bundles, inside: CncfRegistry, corpus: Corpus
) -> None:
    """With `--sparse fail` a refused index ends the run with a hint, and no tag is set."""
    to = ("--to", inside.host, "--sparse", "fail")
    done = airgap.run("import", "bundle", bundles.sparse, *to, code=ExitCode.PROTOCOL)
    assert "--sparse image" in done.err
    assert not inside.has("team/app/manifests/1.4")


def test_one_image_cannot_stand_for_several(
    airgap: Program, tmp_path: Path, source: CncfRegistry, inside: CncfRegistry
) -> None:
    """Where several platforms of a refused index travelled, that is an error with a hint."""
    platforms = (builders.AMD64, builders.ARM64, builders.ARMV7)
    three = builders.multi_platform(platforms, seed=9, attested=False)
    source.push("team/three", three, tags=("1",))
    bundle = tmp_path / "two.tar"
    chosen = ("--platform", "linux/amd64", "--platform", "linux/arm64")
    airgap.run("export", "images", f"{source.host}/team/three:1", *chosen, "-o", bundle)
    to = ("--to", inside.host)
    done = airgap.run("import", "bundle", bundle, *to, code=ExitCode.PROTOCOL)
    assert "--platform" in done.err
    assert not inside.has("team/three/manifests/1")
