"""How often a registry is asked: each manifest and blob once, and nothing that is not needed."""

from __future__ import annotations

import json

import pytest

from airgap.oci.manifest import parse_manifest
from airgap.oci.referrers import fallback_tag
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import bring, counts, export

IMAGES = 12


def fill(registry, *, referrers=True):
    """Images, some multi-platform and signed; gives names, and what is there in all."""
    contents = []
    for number in range(IMAGES):
        made = builders.multi_platform(seed=number) if number % 3 else builders.image(seed=number)
        repository = registry.repository(f"r{number % 4}")
        builders.push(repository, made, tag=f"t{number}")
        contents.append(made)
        if referrers and not number % 4:
            sbom = builders.push(repository, builders.sbom(made.descriptor, seed=number))
            tag, cosign = builders.cosign_signature(made.descriptor)
            builders.push(repository, cosign, tag=tag)
            contents += [sbom, cosign]
    names = [f"{registry.host}/r{number % 4}:t{number}" for number in range(IMAGES)]
    manifests = {part.digest for content in contents for part in content.walk()}
    blobs = {digest for content in contents for digest in content.all_blobs()}
    return names, manifests, blobs


def methods(registry):
    return {seen.method for seen in registry.seen}


def test_with_the_referrers_api_each_thing_is_asked_for_once(tmp_path):
    """One request per manifest, per blob, per page of tags, and per manifest for referrers."""
    with EmbeddedRegistry() as outside:
        names, manifests, blobs = fill(outside)
        export(names, tmp_path / "b.tar")
        assert methods(outside) == {"GET"}
        assert outside.count("GET", "/manifests/") == len(manifests)
        assert outside.count("GET", "/blobs/") == len(blobs)
        assert outside.count("GET", "/referrers/") == len(manifests)
        assert outside.count("GET", "/tags/list") == 4
        assert len(outside.seen) <= 2 * len(manifests) + len(blobs) + 4 + 1


def test_without_referrers_nothing_is_asked_about_them(tmp_path):
    """Only manifests and blobs, each once."""
    with EmbeddedRegistry() as outside:
        names, manifests, blobs = fill(outside, referrers=False)
        export(names, tmp_path / "b.tar", referrers=False)
        assert outside.count("GET", "/manifests/") == len(manifests)
        assert outside.count("GET", "/blobs/") == len(blobs)
        assert len(outside.seen) <= len(manifests) + len(blobs) + 1


def test_without_the_api_it_is_asked_once_per_repository(tmp_path):
    """That the API is missing is remembered; the list of tags says the rest."""
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as outside:
        names, manifests, blobs = fill(outside, referrers=False)
        export(names, tmp_path / "b.tar", jobs=1)
        assert outside.count("GET", "/referrers/") == 4
        assert outside.count("GET", "/tags/list") == 4
        assert outside.count("GET", "/manifests/") == len(manifests)
        assert outside.count("HEAD") == 0
        assert outside.count("GET", "/blobs/") == len(blobs)


def test_every_page_of_tags_is_got_once(tmp_path):
    """A list in pages is followed to its end, and read once for all manifests."""
    with EmbeddedRegistry(settings=RegistrySettings(max_page=100)) as outside:
        repository = outside.repository("app")
        multi = builders.push(repository, builders.multi_platform(), tag="zzz")
        for number in range(250):
            repository.put_manifest(multi.children[0].document, tag=f"t{number}")
        tag, cosign = builders.cosign_signature(multi.descriptor)
        builders.push(repository, cosign, tag=tag)
        result = export(f"{outside.host}/app:zzz", tmp_path / "b.tar")
        assert len(result.plan.images) == 1
        pages = counts(outside, "/tags/list")
        assert len(pages) == 3
        assert set(pages.values()) == {1}
        assert outside.count("GET", tag) == 1


@pytest.mark.parametrize("how", ["refused", "nonsense", "long"])
def test_single_tags_are_asked_for_where_the_list_is_no_help(tmp_path, how, monkeypatch):
    """A list that is refused, no list or over 10,000 tags long is not read: HEAD tells."""
    if how == "long":
        monkeypatch.setattr("airgap.transfer.referrers.MAX_LISTED_TAGS", 10)
    with EmbeddedRegistry() as outside:
        repository = outside.repository("app")
        image = builders.push(repository, builders.image(), tag="zzz")
        for number in range(20):
            repository.put_manifest(image.document, tag=f"t{number}")
        tag, cosign = builders.cosign_signature(image.descriptor)
        builders.push(repository, cosign, tag=tag)
        if how == "refused":
            outside.fail(Status(403), path=r"/tags/list", times=100)
        if how == "nonsense":
            outside.fail(Status(200, body=b"<html>"), path=r"/tags/list", times=100)
        result = export(f"{outside.host}/app:zzz", tmp_path / "b.tar")
        assert result.plan.blob_count == 4
        assert outside.count("HEAD", r"/manifests/sha256-") == 3 + 3  # image and signature
        assert outside.count("HEAD") == 6


def test_the_fallback_list_is_read_once(tmp_path):
    """One request for the list and one for each that it names."""
    media_type = "application/vnd.oci.image.index.v1+json"
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as outside:
        repository = outside.repository("app")
        image = builders.push(repository, builders.image(), tag="1")
        sboms = [
            builders.push(repository, builders.sbom(image.descriptor, seed=n)) for n in (1, 2, 3)
        ]
        raw = json.dumps(
            {"schemaVersion": 2, "manifests": [s.descriptor.to_json() for s in sboms]}
        ).encode()
        repository.put_manifest(parse_manifest(raw, media_type), tag=fallback_tag(image.digest))
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
        asked = counts(outside, "/manifests/")
        assert set(asked.values()) == {1}
        assert len(asked) == 1 + 1 + 3


def test_an_import_asks_for_each_blob_and_sends_it_in_two_requests(tmp_path):
    """One HEAD, one POST and one PUT per blob that is missing; no chunks where none are needed."""
    with EmbeddedRegistry() as outside:
        builders.push(outside.repository("app"), builders.image(layers=(100, 200)), tag="1")
        export(f"{outside.host}/app:1", tmp_path / "b.tar")
        with EmbeddedRegistry() as inside:
            bring(tmp_path / "b.tar", inside.host)
            for method, path, number in (
                ("HEAD", "/blobs/", 3),
                ("POST", "/uploads/", 3),
                ("PUT", "/uploads/", 3),
                ("PATCH", "", 0),
                ("PUT", "/manifests/", 1),
                ("GET", "/(blobs|manifests)/", 0),
            ):
                assert inside.count(method, path) == number, (method, path)


def test_the_largest_blobs_are_fetched_and_sent_first(tmp_path):
    """No large one is left alone at the end, and small ones are sent between large ones."""
    with EmbeddedRegistry() as outside, EmbeddedRegistry() as inside:
        made = builders.image(layers=(3000, 90_000, 200, 30_000))
        builders.push(outside.repository("app"), made, tag="1")
        sizes = {str(blob.descriptor.digest): blob.descriptor.size for blob in made.blobs}
        expected = sorted(sizes.values(), reverse=True)
        export(f"{outside.host}/app:1", tmp_path / "b.tar", jobs=1)
        asked = [seen.path.rpartition("/")[2] for seen in outside.matching("GET", "/blobs/")]
        assert [sizes[digest] for digest in asked] == expected
        bring(tmp_path / "b.tar", inside.host, jobs=1)
        *large, second_smallest, smallest = expected
        sent = [seen.length for seen in inside.matching("PUT", "/uploads/")]
        assert sent == [*large, smallest, second_smallest]
