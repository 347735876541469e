"""What holds for every reference, digest and document, not only for examples."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from airgap.errors import AirgapError, InvalidContentError, InvalidReferenceError, SettingsError
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import ALGORITHMS, Digest, Hasher
from airgap.oci.document import MAX_DEPTH, canonical_bytes, parse_object
from airgap.oci.layout import blob_digest, blob_path
from airgap.oci.manifest import Document, parse_manifest
from airgap.oci.platform import Platform
from airgap.oci.reference import Reference
from airgap.oci.referrers import cosign_subject, cosign_tags, fallback_tag, is_fallback_tag

digests = st.builds(
    Digest.of, st.binary(max_size=20), algorithm=st.sampled_from(sorted(ALGORITHMS))
)
_component = st.from_regex(r"[a-z0-9]+((\.|_|__|-{1,3})[a-z0-9]+){0,2}", fullmatch=True)
_host = st.one_of(
    st.from_regex(r"[a-z][a-z0-9]{0,8}(\.[a-z]{2,5}){1,3}(:[1-9][0-9]{0,3})?", fullmatch=True),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda address: f"[{address}]:5000"),
    st.sampled_from(["localhost", "localhost:5000", "MYHOST"]),
)
references = st.builds(
    Reference,
    _host,
    st.lists(_component, min_size=2, max_size=4).map("/".join),
    st.from_regex(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20}", fullmatch=True),
    st.none() | digests,
)
_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**18), max_value=10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)
objects = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), _values, max_size=5)


def expect_one_line(error: AirgapError) -> None:
    """Whatever was refused, what a user reads is one printable line of bearable length."""
    assert error.message.isprintable()
    assert len(error.message) < 600


@given(references)
def test_a_reference_reads_back_what_it_wrote(reference: Reference):
    """The text of a reference parses to the same reference."""
    assume(len(reference.name) <= 255)
    assert Reference.parse(str(reference)) == reference


@given(st.text())
@example("a@b@c")
@example("[::1]:5000/x:y")
def test_any_text_is_a_stable_reference_or_refused(text: str):
    """Every text is refused with one line, or parses to something that parses to itself."""
    try:
        reference = Reference.parse(text)
    except InvalidReferenceError as error:
        expect_one_line(error)
        return
    assert Reference.parse(str(reference)) == reference


@given(digests)
def test_a_digest_survives_all_its_forms(digest: Digest):
    """Text, layout path and cosign's tags lead back to the digest."""
    assert Digest.parse(str(digest)) == digest
    assert blob_digest(blob_path(digest)) == digest
    assert {cosign_subject(tag) for tag in cosign_tags(digest)} == {
        (digest, "sig"),
        (digest, "att"),
        (digest, "sbom"),
    }
    assert is_fallback_tag(fallback_tag(digest))


@given(st.lists(st.binary(max_size=50)), st.sampled_from(sorted(ALGORITHMS)))
def test_hashing_does_not_depend_on_the_chunks(chunks: list[bytes], algorithm: str):
    """Chunks hash to the digest of what they make together."""
    hasher = Hasher(algorithm)
    for chunk in chunks:
        hasher.update(chunk)
    whole = b"".join(chunks)
    assert (hasher.digest(), hasher.size) == (Digest.of(whole, algorithm), len(whole))


@given(objects)
def test_a_document_reads_back_what_was_written(value: dict[str, Any]):
    """Canonical bytes parse to the value, and writing that again gives the same bytes."""
    raw = canonical_bytes(value)
    parsed = parse_object(raw, what="it")
    assert parsed == value
    assert canonical_bytes(parsed) == raw


@given(objects)
def test_order_of_keys_does_not_change_the_bytes(value: dict[str, Any]):
    """The same object with its keys turned round has the same canonical bytes."""
    turned = dict(reversed(value.items()))
    assert canonical_bytes(turned) == canonical_bytes(value)


def _depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


@given(objects, st.integers(min_value=0, max_value=2 * MAX_DEPTH))
def test_depth_is_counted_as_the_parser_nests(value: dict[str, Any], extra: int):
    """A document is refused for its depth exactly when it is deeper than the limit."""
    for _ in range(extra):
        value = {'"[{\\': [value]} if extra % 2 else {"x": value}
    raw = json.dumps(value).encode()
    if _depth(value) <= MAX_DEPTH:
        assert parse_object(raw, what="it") == value
    else:
        with pytest.raises(InvalidContentError, match="nested"):
            parse_object(raw, what="it")


@given(st.binary() | st.text().map(str.encode) | st.text('[]{}"\\:,01e.').map(str.encode))
def test_any_bytes_are_a_writable_object_or_refused(raw: bytes):
    """Every input is refused as content, or is an object that can be written again."""
    try:
        value = parse_object(raw, what="it")
    except InvalidContentError as error:
        expect_one_line(error)
        return
    assert parse_object(canonical_bytes(value), what="it") == value


_junk = st.none() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=3), max_size=2)
_entries = st.fixed_dictionaries(
    {},
    optional={
        "mediaType": _junk | st.just("application/x"),
        "digest": _junk | digests.map(str),
        "size": _junk | st.integers(min_value=0, max_value=1 << 60) | st.just(math.pi),
        "platform": _junk | st.fixed_dictionaries({"os": _junk, "architecture": _junk}),
        "annotations": _junk | st.dictionaries(st.text(max_size=3), _junk, max_size=2),
        "urls": _junk,
        "artifactType": _junk,
    },
)
_manifests = st.fixed_dictionaries(
    {},
    optional={
        "schemaVersion": _junk | st.just(2),
        "mediaType": _junk | st.just("application/vnd.oci.image.index.v1+json"),
        "config": _junk | _entries,
        "layers": _junk | st.lists(_entries, max_size=2),
        "manifests": _junk | st.lists(_entries, max_size=2),
        "subject": _junk | _entries,
        "annotations": _junk,
        "artifactType": _junk,
    },
)


@given(_manifests, _junk.map(str) | st.just("application/vnd.oci.image.manifest.v1+json"))
def test_any_manifest_is_read_or_refused(value: dict[str, Any], declared: str):
    """Whatever stands in the fields, the result is a document of these bytes or a refusal."""
    raw = json.dumps(value).encode()
    try:
        document: Document = parse_manifest(raw, declared)
    except InvalidContentError as error:
        expect_one_line(error)
        return
    assert document.raw == raw
    assert document.descriptor.digest == Digest.of(raw)
    for descriptor in document.blobs() + document.children():
        assert Descriptor.from_json(descriptor.to_json()) == descriptor


@given(st.text() | st.from_regex(r"[a-zA-Z0-9]+/[a-zA-Z0-9_]+(/[a-z0-9]+)?", fullmatch=True))
def test_any_platform_is_read_or_refused(text: str):
    """A platform that a user wrote matches itself, and its text parses to the same."""
    try:
        platform = Platform.parse(text)
    except SettingsError as error:
        expect_one_line(error)
        return
    assert platform.matches(platform)
    assert Platform.parse(str(platform)) == platform
