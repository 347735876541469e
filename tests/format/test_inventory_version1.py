"""An inventory of format version 1 is read forever, as its document says and by today's code."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from struct import unpack_from

from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_summary import InventorySummary
from tests.support.inventories import sample

PATH = Path(__file__).parent / "inventory-v1.inventory"
FILE = "c08c1ef604ff073b6bad84ae8bf99e9403391256c676211b41e1f976347590ae"
CONTENT = "78813b05b18243bc5280b63d9f1ffa7c4036b854af978deb8f637d81a9a729ec"
SUMMARY = "AIRGAP1 F20K-P1DH-G91V-RMM0-PRYS-Y7ZT-FH03-DE2M B4 I3"
DOCUMENT = Path(__file__).parents[2] / "docs/inventory-format.md"


def test_the_file_is_the_one_that_was_made() -> None:
    """The committed inventory has not been made anew, and today's code writes its very bytes."""
    assert Digest.of(PATH.read_bytes()).hex == FILE
    assert sample().raw == PATH.read_bytes()


def test_its_digests_are_what_they_were() -> None:
    """Ids stand in bundles, and summaries on paper."""
    found = Inventory.parse(PATH.read_bytes())
    assert found.id.hex == FILE
    assert found.content_digest.hex == CONTENT
    assert str(InventorySummary.of(found)) == SUMMARY


def test_the_document_alone_is_enough_to_read_it() -> None:
    """A reader of a few lines, made from docs/inventory-format.md, finds what ours finds."""
    raw = PATH.read_bytes()
    found = Inventory.parse(raw)
    end = raw.index(b"\n") + 1
    header = json.loads(raw[:end])
    blobs, links, images = header["blobs"], header["links"], header["images"]
    digests = [f"sha256:{raw[end + 32 * row : end + 32 * row + 32].hex()}" for row in range(blobs)]
    end += 32 * blobs
    sizes = unpack_from(f"<{blobs}Q", raw, end)
    ends = (0, *unpack_from(f"<{blobs}I", raw, end + 8 * blobs))
    end += 12 * blobs
    numbers = unpack_from(f"<{links}I", raw, end)
    rows = unpack_from(f"<{images}I", raw, end + 4 * links)
    end += 4 * links + 4 * images
    names = raw[end : end + header["nameBytes"]].decode("ascii").splitlines()
    others = json.loads(raw[end + header["nameBytes"] :])["digests"]
    repositories, titles = names[: header["repositories"]], names[header["repositories"] :]
    held = {
        digest: (size, tuple(repositories[n] for n in numbers[a:b]))
        for digest, size, (a, b) in zip(digests, sizes, pairwise(ends), strict=True)
    }
    held |= {
        entry["digest"]: (entry["size"], tuple(repositories[n] for n in entry["repositories"]))
        for entry in others
    }
    assert held == {str(digest): (size, names) for digest, size, names in found.blobs()}
    order = [*digests, *(entry["digest"] for entry in others)]
    assert [(image.name, str(image.digest)) for image in found.images] == [
        (title, order[row]) for title, row in zip(titles, rows, strict=True)
    ]


def test_the_document_names_every_key_of_the_header() -> None:
    """Nothing stands in an inventory that is not described."""
    text = DOCUMENT.read_text(encoding="utf-8")
    header = json.loads(PATH.read_bytes().partition(b"\n")[0])
    assert all(f"`{key}`" in text for key in (*header, "need", "version"))
