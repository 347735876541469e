"""The catalog: what is written is read, and what contradicts itself is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airgap.bundle import catalog as module
from airgap.bundle.catalog import Catalog
from airgap.errors import BundleFormatError
from airgap.oci.digest import Digest
from airgap.oci.document import canonical_bytes
from tests.support.bundles import make_bundle

CATALOG = make_bundle().catalog
Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> bytes:
    value = json.loads(CATALOG.raw)
    change(value)
    return canonical_bytes(value)


def test_round_trip() -> None:
    """A catalog that is read is the one that was written, with the same id."""
    found = Catalog.parse(CATALOG.raw)
    assert found == CATALOG
    assert found.id == Digest.of(CATALOG.raw)
    assert found.sizes() == CATALOG.sizes()
    assert found.omissions().keys() == {o.descriptor.digest for o in CATALOG.omitted}


def test_order_of_input_does_not_matter() -> None:
    """The same content given in another order has the same bytes."""
    again = Catalog.build(
        images=[*reversed(CATALOG.images), CATALOG.images[0]],
        referrers=reversed(CATALOG.referrers),
        manifests=reversed(CATALOG.manifests),
        blobs=CATALOG.blobs,
        omitted=reversed(CATALOG.omitted),
    )
    assert again.raw == CATALOG.raw


def test_sizes_name_all_that_travels() -> None:
    """Sizes cover manifests and blobs and nothing that is left out."""
    assert len(CATALOG.sizes()) == len(CATALOG.manifests) + len(CATALOG.blobs)
    assert not CATALOG.omissions().keys() & CATALOG.sizes().keys()


def test_unknown_fields_are_ignored() -> None:
    """Fields of a later airgap are kept in the bytes and do no harm."""
    raw = changed(lambda v: v.update(later={"a": 1}) or v["images"][0].update(note="x"))
    assert Catalog.parse(raw).images == CATALOG.images


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda v: v.update(formatVersion=2), "format version 2"),
        (lambda v: v.update(requires=["cut-blobs"]), "cut-blobs"),
        (lambda v: v.update(requires="cut-blobs"), "requires"),
        (lambda v: v.update(requires={"a": 1}), "requires"),
        (lambda v: v.pop("formatVersion"), "no format version"),
        (lambda v: v.update(formatVersion=True), "no format version"),
        (lambda v: v.update(formatVersion=0), "no format version"),
        (lambda v: v.update(formatVersion="1"), "no format version"),
    ],
)
def test_newer_formats_are_refused_by_name(change: Change, says: str) -> None:
    """What only a newer airgap understands is refused, and the error says what it is."""
    with pytest.raises(BundleFormatError) as caught:
        Catalog.parse(changed(change))
    assert says in caught.value.message


def test_newer_format_has_a_hint() -> None:
    """The hint for a newer format is to read it with a newer airgap."""
    with pytest.raises(BundleFormatError) as caught:
        Catalog.parse(changed(lambda v: v.update(formatVersion=7)))
    assert "newer" in str(caught.value.hint)


def first(key: str, **fields: object) -> Change:
    return lambda v: v[key][0].update(fields)


OTHER = str(Digest.of(b"other"))


@pytest.mark.parametrize(
    "change",
    [
        *[
            lambda v, k=k: v.pop(k)
            for k in ("images", "referrers", "manifests", "blobs", "omitted")
        ],
        *[lambda v, k=k: v.update({k: {}}) for k in ("images", "manifests", "blobs")],
        *[lambda v, k=k: v.update({k: ["x"]}) for k in ("images", "manifests", "omitted")],
        first("images", name="app"),
        first("images", name="example.com/UPPER:1"),
        first("images", name=f"example.com/app:1@{OTHER}"),
        first("images", name=f"example.com/app@{OTHER}"),
        first("images", name=7),
        first("images", digest="sha256:1"),
        first("images", digest=OTHER),
        first("images", load=OTHER),
        first("images", load="x"),
        first("referrers", repository="example.com"),
        first("referrers", repository="example.com/A"),
        first("referrers", repository="example.com/a:1"),
        first("referrers", repository=None),
        first("referrers", tag="a b"),
        first("referrers", tag="latest"),
        first("referrers", tag="sha256-" + "0" * 64 + ".sig"),
        first("referrers", tag=1),
        first("referrers", digest=OTHER),
        first("referrers", subject="x"),
        first("manifests", size=-1),
        first("manifests", size=1 << 60),
        first("manifests", size="1"),
        first("manifests", size=True),
        first("manifests", mediaType=""),
        first("manifests", mediaType="a\nb"),
        first("blobs", digest="md5:" + "0" * 32),
        first("blobs", digest="sha256:" + "A" * 64),
        first("blobs", size=1.5),
        first("omitted", reason="forgotten"),
        first("omitted", reason=None),
        first("omitted", parents="x"),
        first("omitted", parents=["x"]),
        lambda v: v["blobs"].append(v["blobs"][0]),
        lambda v: v["manifests"].append(v["manifests"][0]),
        lambda v: v["images"].append(v["images"][0]),
        lambda v: v["blobs"].append({"digest": v["manifests"][0]["digest"], "size": 1}),
        lambda v: v["blobs"].append({"digest": v["omitted"][0]["digest"], "size": 1}),
        lambda v: v["manifests"].append(v["omitted"][0]),
        lambda v: v["manifests"].pop(),
    ],
)
def test_contradictions_are_refused(change: Change) -> None:
    """A catalog with a field missing, of a wrong type or against another is refused."""
    with pytest.raises(BundleFormatError):
        Catalog.parse(changed(change))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"null",
        b"<html>",
        CATALOG.raw + b"\n",
        b" " + CATALOG.raw,
        CATALOG.raw.replace(b'","', b'", "', 1),
        CATALOG.raw[:-1],
        b"[" * 100_000,
        b'{"a":' * 100_000,
        json.dumps(json.loads(CATALOG.raw), sort_keys=False, indent=1).encode(),
    ],
)
def test_other_forms_are_refused(raw: bytes) -> None:
    """Only the canonical bytes are a catalog: the id would be another one otherwise."""
    with pytest.raises(BundleFormatError):
        Catalog.parse(raw)


def test_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """A catalog over the limit is refused before it is parsed."""
    monkeypatch.setattr(module, "MAX_SIZE", 100)
    with pytest.raises(BundleFormatError) as caught:
        Catalog.parse(CATALOG.raw)
    assert "more than 100" in caught.value.message
