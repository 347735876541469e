"""Inventories: what they tell and how they are made."""

from __future__ import annotations

import json
import random
import time
import tracemalloc
from collections.abc import Callable
from datetime import timedelta

import pytest

from airgap.errors import InvalidContentError
from airgap.oci.digest import Digest
from airgap.record.inventory import Holding, Inventory
from airgap.record.inventory_builder import InventoryBuilder
from tests.support.inventories import (
    APP,
    BUNDLE,
    LAYER,
    LONG,
    MADE,
    OTHER,
    PLACE,
    builder,
    digest,
    make_inventory,
    rebuild,
    sample,
)


def test_an_inventory_tells_size_and_repositories_of_every_digest():
    """What was told comes back, from the bytes alone."""
    found = Inventory.parse(sample().raw)
    assert found.find(APP) == Holding(500, ("team/app",))
    assert found.find(LAYER) == Holding(1 << 40, ("base", "team/app"))
    assert found.find(LONG) == Holding(7, ("base", "team/app"))
    assert found.find(digest("nobody has this")) is None
    assert found.find(digest("nobody has this", "sha512")) is None
    assert (found.kind, found.place, found.by, found.made) == (
        "registry",
        PLACE,
        "Ada, shift 2",
        MADE,
    )
    assert found.is_complete
    assert found.need is None
    assert (found.blob_count, found.link_count) == (4, 6)
    assert found.total_size == 500 + (1 << 40) + 7
    assert found.repositories == ("base", "team/app")
    assert [(i.name, i.digest) for i in found.images] == [
        ("team/app:1.0", APP),
        ("team/app:latest", APP),
        ("team/app:long", LONG),
    ]


def test_blobs_come_in_the_order_of_their_digests():
    """The table's digests come first, those of other algorithms behind them."""
    listed = [entry[0] for entry in sample().blobs()]
    assert listed == [*sorted([APP, LAYER, OTHER]), LONG]


def test_an_empty_place_has_an_inventory():
    """A registry that holds nothing can say so."""
    empty = Inventory.parse(make_inventory().raw)
    assert (empty.blob_count, empty.images, empty.find(APP)) == (0, (), None)
    assert list(empty.blobs()) == []


def test_the_same_facts_in_any_order_give_the_same_bytes():
    """Neither the order nor telling a fact twice shows."""
    facts = [(digest(str(n)), n, f"r{n % 7}") for n in range(300)]
    facts += [(digest(str(n)), n, f"r{n % 5}") for n in range(300)]
    first = make_inventory(facts)
    random.Random(3).shuffle(facts)
    assert make_inventory([*facts, *facts[:50]]).raw == first.raw


def test_rows_in_bulk_are_the_same_as_blobs_one_by_one():
    """The fast way of taking rows gives the same inventory."""
    facts = [(digest(str(n)), n, f"r{n % 7}") for n in range(100)] + [(LONG, 7, "r1")]
    made = builder()
    made.add_bulk((str(found), size, name) for found, size, name in facts)
    assert made.build().raw == make_inventory(facts).raw


def test_when_and_by_whom_change_the_id_and_not_the_content_digest():
    """Two inventories of the same holdings can be told to be of the same holdings."""
    facts = [(APP, 1, "a")]
    first = make_inventory(facts)
    later = InventoryBuilder(
        place=PLACE, kind="registry", made=MADE + timedelta(days=1), by="Bob", version="9"
    )
    later.add_blob(APP, 1, "a")
    second = later.build()
    assert first.id != second.id
    assert first.content_digest == second.content_digest
    assert second.version == "9"


@pytest.mark.parametrize(
    "other",
    [
        [(APP, 2, "a")],
        [(APP, 1, "b")],
        [(APP, 1, "a"), (LAYER, 1, "a")],
        [],
    ],
)
def test_other_holdings_have_another_content_digest(other: list[tuple[Digest, int, str]]):
    """Size, repository and digest all count."""
    first = make_inventory([(APP, 1, "a")])
    assert make_inventory(other).content_digest != first.content_digest


def test_a_digest_with_two_sizes_is_left_out_and_the_inventory_not_complete():
    """One of the sizes is wrong, so that nothing is claimed of it or of an image that it is."""
    for found in (APP, LONG):
        made = make_inventory([(found, 1, "a"), (found, 2, "b"), (OTHER, 3, "c")], [("a:1", found)])
        assert made.find(found) is None
        assert made.repositories == ("c",)
        assert made.images == ()
        assert not made.is_complete


def test_a_need_names_images_whose_manifests_are_not_needed():
    """What an image of a need is may be there already, and is not said to be held or needed."""
    name = "docker.io/library/nginx:1"
    made = make_inventory(
        [(LAYER, 9, "mirror/nginx")], [(name, APP), ("docker.io/a/b:1", LONG)], kind="need"
    )
    found = Inventory.parse(made.raw)
    assert found.need == BUNDLE
    assert found.find(APP) is None
    assert found.find(LONG) is None
    assert found.find(LAYER) == Holding(9, ("mirror/nginx",))
    assert dict(found.images) == {name: APP, "docker.io/a/b:1": LONG}
    assert found.blob_count == 1
    assert [entry[0] for entry in found.blobs()] == [LAYER]
    assert rebuild(found).raw == made.raw


def test_a_bundle_or_layout_names_its_repositories_as_the_source_does():
    """Registry and repository stand there, and what has no repository may be held, too."""
    made = make_inventory(
        [(APP, 1, "localhost:5000/team/app"), (LAYER, 2, "")],
        [("localhost:5000/team/app:1", APP)],
        kind="layout",
        place="",
    )
    assert made.find(APP) == Holding(1, ("localhost:5000/team/app",))
    assert made.find(LAYER) == Holding(2, ())


@pytest.mark.parametrize(
    "tell",
    [
        lambda b: b.add_blob(APP, -1, "a"),
        lambda b: b.add_blob(LONG, (1 << 53) + 1, "a"),
        lambda b: b.add_blob(APP, 1, "UPPER"),
        lambda b: b.add_blob(APP, 1, "a/../b"),
        lambda b: b.add_blob(APP, 1, "caf\N{LATIN SMALL LETTER E WITH ACUTE}"),
        lambda b: b.add_bulk([("sha256:" + "g" * 64, 1, "a")]),
        lambda b: b.add_bulk([(str(APP), -1, "a")]),
        lambda b: b.add_image("a", APP),
        lambda b: b.add_image("a:b:c", APP),
        lambda b: b.add_image("docker.io/a:1@" + str(APP), APP),
        lambda b: (b.add_image("a:1", APP), b.add_image("a:1", LAYER)),
        lambda b: (b.add_image("a:1", APP), b.build()),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_told(tell: Callable[[InventoryBuilder], object]):
    """Names, sizes and images are checked before an inventory is made of them."""
    with pytest.raises(InvalidContentError):
        tell(builder())


@pytest.mark.parametrize(
    ("place", "by"),
    [("no/registry", ""), (PLACE, "a\nb"), (PLACE, "\u202egnp"), (PLACE, "x" * 257)],
)
def test_place_and_maker_are_checked_when_they_are_told(place: str, by: str):
    """Control characters, characters that turn the writing, and long texts are refused."""
    with pytest.raises(InvalidContentError):
        builder(place=place, by=by)


def test_two_hundred_thousand_blobs_take_little_room_time_and_memory():
    """At most 48 bytes a blob and 4 a further link, and reading makes no object of each row."""
    count, repositories = 200_000, 500
    numbers = random.Random(1)
    made = builder()
    places = [made.add_repository(f"team/app-{n}") for n in range(repositories)]
    further = 0
    for _ in range(count):
        found, size = numbers.randbytes(32), numbers.randrange(1 << 40)
        chosen = numbers.sample(places, numbers.choice((1, 1, 1, 3)))
        further += len(chosen) - 1
        for place in chosen:
            made.add_link(found, size, place)
    raw = made.build().raw
    assert len(raw) <= 48 * count + 4 * further + 20 * repositories
    tracemalloc.start()
    started = time.process_time()
    found_again = Inventory.parse(raw)
    seconds = time.process_time() - started
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found_again.blob_count == count
    assert peak < 4 * 1024 * 1024
    assert seconds < 5  # without tracing a million take well below one second


def test_the_header_is_one_line_of_canonical_json():
    """Anybody can read with `head -1` what an inventory speaks of."""
    value = json.loads(sample().raw.partition(b"\n")[0])
    assert value == {
        "formatVersion": 1,
        "mediaType": "application/vnd.airgap.inventory.v1",
        "requires": [],
        "kind": "registry",
        "place": PLACE,
        "made": "2026-01-31T12:30:05Z",
        "by": "Ada, shift 2",
        "complete": True,
        "blobs": 3,
        "links": 4,
        "repositories": 2,
        "images": 3,
        "nameBytes": 57,
        "others": 1,
    }
