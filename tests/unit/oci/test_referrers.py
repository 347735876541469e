"""Tags that speak of a digest, and lists of referrers."""

from __future__ import annotations

import json

import pytest

from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.oci.manifest import Index, parse_manifest
from airgap.oci.reference import is_tag
from airgap.oci.referrers import (
    cosign_subject,
    cosign_tags,
    fallback_tag,
    is_fallback_tag,
    referrer_descriptor,
    referrers_index,
)

SHORT = Digest("sha256", "0123456789abcdef" * 4)
LONG = Digest("sha512", "0123456789abcdef" * 8)


@pytest.mark.parametrize("digest", [SHORT, LONG])
def test_the_fallback_tag_is_cut_as_the_specification_says(digest: Digest):
    """The encoded part ends at 64 characters, and the result is a tag and known as one of ours."""
    tag = fallback_tag(digest)
    assert tag == f"{digest.algorithm}-{'0123456789abcdef' * 4}"
    assert is_tag(tag)
    assert is_fallback_tag(tag)


@pytest.mark.parametrize(
    "tag",
    [
        "latest",
        "sha256-abc",
        f"sha256-{SHORT.hex}.sig",
        f"sha256:{SHORT.hex}",
        f"sha256-{SHORT.hex.upper()}",
        f"sha512-{LONG.hex}",
        f"md5-{SHORT.hex}",
    ],
)
def test_other_tags_are_no_fallback_tags(tag: str):
    """Only the exact form of the schema counts."""
    assert not is_fallback_tag(tag)


@pytest.mark.parametrize("digest", [SHORT, LONG])
def test_cosign_tags_tell_their_subject_and_kind(digest: Digest):
    """Each of cosign's tags gives back the digest and what it holds."""
    found = [cosign_subject(tag) for tag in cosign_tags(digest)]
    assert found == [(digest, "sig"), (digest, "att"), (digest, "sbom")]


@pytest.mark.parametrize(
    "tag",
    [
        "latest",
        "app.sig",
        f"sha256-{SHORT.hex}",
        f"sha256-{SHORT.hex}.sig2",
        f"sha256-{SHORT.hex[:-1]}.sig",
        f"sha512-{SHORT.hex}.sig",
        f"v-sha256-{SHORT.hex}.sig",
        f"sha256-{SHORT.hex}.sig\n",
    ],
)
def test_other_tags_are_no_cosign_tags(tag: str):
    """Only the exact form with all digits counts."""
    assert cosign_subject(tag) is None


def referrer(**more: object) -> bytes:
    """A manifest that refers to something."""
    config = {"mediaType": mediatype.OCI_EMPTY, "digest": str(SHORT), "size": 2}
    return json.dumps({"config": config, "layers": [], **more}).encode()


def test_a_referrer_is_listed_with_its_type_and_annotations():
    """The entry has the manifest's own type, digest and size, its artifact type and annotations."""
    raw = referrer(artifactType="application/sbom", annotations={"a": "b"})
    listed = referrer_descriptor(parse_manifest(raw, mediatype.OCI_MANIFEST))
    assert listed.to_json() == {
        "mediaType": mediatype.OCI_MANIFEST,
        "digest": str(Digest.of(raw)),
        "size": len(raw),
        "artifactType": "application/sbom",
        "annotations": {"a": "b"},
    }


def test_a_referrer_without_a_type_is_listed_by_its_config():
    """The config's media type stands in (distribution-spec, "Listing Referrers")."""
    listed = referrer_descriptor(parse_manifest(referrer(), mediatype.OCI_MANIFEST))
    assert listed.artifact_type == mediatype.OCI_EMPTY


def test_a_list_of_referrers_is_the_same_whatever_the_order():
    """Entries are sorted, one that comes twice stands once, and the list is a valid index."""
    one, two = (Descriptor.of(raw, mediatype.OCI_MANIFEST) for raw in (b"1", b"2"))
    raw = referrers_index([one, two, one])
    assert raw == referrers_index([two, one])
    index = parse_manifest(raw, mediatype.OCI_INDEX)
    assert isinstance(index, Index)
    assert set(index.manifests) == {one, two}


def test_an_empty_list_of_referrers_is_an_index():
    """Nothing refers to it: still an index (distribution-spec, endpoint 12)."""
    assert parse_manifest(referrers_index([]), mediatype.OCI_INDEX).children() == ()
