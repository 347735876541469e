"""What refers to an image travels with it, and is found on the other side."""

from __future__ import annotations

import json

import pytest

from airgap.oci.manifest import parse_manifest
from airgap.oci.referrers import fallback_tag
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import (
    assert_holds,
    assert_sound,
    bring,
    catalog_of,
    export,
)

PLAIN_INDEX = "application/vnd.oci.image.index.v1+json"


def signed(registry, name="team/app"):
    """An index with an SBOM of one platform, a signature of that SBOM, and a cosign signature."""
    repository = registry.repository(name)
    multi = builders.push(repository, builders.multi_platform(), tag="1.0")
    sbom = builders.push(repository, builders.sbom(multi.children[0].descriptor))
    signature = builders.push(
        repository, builders.artifact("application/vnd.example.sig", subject=sbom.descriptor)
    )
    tag, cosign = builders.cosign_signature(multi.descriptor)
    builders.push(repository, cosign, tag=tag)
    return multi, sbom, signature, (tag, cosign)


def list_by_tag(registry, name, subject, *referrers):
    """Write the fallback tag as clients do where the API is missing."""
    entries = [r.descriptor.to_json() for r in referrers]
    raw = json.dumps({"schemaVersion": 2, "mediaType": PLAIN_INDEX, "manifests": entries}).encode()
    document = parse_manifest(raw, PLAIN_INDEX)
    registry.repository(name).put_manifest(document, tag=fallback_tag(subject.digest))


@pytest.mark.parametrize("has_api_outside", [True, False])
@pytest.mark.parametrize("has_api_inside", [True, False])
def test_referrers_travel_with_and_without_the_api(tmp_path, has_api_outside, has_api_inside):
    """SBOMs, their signatures and cosign's tags arrive, and the other side lists them its way."""
    out, into = (RegistrySettings(referrers=has) for has in (has_api_outside, has_api_inside))
    with EmbeddedRegistry(settings=out) as outside:
        multi, sbom, signature, (tag, cosign) = signed(outside)
        if not has_api_outside:
            list_by_tag(outside, "team/app", multi.children[0], sbom)
            list_by_tag(outside, "team/app", sbom, signature)
        export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar")
    assert_sound(tmp_path / "b.tar")
    with EmbeddedRegistry(settings=into) as inside:
        result = bring(tmp_path / "b.tar", inside.host)
        assert result.referrers == 3
        for content, name in ((multi, "1.0"), (sbom, None), (signature, None), (cosign, tag)):
            assert_holds(inside, "team/app", content, name)
        repository = inside.repository("team/app")
        for subject, referrer in ((multi.children[0], sbom), (sbom, signature)):
            listed = repository.referrers(subject.digest)
            if not has_api_inside:
                listed = repository.manifest(fallback_tag(subject.digest)).manifests
            assert [(d.digest, d.artifact_type) for d in listed] == [
                (referrer.digest, referrer.document.artifact_type)
            ]
            if not has_api_inside:
                assert listed[0].annotations == referrer.document.annotations


def test_referrers_may_stay_behind(tmp_path, outside):
    """With referrers turned off only the image itself travels."""
    multi, *_ = signed(outside)
    export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar", referrers=False)
    catalog = catalog_of(tmp_path / "b.tar")
    assert catalog.referrers == ()
    assert {m.digest for m in catalog.manifests} == {part.digest for part in multi.walk()}


def test_two_images_with_one_subject_are_listed_both(tmp_path, outside):
    """A fallback list that two images write at the same time loses no entry."""
    repository = outside.repository("team/app")
    image = builders.push(repository, builders.image(), tag="1")
    for number in range(6):
        index = builders.index([image], annotations={"n": str(number)})
        builders.push(repository, index, tag=f"i{number}")
        sbom = builders.sbom(image.descriptor, seed=number)
        builders.push(repository, sbom)
    export([f"{outside.host}/team/app:i{n}" for n in range(6)], tmp_path / "b.tar")
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as inside:
        bring(tmp_path / "b.tar", inside.host, jobs=6)
        listed = inside.repository("team/app").manifest(fallback_tag(image.digest)).manifests
        assert len(listed) == 6


def test_a_referrer_without_a_subject_of_its_own_is_listed_again(tmp_path):
    """What only the source's fallback tag ties to an image is tied to it inside, too."""
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as outside:
        repository = outside.repository("team/app")
        image = builders.push(repository, builders.image(), tag="1")
        note = builders.push(repository, builders.artifact("application/vnd.example.note"))
        list_by_tag(outside, "team/app", image, note)
        export(f"{outside.host}/team/app:1", tmp_path / "b.tar")
    with EmbeddedRegistry() as inside:
        bring(tmp_path / "b.tar", inside.host)
        listed = inside.repository("team/app").manifest(fallback_tag(image.digest)).manifests
        assert [entry.digest for entry in listed] == [note.digest]


def test_cosign_signatures_are_found_where_tags_cannot_be_listed(tmp_path, outside):
    """A registry that answers 404 to the list of tags is asked for the tags themselves."""
    multi, _, _, (tag, cosign) = signed(outside)
    outside.fail(Status(404), path=r"/tags/list", times=100)
    export(f"{outside.host}/team/app:1.0", tmp_path / "b.tar")
    referrers = catalog_of(tmp_path / "b.tar").referrers
    assert (multi.digest, cosign.digest, tag) in {(r.subject, r.digest, r.tag) for r in referrers}
