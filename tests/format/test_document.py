"""docs/bundle-format.md says what the code does: its worked example, made by the code."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from airgap.bundle import catalog, members, placement
from airgap.bundle.catalog import Catalog, CatalogImage
from airgap.bundle.closure import MAX_STEPS
from airgap.bundle.front import MAX_DOCUMENTS
from airgap.oci import mediatype
from airgap.oci.digest import Digest
from airgap.oci.document import MAX_DEPTH, MAX_VALUES
from airgap.oci.manifest import MAX_MANIFEST_SIZE, parse_manifest
from airgap.oci.reference import Reference
from tests.support.bundles import MadeBundle, assemble

TEXT = (Path(__file__).parents[2] / "docs" / "bundle-format.md").read_text()
EXAMPLE = TEXT.partition("## Worked example")[2].partition("## Changes")[0]
BLOCKS = re.findall(r"```json\n(.*?)\n```", EXAMPLE, re.DOTALL)


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


def test_members(made: MadeBundle) -> None:
    """Names, offsets, sizes and digests of all members are the ones in the document."""
    with tarfile.open(fileobj=io.BytesIO(made.data)) as tar:
        actual = [
            [
                info.name,
                f"{info.offset:,}",
                f"{info.offset_data:,}",
                f"{info.size:,}",
                Digest.of(made.data[info.offset_data : info.offset_data + info.size]).hex,
            ]
            for info in tar
        ]
    assert rows(EXAMPLE)[1 : 1 + len(actual)] == actual


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


def test_fields_are_all_described(made: MadeBundle) -> None:
    """Every field of catalog, placement and seal stands in the document."""
    seal = json.loads(made.layout.seal.to_bytes())
    named = set(re.findall(r"`(\w+)`", TEXT))
    for value in (json.loads(made.catalog.raw), seal["placement"], seal):
        assert value.keys() <= named
    for media_type in (catalog.MEDIA_TYPE, placement.MEDIA_TYPE, placement.SEAL_MEDIA_TYPE):
        assert f"`{media_type}`" in TEXT


def test_limits() -> None:
    """The limits in the document are the ones of the code."""
    limits = dict(rows(TEXT.partition("## Limits")[2].partition("## Reading")[0])[1:])
    assert limits["catalog, `index.json`, `manifest.json"] == f"{catalog.MAX_SIZE >> 20} MiB each"
    assert limits["a document"].endswith(f"({MAX_MANIFEST_SIZE:,} bytes)")
    assert limits["all documents"] == f"{MAX_DOCUMENTS >> 20} MiB"
    assert limits["depth of JSON"] == str(MAX_DEPTH)
    assert limits["commas, `[` and `{` in one JSON document"] == f"{MAX_VALUES:,}"
    assert f"{MAX_STEPS:,}" in limits.values()
