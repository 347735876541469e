"""Tags that are taken, and lists of referrers that are kept as tags."""

from __future__ import annotations

import pytest

from airgap.errors import (
    ConflictError,
)
from airgap.oci.referrers import fallback_tag
from airgap.server.settings import RegistrySettings
from tests.support import builders
from tests.support.embedded import EmbeddedRegistry, Status
from tests.support.transfers import assert_holds, bring, sent

UNAUTHORIZED = Status(403, body=b'{"errors":[{"code":"DENIED","message":"no"}]}')


@pytest.fixture
def taken(pack, inside):
    """A bundle with two images, one of whose tags names something else inside."""
    old = builders.push(inside.repository("app"), builders.image(seed=7), tag="1")
    new, other = builders.image(seed=8), builders.image(seed=9)
    path = pack({"app:1": new, "other:1": other})
    inside.clear()
    return path, old, new, other


def test_a_tag_that_names_something_else_ends_the_import_before_anything_is_sent(taken, inside):
    """Nothing was changed, and the error says which tag and what can be done."""
    path, old, *_ = taken
    with pytest.raises(ConflictError, match="app:1") as raised:
        bring(path, inside.host)
    assert "--on-existing-tag" in (raised.value.hint or "")
    assert sent(inside) == []
    assert inside.repository("app").resolve("1").digest == old.digest


def test_a_tag_may_be_moved(taken, inside):
    """With overwrite the tag names what the bundle has."""
    path, _, new, other = taken
    bring(path, inside.host, on_existing_tag="overwrite")
    assert_holds(inside, "app", new, "1")
    assert_holds(inside, "other", other, "1")


def test_a_tag_may_be_left(taken, inside):
    """With skip it stays, the result says so, and the others are imported."""
    path, old, _, other = taken
    result = bring(path, inside.host, on_existing_tag="skip")
    assert {(image.target.rpartition("/")[2], image.outcome) for image in result.images} == {
        ("app:1", "skipped"),
        ("other:1", "pushed"),
    }
    assert inside.repository("app").resolve("1").digest == old.digest
    assert_holds(inside, "other", other, "1")


def test_a_tag_that_names_something_else_fails_its_image_alone_where_others_go_on(taken, inside):
    """With keep-going the image is listed as failed, and the others are there."""
    path, old, _, other = taken
    result = bring(path, inside.host, keep_going=True)
    assert [(f.name.rpartition("/")[2], f.error.code) for f in result.failed] == [
        ("app:1", "conflict")
    ]
    assert inside.repository("app").resolve("1").digest == old.digest
    assert_holds(inside, "other", other, "1")


def test_a_cosign_tag_that_names_something_else_is_a_conflict(pack, inside):
    """A signature is not replaced without being told to."""
    image = builders.image()
    tag, cosign = builders.cosign_signature(image.descriptor)
    path = pack({"app:1": image}, referrers=[("app", cosign, tag)])
    builders.push(inside.repository("app"), builders.chart(), tag=tag)
    inside.clear()
    with pytest.raises(ConflictError, match=tag):
        bring(path, inside.host)
    assert sent(inside) == []


def test_a_cosign_tag_that_stays_is_told_of(pack, inside):
    """With skip a signature does not get its tag, and the result says so."""
    image = builders.image()
    tag, cosign = builders.cosign_signature(image.descriptor)
    path = pack({"app:1": image}, referrers=[("app", cosign, tag)])
    theirs = builders.push(inside.repository("app"), builders.chart(), tag=tag)
    result = bring(path, inside.host, on_existing_tag="skip")
    assert inside.repository("app").resolve(tag).digest == theirs.digest
    assert_holds(inside, "app", cosign)
    assert [tag in note and str(cosign.digest) in note for note in result.notes] == [True]


def test_the_same_digest_under_the_tag_is_success(pack, inside):
    """A tag that is right already is no conflict."""
    image = builders.push(inside.repository("app"), builders.image(), tag="1")
    result = bring(pack({"app:1": image}), inside.host)
    assert [i.outcome for i in result.images] == ["present"]


def test_the_fallback_tag_is_merged_with_what_is_there(pack):
    """Entries that somebody else made stay in the list, and none is listed twice."""
    image = builders.image()
    mine, theirs = (builders.sbom(image.descriptor, seed=seed) for seed in (1, 2))
    path = pack({"app:1": image}, referrers=[("app", mine, None)])
    with EmbeddedRegistry(settings=RegistrySettings(referrers=False)) as inside:
        repository = inside.repository("app")
        builders.push(repository, theirs)
        builders.push(repository, builders.index([theirs]), tag=fallback_tag(image.digest))
        bring(path, inside.host)
        bring(path, inside.host)
        listed = repository.manifest(fallback_tag(image.digest)).manifests
        assert sorted(d.digest for d in listed) == sorted([mine.digest, theirs.digest])


def test_a_registry_that_takes_a_referrer_without_a_word_gets_the_fallback_tag(pack):
    """Without OCI-Subject in the answer the client keeps the list, whatever the API answers."""

    class Silent(EmbeddedRegistry):
        async def _answer(self, request, handler, fault):
            response = await super()._answer(request, handler, fault)
            response.headers.pop("OCI-Subject", None)
            return response

    image = builders.image()
    sbom = builders.sbom(image.descriptor)
    path = pack({"app:1": image}, referrers=[("app", sbom, None)])
    with Silent() as inside:
        bring(path, inside.host)
        listed = inside.repository("app").manifest(fallback_tag(image.digest)).manifests
        assert [entry.digest for entry in listed] == [sbom.digest]
