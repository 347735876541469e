"""Manifests that are asked for often come from memory, and never when that would be wrong."""

from __future__ import annotations

import pytest

from airgap.content.depot import ManifestMemory
from airgap.server.database import recency
from tests.support import builders
from tests.support.builders import push
from tests.support.datafolders import Clock, opened


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def depot(tmp_path, clock):
    depot = opened(tmp_path / "data", clock)
    yield depot
    depot.close()


@pytest.fixture
def image():
    return builders.image()


@pytest.fixture
def repository(depot, image):
    """A repository with an image, which was read by tag and by digest."""
    found = depot.repository("team/app")
    push(found, image, tag="1.0")
    assert found.recall_manifest("1.0") is None
    assert isinstance(found, ManifestMemory)
    found.read_manifest("1.0")
    found.read_manifest(str(image.digest))
    return found


def test_what_was_read_is_in_memory(repository, image):
    """After a manifest was read, nobody has to wait for it, by tag and by digest."""
    expected = repository.read_manifest("1.0")
    assert expected == (repository.resolve("1.0"), image.raw)
    assert repository.recall_manifest("1.0") == expected
    assert repository.recall_manifest(str(image.digest)) == expected


def test_what_is_deleted_is_forgotten(repository, image):
    """A deleted tag is not given any more, nor a deleted manifest."""
    repository.delete_tag("1.0")
    assert repository.recall_manifest("1.0") is None
    repository.read_manifest(str(image.digest))
    assert repository.recall_manifest(str(image.digest)) is not None
    repository.delete_manifest(image.digest)
    assert repository.recall_manifest(str(image.digest)) is None


def test_a_moved_tag_gives_the_new_manifest(repository):
    """A tag that was pushed again names the new manifest at once."""
    other = builders.image(seed=2)
    push(repository, other, tag="1.0")
    assert repository.recall_manifest("1.0") in (None, repository.read_manifest("1.0"))
    assert repository.read_manifest("1.0")[1] == other.raw
    assert repository.recall_manifest("1.0")[1] == other.raw


def test_another_repository_gives_nothing(depot, repository, image):
    """The bytes are in memory for all, and yet only who has the manifest gives them."""
    other = depot.repository("team/other")
    assert repository.recall_manifest(str(image.digest)) is not None
    assert other.recall_manifest(str(image.digest)) is None
    assert other.recall_manifest("1.0") is None


def test_now_and_then_it_is_noted_that_somebody_asks(repository, clock):
    """Garbage collection has to know what is asked for: after some minutes it is noted again."""
    clock.now += recency.REFRESH_SECONDS + 1
    assert repository.recall_manifest("1.0") is None
    repository.read_manifest("1.0")
    assert repository.recall_manifest("1.0") is not None
