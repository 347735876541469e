"""Inventories that are cut, forged or of a newer version are refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from struct import pack

import pytest

from airgap.errors import BundleFormatError, ExitCode
from airgap.oci.digest import Digest
from airgap.record.inventory import Inventory
from airgap.record.inventory_format import parse_header
from tests.support.inventories import (
    APP,
    LAYER,
    LONG,
    builder,
    digest,
    make_inventory,
    rebuild,
    sample,
)


def forge(inventory: Inventory, change: Callable[[bytearray, int], None]) -> bytes:
    """The bytes with a change behind the header, which gets to know where that ends."""
    raw = bytearray(inventory.raw)
    change(raw, parse_header(inventory.raw)[1])
    return bytes(raw)


def with_header(inventory: Inventory, **changes: object) -> bytes:
    """The bytes with another header in its canonical form."""
    header, start = parse_header(inventory.raw)
    return replace(header, **changes).to_bytes() + inventory.raw[start:]  # type: ignore[arg-type]


def with_json(inventory: Inventory, **changes: object) -> bytes:
    """The bytes with other values in the header's JSON; None takes a key away."""
    line, _, rest = inventory.raw.partition(b"\n")
    value = json.loads(line) | changes
    value = {key: entry for key, entry in value.items() if entry is not None}
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode() + b"\n" + rest


def test_an_inventory_that_is_cut_at_any_byte_is_refused():
    """No prefix of an inventory is one."""
    raw = sample().raw
    for length in range(len(raw)):
        with pytest.raises(BundleFormatError):
            Inventory.parse(raw[:length])


def test_bytes_behind_the_end_are_refused():
    """With and without a last line of JSON."""
    for made in (sample(), make_inventory([(APP, 1, "a")])):
        for more in (b"\n", b"x", b"\0" * 64):
            with pytest.raises(BundleFormatError):
                Inventory.parse(made.raw + more)


def test_every_changed_bit_is_refused_or_is_another_inventory_in_its_only_form():
    """What is read after a change says other things, and would be written with just these bytes."""
    raw = sample().raw
    for place in range(len(raw)):
        for bit in range(8):
            changed = bytearray(raw)
            changed[place] ^= 1 << bit
            try:
                found = Inventory.parse(bytes(changed))
            except BundleFormatError:
                continue
            assert found.id != Digest.of(raw)
            assert rebuild(found).raw == bytes(changed)


@pytest.mark.parametrize(
    "changes",
    [
        {"blobs": 2},
        {"blobs": 4},
        {"blobs": (1 << 32) - 1},
        {"links": 3},
        {"links": (1 << 32) - 1},
        {"repositories": 1},
        {"repositories": 3},
        {"images": 2},
        {"name_bytes": 1},
        {"name_bytes": (1 << 32) - 1},
        {"others": 0},
        {"others": 2},
        {"others": (1 << 32) - 1},
        {"kind": "layout"},
        {"kind": "bundle"},
    ],
)
def test_forged_counts_are_refused(changes: dict[str, object]):
    """Counts must fit the bytes, whatever they say, and nothing is allotted for them."""
    with pytest.raises(BundleFormatError):
        Inventory.parse(with_header(sample(), **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"blobs": 1 << 32},
        {"blobs": -1},
        {"blobs": True},
        {"blobs": "3"},
        {"blobs": 3.0},
        {"kind": "toString"},
        {"kind": None},
        {"kind": "need"},
        {"need": str(APP)},
        {"complete": 1},
        {"complete": None},
        {"made": None},
        {"made": "2026-01-31T12:30:05+00:00"},
        {"made": "2026-01-31T12:30:05.5Z"},
        {"made": "2026-02-31T12:30:05Z"},
        {"made": "yesterday"},
        {"by": "a\nb"},
        {"by": "\u202eadA"},
        {"by": "x" * 257},
        {"by": 7},
        {"by": ""},
        {"version": "\x1b[2J"},
        {"place": "no/registry"},
        {"place": "r\N{CYRILLIC SMALL LETTER IE}gistry:5000"},
        {"place": 7},
        {"mediaType": "application/vnd.airgap.catalog.v1+json"},
        {"mediaType": None},
        {"formatVersion": 0},
        {"formatVersion": "1"},
        {"more": 1},
        {"more": "x" * (1 << 20)},
    ],
)
def test_forged_headers_are_refused(changes: dict[str, object]):
    """Each value has one form, and no key is there that this version does not know."""
    with pytest.raises(BundleFormatError):
        Inventory.parse(with_json(sample(), **changes))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"<html></html>\n",
        b"{" * 5000 + b"\n",
        b'{"a":' * 100 + b"1" + b"}" * 100 + b"\n",
        b'{"a":1,"a":1}\n',
        b"\xff\xfe{}\n",
        b"{" + b" " * (1 << 20),
        b"\0" * 4096,
    ],
)
def test_what_is_no_inventory_is_refused_in_one_line(raw: bytes):
    """Empty files, other files, deep and huge headers."""
    with pytest.raises(BundleFormatError) as caught:
        Inventory.parse(raw)
    assert "inventory" in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"formatVersion": 2}, "2"), ({"requires": ["zstd-tables"]}, "zstd-tables")],
)
def test_a_newer_inventory_is_refused_by_name(changes: dict[str, object], named: str):
    """The message says that it is an inventory and what of it is newer."""
    with pytest.raises(BundleFormatError) as caught:
        Inventory.parse(with_json(sample(), **changes))
    assert caught.value.exit_code is ExitCode.BUNDLE_FORMAT
    assert "inventory" in caught.value.message
    assert named in caught.value.message
    assert caught.value.hint


def _swap(raw: bytearray, start: int, width: int) -> None:
    """Put the second of two neighbours before the first."""
    second = start + width
    raw[start : second + width] = raw[second : second + width] + raw[start:second]


def _swap_digests(raw: bytearray, start: int) -> None:
    _swap(raw, start, 32)


def _double_digest(raw: bytearray, start: int) -> None:
    raw[start + 32 : start + 64] = raw[start : start + 32]


def _set_number(where: int, value: int) -> Callable[[bytearray, int], None]:
    def change(raw: bytearray, start: int) -> None:
        raw[start + where : start + where + 4] = pack("<I", value)

    return change


ENDS, LINKS, IMAGES = 3 * 40, 3 * 44, 3 * 44 + 4 * 4
NAMES = IMAGES + 3 * 4


def _replace(old: bytes, new: bytes) -> Callable[[bytearray, int], None]:
    def change(raw: bytearray, start: int) -> None:
        place = raw.index(old, start + NAMES)
        raw[place : place + len(old)] = new

    return change


@pytest.mark.parametrize(
    "change",
    [
        _swap_digests,
        _double_digest,
        _set_number(3 * 32 + 4, 1 << 31),  # a size above 2^53
        _set_number(ENDS, 3),
        _set_number(ENDS, 0),
        _set_number(ENDS + 8, 3),
        _set_number(ENDS + 8, 5),
        _set_number(LINKS, 2),
        _set_number(LINKS + 12, 1 << 31),
        _set_number(IMAGES, 4),
        _set_number(IMAGES, 0xFFFFFFFF),
        _replace(b"base\n", b"b/..\n"),
        _replace(b"base\n", b"BASE\n"),
        _replace(b"base\n", b"zase\n"),
        _replace(b"base\n", b"ba\ne\n"),
        _replace(b"base\n", b"b\xd0\xb0e\n"),
        _replace(b"team/app:1.0\n", b"team/app:1:0\n"),
        _replace(b"team/app:1.0\n", b"team/apq:1.0\n"),
        _replace(b"team/app:latest", b"team/app:0atest"),
        _replace(b'"size":7', b'"size":-'),
        _replace(b"[0,1]", b"[1,0]"),
        _replace(b"[0,1]", b"[0,2]"),
        _replace(b"[0,1]", b"[1,1]"),
        _replace(b"[0,1]", b"[0.1]"),
    ],
)
def test_forged_tables_and_names_are_refused(change: Callable[[bytearray, int], None]):
    """Order, bounds, sums and the grammar of names are all checked."""
    raw = forge(sample(), change)
    assert raw != sample().raw
    with pytest.raises(BundleFormatError):
        Inventory.parse(raw)


def test_links_that_fall_inside_of_one_digest_are_found_wherever_slices_end():
    """With more links than are looked at in one go, one wrong pair among them is found."""
    count = 10_000
    made = builder()
    for number in range(count):
        made.add_link(bytes.fromhex(APP.hex), 1, made.add_repository(f"r{number:05}"))
    good = made.build()
    start = parse_header(good.raw)[1] + 44
    assert Inventory.parse(good.raw).link_count == count
    for place in (0, 1, 8190, 8191, 8192, 9998):
        raw = bytearray(good.raw)
        _swap(raw, start + 4 * place, 4)
        with pytest.raises(BundleFormatError, match="order"):
            Inventory.parse(bytes(raw))


def test_digests_out_of_order_are_found_wherever_slices_end():
    """With more digests than are looked at in one go, two that are swapped are found."""
    count = 9000
    good = make_inventory([(digest(str(n)), n, "a") for n in range(count)])
    start = parse_header(good.raw)[1]
    for place in (0, 8190, 8191, 8192, count - 2):
        raw = bytearray(good.raw)
        _swap(raw, start + 32 * place, 32)
        with pytest.raises(BundleFormatError, match="order"):
            Inventory.parse(bytes(raw))


def test_in_a_registry_nothing_is_held_by_no_repository():
    """A blob of a registry that no repository holds cannot be asked for."""
    made = make_inventory([(APP, 1, "")], kind="layout", place="")
    with pytest.raises(BundleFormatError, match="held by no repository"):
        Inventory.parse(with_header(made, kind="registry"))


def test_many_images_that_are_one_digest_are_checked_quickly():
    """An image of a digest that many repositories hold is not sought among all of them."""
    made = builder()
    for number in range(40_000):
        made.add_blob(APP, 1, f"r{number}")
        made.add_image(f"r{number}:1", APP)
    started = time.monotonic()
    assert made.build().image_count == 40_000
    assert time.monotonic() - started < 5


def test_an_image_of_a_registry_lies_in_a_repository_that_holds_its_digest():
    """A tag of a repository below, between or above those that hold the digest is refused."""
    made = make_inventory(
        [(APP, 1, "b"), (APP, 1, "d"), *((LAYER, 1, name) for name in "ace")], [("b:1", APP)]
    )
    for name in b"ace":
        forged = made.raw.replace(b"b:1\n", bytes((name,)) + b":1\n")
        with pytest.raises(BundleFormatError, match="its repository does not hold"):
            Inventory.parse(forged)
    assert Inventory.parse(made.raw.replace(b"b:1\n", b"d:1\n")).images[0].name == "d:1"


def test_a_name_with_a_digest_stands_for_no_other():
    """An image of a bundle that is called by one digest and is another is refused."""
    for right, wrong in ((APP, LAYER), (LONG, digest("other", "sha512"))):
        name = f"docker.io/library/app@{right}"
        made = make_inventory([(right, 1, "")], [(name, right)], kind="bundle", place="")
        assert made.images[0].name == name
        with pytest.raises(BundleFormatError, match="stands for"):
            Inventory.parse(made.raw.replace(f"app@{right}".encode(), f"app@{wrong}".encode()))


def test_more_names_than_fit_into_memory_are_refused_before_they_are_read():
    """The header alone says how many there are."""
    for changes in ({"images": 4_000_001}, {"repositories": 2_000_001, "images": 2_000_000}):
        with pytest.raises(BundleFormatError, match="more than 4000000 names"):
            Inventory.parse(with_json(sample(), **changes))


def test_a_digest_does_not_give_back_links_of_the_one_before_it_wherever_slices_end():
    """Shares of links may be empty, and never end before they begin."""
    count = 8192
    rows = [(digest(str(n)), n, "r.example/a") for n in range(count)]
    rows += [(Digest("sha256", f"{'f' * 63}{n}"), 1, "") for n in range(2)]
    made = make_inventory(rows, kind="layout")
    raw = bytearray(made.raw)
    ends = parse_header(bytes(raw))[1] + (count + 2) * 40
    assert Inventory.parse(bytes(raw)).link_count == count
    raw[ends + 4 * count : ends + 4 * count + 4] = pack("<I", count - 1)
    with pytest.raises(BundleFormatError, match="links are not in order"):
        Inventory.parse(bytes(raw))


def test_a_repository_that_holds_nothing_is_refused():
    """One place has one inventory; names that nothing needs could be anything."""
    made = make_inventory([(APP, 1, "a"), (LAYER, 1, "a"), (LAYER, 1, "b")])
    links = parse_header(made.raw)[1] + 2 * 44
    raw = bytearray(made.raw)
    names = raw.index(b"a\nb\n", links)
    raw[names : names + 4] = b"b\nc\n"
    raw = bytearray(
        raw.replace(b'"nameBytes":4', b'"nameBytes":6').replace(
            b'"repositories":2', b'"repositories":3'
        )
    )
    raw[raw.index(b"b\nc\n", links) :] = b"b\nc\nd\n"
    with pytest.raises(BundleFormatError, match="repository that holds nothing"):
        Inventory.parse(bytes(raw))


def test_a_tag_names_only_what_its_own_repository_holds():
    """A registry does not give a manifest of one repository under the name of another."""
    made = make_inventory([(APP, 1, "a"), (LAYER, 1, "b")], [("a:1", APP)])
    raw = made.raw.replace(b"a:1\n", b"b:1\n")
    assert raw != made.raw
    with pytest.raises(BundleFormatError, match="b:1 is a digest that its repository does not"):
        Inventory.parse(raw)


def test_a_further_digest_is_held_or_named():
    """What a need only names without size is named by an image, and no other is there."""
    made = make_inventory([], [("r.example/a:1", LONG)], kind="need")
    unnamed = digest("unnamed", "sha512")
    lines = {found: f'{{"digest":"{found}"}}'.encode() for found in (LONG, unnamed)}
    first, second = (lines[found] for found in sorted(lines))
    assert Inventory.parse(made.raw).images[0].digest == LONG
    raw = with_header(made, others=2).replace(lines[LONG], first + b"," + second)
    images = parse_header(raw)[1]
    raw = raw[:images] + pack("<I", sorted(lines).index(LONG)) + raw[images + 4 :]
    with pytest.raises(BundleFormatError, match=f"{unnamed} is neither held nor named"):
        Inventory.parse(raw)


def test_a_digest_of_the_table_is_no_further_digest():
    """What a need holds is not named once more without its size: one need has one form."""
    made = make_inventory([(APP, 1, "")], [("r.example/a:1", APP)], kind="need")
    raw = with_header(made, others=1) + f'{{"digests":[{{"digest":"{APP}"}}]}}\n'.encode()
    image = parse_header(raw)[1] + 44
    assert raw[image : image + 4] == pack("<I", 0)
    forged = raw[:image] + pack("<I", 1) + raw[image + 4 :]
    with pytest.raises(BundleFormatError, match=f"{APP} stands there twice"):
        Inventory.parse(forged)
