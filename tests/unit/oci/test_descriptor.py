"""Descriptors out of documents."""

from __future__ import annotations

import pytest

from airgap.errors import InvalidContentError
from airgap.oci import mediatype
from airgap.oci.descriptor import MAX_SIZE, Descriptor, annotations_from_json
from airgap.oci.digest import Digest
from airgap.oci.platform import Platform

GOOD = {
    "mediaType": mediatype.OCI_LAYER_GZIP,
    "digest": "sha256:" + "a" * 64,
    "size": 42,
}


def test_a_full_descriptor_reads_back_what_it_wrote():
    """All fields survive reading and writing."""
    value = GOOD | {
        "platform": {"architecture": "amd64", "os": "linux"},
        "artifactType": "application/x",
        "annotations": {"a": "1", "b": ""},
        "urls": ["https://layers.example/x"],
    }
    descriptor = Descriptor.from_json(value)
    assert descriptor.to_json() == value
    assert descriptor.platform == Platform("linux", "amd64")


def test_unknown_fields_and_types_are_no_error():
    """Fields and media types that nobody knows yet are read past (image-spec, "Extensibility")."""
    value = GOOD | {"mediaType": "application/vnd.future+x; v=2", "newField": [1], "data": "e30="}
    assert Descriptor.from_json(value).media_type == "application/vnd.future+x; v=2"


@pytest.mark.parametrize(
    "change",
    [
        {"urls": []},
        {"urls": None},
        {"annotations": {}},
        {"annotations": None},
        {"artifactType": ""},
        {"artifactType": None},
        {"platform": None},
    ],
)
def test_empty_optional_fields_are_like_missing_ones(change: dict):
    """What tools write for nothing (null, an empty list, object or text) is nothing."""
    assert Descriptor.from_json(GOOD | change).to_json() == GOOD


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mediaType": None}, "mediaType"),
        ({"mediaType": ""}, "mediaType"),
        ({"mediaType": 5}, "media type"),
        ({"mediaType": "a/b\r\nX-Evil: 1"}, "media type"),
        ({"mediaType": "a/" + "b" * 300}, "media type"),
        ({"mediaType": "schön/typ"}, "media type"),
        ({"digest": None}, "digest"),
        ({"digest": "sha256:xyz"}, "digest"),
        ({"digest": "sha256:../../x"}, "digest"),
        ({"size": None}, "size"),
        ({"size": -1}, "size"),
        ({"size": True}, "size"),
        ({"size": 1.0}, "size"),
        ({"size": "42"}, "size"),
        ({"size": MAX_SIZE + 1}, "size"),
        ({"artifactType": 1}, "artifactType"),
        ({"artifactType": "a\nb"}, "artifactType"),
        ({"urls": "https://x"}, "urls"),
        ({"urls": [1]}, "urls"),
        ({"urls": ["https://x\r\nHost: y"]}, "urls"),
        ({"urls": {"a": "b"}}, "urls"),
        ({"annotations": []}, "annotations"),
        ({"annotations": {"a": 1}}, "annotations"),
        ({"annotations": {"a": None}}, "annotations"),
        ({"platform": "linux"}, "platform"),
    ],
)
def test_a_wrong_field_is_refused_by_name(change: dict, says: str):
    """The message names the field that is wrong, in one line."""
    with pytest.raises(InvalidContentError) as caught:
        Descriptor.from_json(GOOD | change)
    assert says in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("value", [None, [], "x", 3, True])
def test_what_is_no_object_is_no_descriptor(value: object):
    """Anything but an object is refused."""
    with pytest.raises(InvalidContentError):
        Descriptor.from_json(value)


def test_annotations_and_urls_do_not_make_content_another():
    """Equality is about the content: annotations and urls take no part, the platform does."""
    plain = Descriptor.from_json(GOOD)
    assert Descriptor.from_json(GOOD | {"annotations": {"a": "b"}, "urls": ["https://x"]}) == plain
    assert Descriptor.from_json(GOOD | {"platform": {"os": "linux"}}) != plain


def test_a_descriptor_can_be_a_key():
    """Equal descriptors hash alike, whatever their annotations."""
    plain = Descriptor.from_json(GOOD)
    noted = Descriptor.from_json(GOOD | {"annotations": {"a": "b"}})
    assert len({plain, noted}) == 1


def test_describing_bytes_gives_their_digest_and_size():
    """A descriptor of bytes in memory has their digest by the algorithm asked for."""
    descriptor = Descriptor.of(b"{}", mediatype.OCI_EMPTY, "sha512")
    assert (descriptor.digest, descriptor.size) == (Digest.of(b"{}", "sha512"), 2)


def test_written_annotations_are_sorted():
    """The written form does not depend on the order in which annotations were given."""
    written = Descriptor.from_json(GOOD | {"annotations": {"b": "2", "a": "1"}}).to_json()
    assert list(written["annotations"]) == ["a", "b"]


def test_missing_annotations_are_none_at_all():
    """Null reads as no annotations."""
    assert annotations_from_json(None) == {}
