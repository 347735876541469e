"""docs/bundle-format.md says what the code does: its worked example, made by the code."""

from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from airgap.bundle import catalog, members, placement
from airgap.bundle.catalog import Catalog, CatalogImage
from airgap.bundle.closure import MAX_STEPS
from airgap.bundle.front import MAX_DOCUMENTS
from airgap.bundle.held import FEATURE, HeldBlob
from airgap.bundle.layout import plan_layout
from airgap.bundle.signed import MAX_SIGNATURES
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.document import MAX_DEPTH, MAX_VALUES
from airgap.oci.manifest import MAX_MANIFEST_SIZE, parse_manifest
from airgap.oci.reference import Reference
from airgap.record.bases import Base, BaseKind
from airgap.trust import signatures
from airgap.trust.keys import PublicKey
from airgap.trust.signatures import Signatures
from tests.support.bundles import MadeBundle, assemble

TEXT = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text()
EXAMPLE = TEXT.partition("\n## Worked example\n")[2].partition("\n## ")[0]
UPDATE = TEXT.partition("\n## Worked example of an update\n")[2].partition("\n## ")[0]
BLOCKS, UPDATE_BLOCKS = (
    re.findall(r"```(?:json)?\n(.*?)\n```", text, re.DOTALL) for text in (EXAMPLE, UPDATE)
)


def rows(text: str) -> list[list[str]]:
    """The cells of every row of the tables in a text."""
    return [
        [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|") and "---" not in line
    ]


@pytest.fixture(scope="module")
def made() -> MadeBundle:
    """The bundle of the example, made of what the document says goes into it."""
    value = json.loads(BLOCKS[0])
    document = parse_manifest(value["manifest"].encode(), mediatype.OCI_MANIFEST)
    contents = {
        Digest.of(data): data for data in (value["config"].encode(), value["layer"].encode())
    }
    image = CatalogImage(Reference.parse(value["name"]), document.descriptor.digest)
    return assemble({document.descriptor.digest: document}, contents, images=[image])


def test_manifest_names_config_and_layer(made: MadeBundle) -> None:
    """The example's manifest fits its config and layer."""
    (document,) = made.documents.values()
    assert [(b.digest, b.size) for b in document.blobs()] == list(made.catalog.blobs)


def test_catalog(made: MadeBundle) -> None:
    """The catalog in the document is, byte for byte, the one that the code makes."""
    assert BLOCKS[1].encode() == made.catalog.raw
    assert Catalog.parse(BLOCKS[1].encode()) == made.catalog


def member_rows(data: bytes) -> list[list[str]]:
    """The table of the members of a bundle."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return [
            [
                info.name,
                f"{info.offset:,}",
                f"{info.offset_data:,}",
                f"{info.size:,}",
                Digest.of(data[info.offset_data : info.offset_data + info.size]).hex,
            ]
            for info in tar
        ]


def test_members(made: MadeBundle) -> None:
    """Names, offsets, sizes and digests of all members are the ones in the document."""
    actual = member_rows(made.data)
    assert rows(EXAMPLE)[1 : 1 + len(actual)] == actual


@pytest.fixture(scope="module")
def update(made: MadeBundle) -> MadeBundle:
    """The bundle of the second example: the first one's image, with its layer left to the other."""
    (config, size), (layer, held) = made.catalog.blobs
    (document,) = made.documents.values()
    catalog = Catalog.build(
        images=[
            CatalogImage(Reference.parse("registry.example/demo:2"), document.descriptor.digest)
        ],
        referrers=[],
        manifests=[document.descriptor],
        blobs=[(config, size)],
        omitted=[],
        bases=[Base("bundle", made.catalog.id)],
        held=[HeldBlob(layer, held, 0, "registry.example/demo")],
    )
    catalog = replace(catalog, signatures=UPDATE_BLOCKS[2].encode())
    layout = plan_layout(catalog, made.documents)
    return MadeBundle(layout, made.documents, {config: made.contents[config]})


def test_the_update_is_the_one_of_the_document(update: MadeBundle) -> None:
    """Catalog, members, id, size and digest."""
    assert UPDATE_BLOCKS[0].encode() == update.catalog.raw
    assert replace(update.catalog, signatures=b"") == Catalog.parse(update.catalog.raw)
    actual = member_rows(update.data)
    assert rows(UPDATE)[1 : 1 + len(actual)] == actual
    assert dict(rows(UPDATE)[-3:]) == {
        "bundle id": str(update.catalog.id),
        "size of the file": f"{update.layout.size:,}",
        "digest of the file": str(Digest.of(update.data)),
    }


def test_the_update_is_signed_by_the_key_of_the_document(update: MadeBundle) -> None:
    """The signature is one of exactly the bytes of the catalog, and names the key."""
    key = PublicKey.parse(UPDATE_BLOCKS[1].encode())
    (signature,) = Signatures.parse(update.catalog.signatures).by_key
    assert signature.key == key.id
    assert key.verify(update.catalog.raw, signature.value)
    assert not key.verify(update.catalog.raw + b"\n", signature.value)


def test_values(made: MadeBundle) -> None:
    """Bundle id, sizes and digests of the whole are the ones in the document."""
    values = dict(rows(EXAMPLE)[-6:])
    assert values == {
        "bundle id": str(made.catalog.id),
        "size of the file": f"{made.layout.size:,}",
        "digest of the file": str(Digest.of(made.data)),
        "uncovered.digest": str(made.layout.seal.uncovered),
        "uncovered.size": f"{made.layout.seal.uncovered_size:,}",
        "self": json.loads(made.layout.seal.to_bytes())["self"],
    }


def test_header_table() -> None:
    """The fields of the header table lie side by side and are what a header has there."""
    fields = rows(TEXT.partition("## Headers")[2].partition("## Catalog")[0])[1:]
    at = 0
    for offset, size, *_ in fields:
        assert int(offset) == at
        at += int(size)
    assert at == members.BLOCK
    block = members.header("oci-layout", 30)
    numbers = ["0000644", "0000000", "0000000", "00000000036", "00000000000"]
    assert block[100:148] == b"".join(number.encode() + bytes(1) for number in numbers)
    assert block[156:265] == b"0" + bytes(100) + b"ustar" + bytes(1) + b"00"
    assert block[329:345] == b"0000000\0" * 2


def test_fields_are_all_described(made: MadeBundle, update: MadeBundle) -> None:
    """Every field of catalog, signatures, placement and seal stands in the document."""
    seal = json.loads(made.layout.seal.to_bytes())
    named = set(re.findall(r"`(\w+)`", TEXT))
    changed = json.loads(update.catalog.raw)
    signed = json.loads(update.catalog.signatures)
    parts = [*changed["bases"], *changed["held"], *signed["signatures"]]
    for value in (json.loads(made.catalog.raw), changed, signed, *parts, seal["placement"], seal):
        assert value.keys() <= named
    assert set(get_args(BaseKind)) <= named
    assert f"`{FEATURE}`" in TEXT
    for media_type in (
        signatures.MEDIA_TYPE,
        catalog.MEDIA_TYPE,
        placement.MEDIA_TYPE,
        placement.SEAL_MEDIA_TYPE,
    ):
        assert f"`{media_type}`" in TEXT


def test_limits() -> None:
    """The limits in the document are the ones of the code."""
    limits = dict(rows(TEXT.partition("## Limits")[2].partition("## Reading")[0])[1:])
    assert limits["catalog, `index.json`, `manifest.json"] == f"{catalog.MAX_SIZE >> 20} MiB each"
    assert limits["signatures"] == f"{MAX_SIGNATURES >> 20} MiB"
    assert limits["a document"].endswith(f"({MAX_MANIFEST_SIZE:,} bytes)")
    assert limits["all documents"] == f"{MAX_DOCUMENTS >> 20} MiB"
    assert limits["depth of JSON"] == str(MAX_DEPTH)
    assert limits["commas, `[` and `{` in one JSON document"] == f"{MAX_VALUES:,}"
    assert f"{MAX_STEPS:,}" in limits.values()
