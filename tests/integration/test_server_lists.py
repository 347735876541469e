"""The embedded registry lists tags, repositories and referrers."""

from __future__ import annotations

import json

from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.manifest import MAX_MANIFEST_SIZE
from airgap.oci.referrers import fallback_tag, referrers_index
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.builders import push, push_blob
from tests.support.embedded import EmbeddedRegistry
from tests.support.wire import Wire

NAME = "team/app"


def serving(**switches):
    """A registry in memory with switches."""
    return EmbeddedRegistry(settings=RegistrySettings(**switches))


def test_tags_are_listed_by_pages(store, wire):
    """Following the links gives every tag once, in lexical order."""
    tags = sorted(f"v{number}" for number in range(25))
    for tag in tags:
        push(store, builders.index([]), tag=tag)
    assert wire.ask("GET", f"/v2/{NAME}/tags/list", status=200).json == {"name": NAME, "tags": tags}
    path, got, pages = f"/v2/{NAME}/tags/list?n=10", [], 0
    while path and pages < 10:
        answer = wire.ask("GET", path, status=200)
        got += answer.json["tags"]
        pages += 1
        link = answer.headers.get("Link")
        path = link.partition("<")[2].partition(">")[0] if link else None
    assert (got, pages) == (tags, 3)
    answer = wire.ask("GET", f"/v2/{NAME}/tags/list?n=0", status=200)
    assert (answer.json["tags"], answer.headers.get("Link")) == ([], None)
    answer = wire.ask("GET", f"/v2/{NAME}/tags/list?n=2&last=v10x", status=200)
    assert answer.json["tags"] == ["v11", "v12"]
    wire.ask("GET", f"/v2/{NAME}/tags/list?n=x", status=400)


def test_repositories_are_listed_by_pages(registry, wire):
    """The catalog has the same pages as tags have."""
    for name in ("b", "a/x", "c"):
        push(registry.repository(name), builders.index([]))
    assert wire.ask("GET", "/v2/_catalog").json == {"repositories": ["a/x", "b", "c"]}
    answer = wire.ask("GET", "/v2/_catalog?n=2")
    assert answer.json == {"repositories": ["a/x", "b"]}
    assert answer.headers["Link"] == '</v2/_catalog?n=2&last=b>; rel="next"'


def test_referrers_are_listed_and_filtered(store, wire):
    """The list is an index; a filter is applied and said; an unknown digest has none."""
    content = push(store, builders.image())
    sbom = push(store, builders.sbom(content.descriptor))
    kind = "application/vnd.example.sig+json"
    signature = push(store, builders.artifact(kind, subject=content.descriptor))
    path = f"/v2/{NAME}/referrers/{content.digest}"
    answer = wire.ask("GET", path, status=200)
    assert answer.headers["Content-Type"] == mediatype.OCI_INDEX
    assert "OCI-Filters-Applied" not in answer.headers
    found = {entry["digest"]: entry for entry in answer.json["manifests"]}
    assert set(found) == {str(sbom.digest), str(signature.digest)}
    assert found[str(sbom.digest)]["annotations"] == dict(sbom.document.annotations)
    filtered = wire.ask("GET", f"{path}?artifactType={kind.replace('+', '%2B')}", status=200)
    assert filtered.headers["OCI-Filters-Applied"] == "artifactType"
    assert [entry["digest"] for entry in filtered.json["manifests"]] == [str(signature.digest)]
    empty = wire.ask("GET", f"/v2/{NAME}/referrers/{Digest.of(b'')}", status=200)
    assert empty.json["manifests"] == []


def test_lists_can_be_asked_for_by_head(store, wire):
    """HEAD gives the headers of GET, without a body."""
    content = push(store, builders.image(), tag="1.0")
    push(store, builders.image(seed=1), tag="1.1")
    for path in (
        f"/v2/{NAME}/tags/list?n=1",
        "/v2/_catalog",
        f"/v2/{NAME}/referrers/{content.digest}?artifactType=x",
    ):
        got, asked = wire.ask("GET", path, status=200), wire.ask("HEAD", path, status=200)
        assert asked.body == b""
        for name in ("Content-Type", "Content-Length", "Link", "OCI-Filters-Applied"):
            assert asked.headers.get(name) == got.headers.get(name)


def test_what_older_clients_noted_is_listed(store, wire):
    """Entries of the referrers tag are referrers, if they are here and name no other subject."""
    content = push(store, builders.image())
    known = push(store, builders.sbom(content.descriptor))
    plain = push(store, builders.artifact("application/vnd.example.note"))
    other = push(store, builders.sbom(builders.image(seed=9).descriptor))
    away = builders.artifact("application/vnd.example.away")
    path = f"/v2/{NAME}/referrers/{content.digest}"

    def listed(query=""):
        answer = wire.ask("GET", path + query, status=200)
        return {entry["digest"]: entry for entry in answer.json["manifests"]}

    assert set(listed()) == {str(known.digest)}
    entries = [found.descriptor for found in (known, plain, other, away, content)]
    note = referrers_index(entries)
    tag = fallback_tag(content.digest)
    headers = {"Content-Type": mediatype.OCI_INDEX}
    wire.ask("PUT", f"/v2/{NAME}/manifests/{tag}", note, headers, status=201)
    found = listed()
    assert set(found) == {str(known.digest), str(plain.digest)}
    assert found[str(plain.digest)]["artifactType"] == "application/vnd.example.note"
    assert set(listed("?artifactType=application/vnd.example.note")) == {str(plain.digest)}
    push(store, away)
    assert str(away.digest) in listed()
    wire.ask("DELETE", f"/v2/{NAME}/manifests/{plain.digest}", status=202)
    assert str(plain.digest) not in listed()
    wire.ask("DELETE", f"/v2/{NAME}/manifests/{tag}", status=202)
    assert set(listed()) == {str(known.digest)}


def test_a_referrers_tag_that_is_no_index_changes_nothing(store, wire):
    """Whoever pushes an image under that tag takes no list away."""
    content = push(store, builders.image())
    known = push(store, builders.sbom(content.descriptor))
    push(store, builders.image(seed=3), tag=fallback_tag(content.digest))
    answer = wire.ask("GET", f"/v2/{NAME}/referrers/{content.digest}", status=200)
    assert [entry["digest"] for entry in answer.json["manifests"]] == [str(known.digest)]


def test_the_referrers_api_can_be_switched_off():
    """Without it there is a 404 and no OCI-Subject, as with older registries."""
    with serving(referrers=False) as registry, Wire(registry.host) as wire:
        store = registry.repository(NAME)
        content = push(store, builders.image())
        referrer = builders.sbom(content.descriptor)
        for found in referrer.blobs:
            push_blob(store, found)
        answer = wire.ask(
            "PUT", f"/v2/{NAME}/manifests/{referrer.digest}", referrer.raw, status=201
        )
        assert "OCI-Subject" not in answer.headers
        wire.ask("GET", f"/v2/{NAME}/referrers/{content.digest}", status=404)


def test_referrers_come_by_pages_where_that_is_wanted():
    """Following the links gives every referrer once, with the filter kept."""
    with serving(referrers_page=2) as registry, Wire(registry.host) as wire:
        store = registry.repository(NAME)
        content = push(store, builders.image())
        pushed = {
            str(push(store, builders.sbom(content.descriptor, seed=n)).digest) for n in range(5)
        }
        path, got = f"/v2/{NAME}/referrers/{content.digest}?artifactType={builders.SPDX}", []
        for _ in range(4):
            answer = wire.ask("GET", path.replace("+", "%2B"), status=200)
            assert answer.headers["OCI-Filters-Applied"] == "artifactType"
            got += [entry["digest"] for entry in answer.json["manifests"]]
            link = answer.headers.get("Link")
            if link is None:
                break
            path = link.partition("<")[2].partition(">")[0]
        assert len(got) == 5
        assert set(got) == pushed


def test_a_mirrors_list_goes_on_in_the_same_registry(registry, wire):
    """The link to the next page names the registry that the first one was asked of."""
    own, other = NAME, f"example.com/{NAME}"
    for tag in ("a", "b"):
        push(registry.repository(own), builders.image(), tag=f"own-{tag}")
        push(registry.repository(other), builders.image(), tag=f"other-{tag}")
    first = wire.ask("GET", f"/v2/{NAME}/tags/list?n=1&ns=example.com", status=200)
    path = first.headers["Link"].partition("<")[2].partition(">")[0]
    second = wire.ask("GET", path, status=200)
    assert first.json["tags"] + second.json["tags"] == ["other-a", "other-b"]
    assert "ns=" not in wire.ask("GET", "/v2/_catalog?n=1&ns=..", status=200).headers["Link"]


def test_referrers_with_long_annotations_come_by_pages(store, wire):
    """An answer is not larger than a manifest may be, however much its entries bring along."""
    subject = builders.image().descriptor
    pushed = set()
    for number in range(5):
        found = builders.sbom(subject, seed=number)
        value = json.loads(found.raw) | {"annotations": {"note": str(number) * 1_500_000}}
        for blob in found.blobs:
            push_blob(store, blob)
        raw = builders.dumps(value)
        headers = {"Content-Type": mediatype.OCI_MANIFEST}
        path = f"/v2/{NAME}/manifests/{Digest.of(raw)}"
        wire.ask("PUT", path, raw, headers, status=201)
        pushed.add(str(Digest.of(raw)))
    path, got = f"/v2/{NAME}/referrers/{subject.digest}", []
    for _ in range(3):
        answer = wire.ask("GET", path, status=200)
        assert len(answer.body) < MAX_MANIFEST_SIZE
        got += [entry["digest"] for entry in answer.json["manifests"]]
        link = answer.headers.get("Link", "")
        path = link.partition("<")[2].partition(">")[0]
    assert link == ""
    assert len(got) == 5
    assert set(got) == pushed
