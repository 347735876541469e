"""What the receiver is known to hold: who is believed, and which repository is named."""

from __future__ import annotations

import time
from itertools import permutations

import pytest

from airgap.oci import mediatype
from airgap.oci.descriptor import Descriptor
from airgap.oci.digest import Digest
from airgap.record.bases import Base
from airgap.transfer.known import Belief, Claim, Doubt, Known
from tests.support.known import PLACE, witness

BLOB = Descriptor(mediatype.OCI_LAYER, Digest.of(b"blob"), 100)
HELD = Base("inventory", Digest.of(b"1"), PLACE)
OTHER = Base("inventory", Digest.of(b"2"), "other.internal")
SENT = Base("bundle", Digest.of(b"3"))
NAMES = ("example.com/team/app", "example.com/team/tool")


def find(claims, names=NAMES):
    """What is found where each base says something of the blob."""
    known = Known(witness(base, {BLOB.digest: claim}) for base, claim in claims.items())
    return known.find(BLOB, names)


@pytest.mark.parametrize(
    ("base", "repositories", "chosen"),
    [
        (HELD, ("a", "team/app", "z"), "team/app"),
        (HELD, ("team/app", "team/tool"), "team/app"),
        (HELD, ("a", "mirror/team/tool", "z"), "mirror/team/tool"),
        (HELD, ("b/team/app", "a/team/app"), "a/team/app"),
        (HELD, ("steam/app", "z/x"), "steam/app"),
        (HELD, ("a/steam/app", "z/x/team/tool"), "z/x/team/tool"),
        (HELD, ("team/app/a", "z/team/app/b"), "team/app/a"),
        (HELD, ("z", "b"), "b"),
        (HELD, (), "team/app"),
        (SENT, ("a.example.com/x", "example.com/team/tool"), "example.com/team/tool"),
        (SENT, ("z.example.com/x", "b.example.com/x"), "b.example.com/x"),
        (SENT, ("other.example.com/team/app", "a.example.com/x"), "a.example.com/x"),
        (SENT, (), "example.com/team/app"),
    ],
)
def test_the_repository_is_one_that_the_image_will_be_in(base, repositories, chosen):
    """The same path counts most, then the same end of it, then the first in order."""
    assert find({base: Claim(100, repositories)}) == Belief(base, chosen)


def test_a_layer_that_thousands_share_is_placed_quickly():
    """Neither images nor repositories are gone through once for each of the others."""
    count = 20_000
    names = [f"docker.io/team/app{number}" for number in range(count)]
    held = tuple(f"mirror/team/app{number}" for number in range(count))
    started = time.monotonic()
    assert find({HELD: Claim(100, held)}, names) == Belief(HELD, "mirror/team/app0")
    assert time.monotonic() - started < 3


def test_the_order_of_witnesses_does_not_matter():
    """Whoever is given first, the same one is believed, and the same repository named."""
    said = [
        witness(HELD, {BLOB.digest: Claim(100, ("a",))}),
        witness(OTHER, {BLOB.digest: Claim(100, ("team/tool",))}),
        witness(SENT, {BLOB.digest: Claim(100, ("example.com/team/app",))}),
    ]
    found = {Known(order).find(BLOB, NAMES) for order in permutations(said)}
    assert found == {Belief(SENT, "example.com/team/app")}
    assert Known(said[:2]).find(BLOB, NAMES) == Belief(OTHER, "team/tool")


def test_witnesses_of_one_base_count_together():
    """What several bundles left on the word of one inventory is one base."""
    second = Descriptor(mediatype.OCI_LAYER, Digest.of(b"second"), 5)
    known = Known(
        [
            witness(HELD, {BLOB.digest: Claim(100, ("a",))}),
            witness(HELD, {second.digest: Claim(5, ("b",))}),
        ]
    )
    assert known.find(BLOB, NAMES) == Belief(HELD, "a")
    assert known.find(second, NAMES) == Belief(HELD, "b")
    assert known.given == {HELD}


def test_what_nobody_knows_is_not_held():
    """Without a witness, and with one that says nothing of it."""
    assert Known().find(BLOB, NAMES) is None
    assert Known([witness(HELD, {})]).find(BLOB, NAMES) is None


def test_another_size_is_not_believed():
    """The blob travels, and who was wrong is known; somebody else may still be believed."""
    assert find({HELD: Claim(99, ("team/app",))}) == Doubt(BLOB, HELD, 99)
    found = find({HELD: Claim(99, ("team/app",)), OTHER: Claim(100, ("x",))})
    assert found == Belief(OTHER, "x")


def test_what_says_nothing_of_sizes_is_believed():
    """A need knows only what is missing: all else has the size that it has."""
    assert find({HELD: Claim(None)}) == Belief(HELD, "team/app")


class Wanting:
    """Wants some blobs."""

    def __init__(self, *blobs):
        self._blobs = {blob.digest: blob.size for blob in blobs}

    def find(self, digest):
        return self._blobs.get(digest)

    def blobs(self):
        return ((digest, size, ()) for digest, size in self._blobs.items())


def test_what_is_wanted_travels_whatever_is_known():
    """A need says what is missing, and no other word counts against that."""
    known = Known([witness(HELD, {BLOB.digest: Claim(100, ("a",))})], wanted=Wanting(BLOB))
    assert known.find(BLOB, NAMES) is None
    more = known.including([witness(OTHER, {BLOB.digest: Claim(100, ("a",))})])
    assert more.find(BLOB, NAMES) is None
    assert (more.unmet({BLOB.digest}), more.unmet(set())) == (0, 1)
    assert Known().unmet(set()) == 0
