"""Relocations of any layout into any other, done on bytes in memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from airgap.bundle.placement import Extent
from airgap.bundle.relocation import plan_relocation
from airgap.oci.digest import Digest

Spans = list[tuple[int, int]]


@st.composite
def layouts(draw: st.DrawFn) -> tuple[dict[Digest, Extent], dict[Digest, Extent]]:
    """Two layouts of overlapping sets of blobs, each in an order of its own with gaps."""
    lengths = draw(st.lists(st.integers(0, 12), min_size=1, max_size=12))
    blobs = [(Digest.of(str(n).encode()), length) for n, length in enumerate(lengths)]

    def lay() -> dict[Digest, Extent]:
        chosen = draw(st.permutations(blobs))[: draw(st.integers(0, len(blobs)))]
        at, placed = 0, {}
        for digest, length in chosen:
            at += draw(st.integers(0, 6))
            placed[digest] = Extent(digest, at, length)
            at += length
        return placed

    return lay(), lay()


@given(layouts(), st.data())
def test_moves_carry_every_byte(
    pair: tuple[dict[Digest, Extent], dict[Digest, Extent]], data: st.DataObject
) -> None:
    """Done in order, the moves bring each blob to its place unharmed, whole or in part."""
    old, new = pair
    held = [
        Extent(e.digest, e.offset, data.draw(st.integers(0, e.length)) if e.length else 0)
        for e in old.values()
    ]
    content = {
        e.digest: bytes((n * 31 + i) % 251 for i in range(e.length)) for n, e in enumerate(held)
    }
    file = bytearray(400)
    for extent in held:
        file[extent.offset : extent.end] = content[extent.digest]
    found = plan_relocation(held, new)
    waiting = {move.held for move in found.moves}
    for move in found.moves:
        waiting.discard(move.held)
        end = move.target + move.held.length
        for other in waiting:
            if move.held.length and other.length:
                assert other.end <= move.target or other.offset >= end
        file[move.target : end] = file[move.held.offset : move.held.end]
    for extent in [
        *found.kept,
        *(Extent(m.held.digest, m.target, m.held.length) for m in found.moves),
    ]:
        assert extent.offset == new[extent.digest].offset
        assert file[extent.offset : extent.end] == content[extent.digest]
    every = [*found.kept, *(m.held for m in found.moves), *found.dropped]
    assert sorted(e.digest for e in every) == sorted(e.digest for e in held)


@given(layouts())
def test_only_circles_give_up_what_is_wanted(
    pair: tuple[dict[Digest, Extent], dict[Digest, Extent]],
) -> None:
    """A blob that is wanted is given up only where it and others wait for each other."""
    old, new = pair
    found = plan_relocation(old.values(), new)
    given_up = [extent for extent in found.dropped if extent.digest in new]
    movers = [e for e in old.values() if e.digest in new and new[e.digest].offset != e.offset]
    for lost in given_up:
        reached, waiting = set(), [lost.digest]
        while waiting:
            target = new[waiting.pop()]
            for other in movers:
                overlaps = other.offset < target.end and target.offset < other.end
                is_other = other.digest != target.digest and other.digest not in reached
                if overlaps and is_other and other.length and target.length:
                    reached.add(other.digest)
                    waiting.append(other.digest)
        assert lost.digest in reached
