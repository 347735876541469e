"""Whatever a registry holds and wherever, the base guard finds exactly what is there."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from airgap.errors import UnauthorizedError
from airgap.oci.digest import Digest
from airgap.run import Run
from airgap.transfer.base_guard import BaseGuard, Elsewhere
from airgap.transfer.destination import Destination, plan_targets
from airgap.transfer.publication import plan_publications
from tests.support.bundles import differential, make_bundle

WHOLE = make_bundle(layer_size=600)
TO = Destination("inside:5000", "in")
HOMES = sorted({t.repository for t in plan_targets(WHOLE.catalog.images, TO)})
ELSEWHERE = ("team/app", "mirror/a", "mirror/b")
"""Where the bundle says that blobs are held, and where somebody may say to look."""
CLOSED = "mirror/b"
Held = set[tuple[str, Digest]]
HELD = st.sets(
    st.tuples(st.sampled_from([*HOMES, *ELSEWHERE]), st.sampled_from(sorted(WHOLE.contents)))
)


@dataclass
class Place:
    """A repository that notes what it is asked."""

    repository: str
    held: Held
    asked: list[Digest] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"inside:5000/{self.repository}"

    def has_blob(self, blob) -> bool:
        self.asked.append(blob.digest)
        if self.repository == CLOSED:
            raise UnauthorizedError("not for you")
        return (self.repository, blob.digest) in self.held


@given(
    left=st.sets(st.sampled_from(sorted(WHOLE.contents))),
    held=HELD,
    mount_from=st.lists(st.sampled_from([*HOMES, *ELSEWHERE]), max_size=4),
    data=st.data(),
)
def test_what_is_nowhere_is_missed_and_nothing_else_is(left, held, mount_from, data):
    """In the order of nobody, and each repository is asked for a blob at most once."""
    made = differential(WHOLE, left)
    targets = plan_targets(made.catalog.images, TO)
    publications = plan_publications(targets, made.catalog, made.documents)
    places = {name: Place(name, held) for name in (*HOMES, *ELSEWHERE)}
    elsewhere = Elsewhere(to=TO, mount_from=tuple(mount_from))
    guard = BaseGuard(places.__getitem__, publications, made.catalog, elsewhere)
    for _, look in data.draw(st.permutations(guard.tasks())):
        look(Run())
    readable = {"team/app", *mount_from} - {CLOSED}
    expected = {}
    for publication in publications:
        for blob in publication.held:
            wanting = {p.target.repository for p in publications if blob in p.held}
            if not any((name, blob.digest) in held for name in wanting | readable):
                expected.setdefault(publication.target, set()).add(blob.digest)
            found = guard.found[blob.digest]
            present = {r.repository for r in found.present}
            assert present == {name for name in wanting if (name, blob.digest) in held}
            assert present | {r.repository for r in found.lacking} == wanting
            assert found.home is None or (found.home.repository, blob.digest) in held
    lacking = {target: {b.digest for b in blobs} for target, blobs in guard.lacking().items()}
    assert lacking == expected
    for place in places.values():
        assert len(place.asked) == len(set(place.asked))
