"""What other engines read: index.json and manifest.json."""

from __future__ import annotations

import json
from typing import Any

from airgap.bundle.engines import docker_manifest_json, index_json, runnable_manifests
from airgap.oci.layout import blob_path
from airgap.oci.manifest import Manifest
from tests.support import builders
from tests.support.bundles import BundleBuilder, MadeBundle, make_bundle

MADE = make_bundle()
NAMES = ("org.opencontainers.image.ref.name", "io.containerd.image.name")


def index_of(made: MadeBundle) -> list[dict[str, Any]]:
    value = json.loads(index_json(made.catalog, made.documents))
    assert value["schemaVersion"] == 2
    found: list[dict[str, Any]] = value["manifests"]
    return found


def docker_of(made: MadeBundle) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(docker_manifest_json(made.catalog, made.documents))
    return found


def named(made: MadeBundle) -> list[str]:
    return [e["annotations"][NAMES[0]] for e in index_of(made) if "annotations" in e]


def test_what_runs_has_its_full_name_twice() -> None:
    """A runnable image has one entry for each name, with the name for OCI tools and containerd."""
    entries = [entry for entry in index_of(MADE) if "annotations" in entry]
    assert all(e["annotations"][NAMES[0]] == e["annotations"][NAMES[1]] for e in entries)
    win = next(i.reference.tagged for i in MADE.catalog.images if "win" in i.reference.repository)
    assert named(MADE) == [
        "example.com/team/app:1.4",
        "example.com/team/app:latest",
        "example.com/tool:2",
        win,
    ]


def test_what_does_not_run_has_no_name() -> None:
    """Charts, SBOMs and signatures are listed by digest alone, each once."""
    entries = [entry for entry in index_of(MADE) if "annotations" not in entry]
    referrers = {str(referrer.digest) for referrer in MADE.catalog.referrers}
    charts = [i for i in MADE.catalog.images if "charts" in i.reference.repository]
    assert [e["digest"] for e in entries] == [str(charts[0].digest), *sorted(referrers)]


def test_entries_describe_what_is_there() -> None:
    """Every entry has the type, digest and size of a manifest that travels."""
    held = {str(m.digest): (m.media_type, m.size) for m in MADE.catalog.manifests}
    for entry in index_of(MADE):
        assert held[entry["digest"]] == (entry["mediaType"], entry["size"])


def test_chart_with_two_names_has_one_entry() -> None:
    """A chart that has two names stands once in the index, since it has none there."""
    bundle = BundleBuilder()
    bundle.add(builders.chart(), "example.com/charts/a:1", "example.com/charts/a:2")
    assert len(index_of(bundle.build())) == 1


def test_referrer_that_is_an_image_too() -> None:
    """What is asked for by name and refers to something as well is listed once, with its name."""
    bundle = BundleBuilder()
    image = bundle.add(builders.image(seed=1), "example.com/app:1")
    other = bundle.add(builders.image(seed=2, subject=image.descriptor), "example.com/app:2")
    bundle.refer("example.com/app", image, other)
    made = bundle.build()
    assert named(made) == ["example.com/app:1", "example.com/app:2"]
    assert len(index_of(made)) == 2


def test_docker_gets_what_is_whole() -> None:
    """Docker's list has the images whose config and layers are all here, one platform each."""
    entries = docker_of(MADE)
    assert [entry["RepoTags"] for entry in entries] == [
        ["example.com/team/app:1.4", "example.com/team/app:latest"],
        ["example.com/tool:2"],
    ]
    held = {blob_path(digest) for digest, _ in MADE.catalog.blobs}
    for entry in entries:
        assert {entry["Config"], *entry["Layers"]} <= held
        assert entry.keys() == {"Config", "RepoTags", "Layers"}


def test_index_is_loaded_as_the_chosen_platform() -> None:
    """What docker gets of an index is the manifest that the catalog chose."""
    load = MADE.catalog.images[1].load
    assert load is not None
    document = MADE.documents[load]
    assert isinstance(document, Manifest)
    assert document.config is not None
    app = next(e for e in docker_of(MADE) if "example.com/team/app:1.4" in e["RepoTags"])
    assert app["Config"] == blob_path(document.config.digest)


def test_image_by_digest_has_no_tag() -> None:
    """An image without a tag has null for its tags: a digest there makes docker refuse the file."""
    image = builders.image()
    bundle = BundleBuilder()
    bundle.add(image, f"example.com/app@{image.digest}")
    assert [entry["RepoTags"] for entry in docker_of(bundle.build())] == [None]
    bundle.add(image, "example.com/app:1")
    assert [entry["RepoTags"] for entry in docker_of(bundle.build())] == [["example.com/app:1"]]


def test_runnable_manifests_of_nested_indexes() -> None:
    """Manifests below nested indexes are found in order, each once, and what is not here is not."""
    one, two = builders.image(seed=1), builders.image(seed=2)
    gone = builders.image(seed=3)
    inner = builders.index([two, one], without=[gone])
    outer = builders.index([one, inner, builders.attestation(one)])
    documents = {part.digest: part.document for part in outer.walk()}
    found = runnable_manifests(outer.digest, documents)
    assert [m.descriptor.digest for m in found] == [one.digest, two.digest]


def test_bytes_are_compact_utf8() -> None:
    """Both files are compact JSON without escapes, which is the one form that verify accepts."""
    for raw in (
        index_json(MADE.catalog, MADE.documents),
        docker_manifest_json(MADE.catalog, MADE.documents),
    ):
        value = json.loads(raw)
        assert json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() == raw
